//! One check: a request over a connection of its own, and whether it is answered well.

use std::future::poll_fn;

use bytes::Bytes;
use h2::client::Builder;
use http::header::USER_AGENT;
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use tokio::time::timeout;

use super::Health;
use crate::forward::body::RequestBody;
use crate::forward::headers::{Framing, host_sent};
use crate::http1::stock::Stock;
use crate::plan::{ListenAddr, Protocol, Upstream};
use crate::socket::Socket;
use crate::tls::Alpn;
use crate::upstream::address::own_host;
use crate::upstream::connect::connect;
use crate::upstream::connection::{Connection, Said};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::head::MAX_HEAD;

/// How much of a body is read, so that whoever writes a short one sees no reset.
const MAX_BODY: usize = 64 * 1024;

/// What is asked for: a `GET` of this path from this host.
struct Asked<'a> {
    scheme: Scheme,
    path: &'a str,
    host: &'a HeaderValue,
}

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
    let own_host = own_host(endpoint.addr());
    // There is no client whose `Host` could be sent.
    let host = host_sent(&upstream.host, &own_host, None).unwrap_or(&own_host);
    let scheme = if endpoint.addr().tls { Scheme::HTTPS } else { Scheme::HTTP };
    let asked = Asked { scheme, path: &health.path, host };
    let asking = async {
        let wanted = Alpn::from(upstream.protocol);
        let socket = connect(upstream, endpoint, wanted, own).await;
        let socket = socket.map_err(|error| format!("cannot connect: {error}"))?;
        match upstream.protocol {
            Protocol::Http1 => over_http1(socket, asked, stock).await,
            Protocol::Http2 => over_http2(socket, asked).await.map(|status| (status, None)),
        }
    };
    let answered = timeout(health.timeout, asking).await;
    let (status, connection) = answered.unwrap_or_else(|_| Err("timed out".to_owned()))?;
    if let Some(mut connection) = connection {
        // What follows the head says nothing more about the address.
        let _ = timeout(health.timeout, finish(&mut connection)).await;
    }
    is_well(status)
}

/// nginx and Traefik take a redirection for a sign of life as well; Envoy wants 200.
fn is_well(status: StatusCode) -> Result<(), String> {
    match status.is_success() || status.is_redirection() {
        true => Ok(()),
        false => Err(format!("status {}", status.as_u16())),
    }
}

async fn over_http1(
    socket: Socket,
    asked: Asked<'_>,
    stock: &Stock,
) -> Result<(StatusCode, Option<Connection>), String> {
    let mut connection = Connection::new(socket);
    let write = |out: &mut Vec<u8>| write_head(out, &asked);
    connection.send(Method::GET, write, RequestBody::none(), Framing::None);
    loop {
        match poll_fn(|cx| connection.poll_said(cx, stock)).await {
            Ok(Said::Response(head)) => return Ok((head.status, Some(connection))),
            // However many of these come, the time is short.
            Ok(Said::Continue | Said::Hints(_)) => {}
            Err(broken) => return Err(broken.to_string()),
        }
    }
}

fn write_head(out: &mut Vec<u8>, asked: &Asked<'_>) {
    let lines: [&[u8]; 5] = [
        b"GET ",
        asked.path.as_bytes(),
        b" HTTP/1.1\r\nHost: ",
        asked.host.as_bytes(),
        b"\r\nUser-Agent: keygate\r\nAccept: */*\r\nConnection: close\r\n\r\n",
    ];
    lines.iter().for_each(|bytes| out.extend_from_slice(bytes));
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

async fn over_http2(socket: Socket, asked: Asked<'_>) -> Result<StatusCode, String> {
    let uri = Uri::builder().scheme(asked.scheme).authority(asked.host.as_bytes());
    let uri = uri.path_and_query(asked.path).build().map_err(|error| error.to_string())?;
    let request = Request::get(uri).header(USER_AGENT, "keygate").body(());
    let request = request.map_err(|error| error.to_string())?;
    let mut begin = Builder::new();
    begin.enable_push(false).max_header_list_size(MAX_HEAD as u32);
    let begun = begin.handshake::<_, Bytes>(socket).await;
    let (requests, connection) = begun.map_err(|error| error.to_string())?;
    let asking = async {
        let (response, _) = requests.ready().await?.send_request(request, true)?;
        response.await
    };
    tokio::select! {
        answered = asking => {
            answered.map(|response| response.status()).map_err(|error| error.to_string())
        }
        ended = connection => {
            Err(ended.err().map_or_else(|| "closed".to_owned(), |error| error.to_string()))
        }
    }
}
