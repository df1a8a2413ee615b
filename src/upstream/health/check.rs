//! One check: a request of HTTP/1.1 over a connection of its own, and whether it is answered well.

use std::future::poll_fn;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use tokio::time::timeout;

use super::Health;
use crate::forward::body::RequestBody;
use crate::forward::headers::{Framing, host_sent};
use crate::http1::stock::Stock;
use crate::plan::{ListenAddr, Upstream};
use crate::tls::Alpn;
use crate::upstream::address::own_host;
use crate::upstream::connect::connect;
use crate::upstream::connection::{Connection, Said};
use crate::upstream::endpoint::Endpoint;

/// How much of a body is read, so that whoever writes a short one sees no reset.
const MAX_BODY: usize = 64 * 1024;

/// Asks once.
///
/// # Errors
/// Why the address is not well.
pub(super) async fn once(
    upstream: &Upstream,
    endpoint: &Endpoint,
    health: &Health,
    own: &[ListenAddr],
    stock: &Stock,
) -> Result<(), String> {
    let asking = async {
        let socket = connect(upstream, endpoint, Alpn::Http11, health.timeout, own).await;
        let socket = socket.map_err(|error| format!("cannot connect: {error}"))?;
        let mut connection = Connection::new(socket);
        ask(&mut connection, upstream, endpoint, health, stock).await?;
        Ok(connection)
    };
    let asked = timeout(health.timeout, asking).await;
    let mut connection = asked.unwrap_or_else(|_| Err("timed out".to_owned()))?;
    // What follows the head says nothing more about the address.
    let _ = timeout(health.timeout, finish(&mut connection)).await;
    Ok(())
}

async fn ask(
    connection: &mut Connection,
    upstream: &Upstream,
    endpoint: &Endpoint,
    health: &Health,
    stock: &Stock,
) -> Result<(), String> {
    let own_host = own_host(endpoint.addr());
    // There is no client whose `Host` could be sent.
    let host = host_sent(&upstream.host, &own_host, None).unwrap_or(&own_host);
    let write = |out: &mut Vec<u8>| write_head(out, &health.path, host);
    connection.send(Method::GET, write, RequestBody::none(), Framing::None);
    loop {
        match poll_fn(|cx| connection.poll_said(cx, stock)).await {
            Ok(Said::Response(head)) => return is_well(head.status),
            // However many of these come, the time is short.
            Ok(Said::Continue | Said::Hints(_)) => {}
            Err(broken) => return Err(broken.to_string()),
        }
    }
}

fn write_head(out: &mut Vec<u8>, path: &str, host: &HeaderValue) {
    let lines: [&[u8]; 5] = [
        b"GET ",
        path.as_bytes(),
        b" HTTP/1.1\r\nHost: ",
        host.as_bytes(),
        b"\r\nUser-Agent: keygate\r\nAccept: */*\r\nConnection: close\r\n\r\n",
    ];
    lines.iter().for_each(|bytes| out.extend_from_slice(bytes));
}

/// nginx and Traefik take a redirection for a sign of life as well; Envoy wants 200.
fn is_well(status: StatusCode) -> Result<(), String> {
    match status.is_success() || status.is_redirection() {
        true => Ok(()),
        false => Err(format!("status {}", status.as_u16())),
    }
}

/// Reads a short body to its end.
async fn finish(connection: &mut Connection) {
    let mut read = 0;
    while read < MAX_BODY
        && let Some(Ok(frame)) = poll_fn(|cx| connection.poll_frame(cx)).await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}
