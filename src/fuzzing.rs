//! What the fuzz targets reach of the crate's inside; there is none of it in any other build.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, request};

use crate::forward::headers::{Framing, Passage, asks_for_websocket, client_address, write_head};
use crate::http1::fields;
use crate::plan::TrustedProxies;
use crate::plugin::Cx;
use crate::screen;
use crate::server::wire::Scan;

/// What a request without a body looks like upstream.
#[derive(Debug)]
pub struct Passed {
    /// Who sent it.
    pub client: Option<IpAddr>,
    /// The host that it is routed by.
    pub host: Option<String>,
    /// The fields that go upstream.
    pub fields: HeaderMap,
}

/// Screens a request and writes its fields anew, as `pipeline` does; none: it is refused.
pub fn pass(
    mut head: request::Parts,
    peer: Option<IpAddr>,
    trusted: &TrustedProxies,
) -> Option<Passed> {
    let host = screen::check(&head).ok()?;
    let is_trusted = trusted.trusts(peer);
    screen::disown(&mut head.headers, is_trusted);
    let client = client_address(&head.headers, peer, trusted);
    let value = |address: IpAddr| HeaderValue::from_str(&address.to_string()).ok();
    let (peer_value, client_value) = (peer.and_then(value), client.and_then(value));
    let passage = Passage {
        trusted: is_trusted,
        peer: peer_value.as_ref(),
        client: client_value.as_ref(),
        host: host.value(),
        request_id: &HeaderValue::from_static("id"),
        framing: Framing::None,
        websocket: asks_for_websocket(&head, Framing::None),
        expects_continue: false,
    };
    let cx = Cx { client, now: std::time::Instant::now(), consumer: None, key_id: None };
    let mut sent = Vec::new();
    write_head(&mut sent, &head, host.value(), &passage, &cx);
    let fields = fields_of(sent.into());
    Some(Passed { client, host: host.name().map(str::to_owned), fields })
}

/// The fields of a head that keygate wrote itself.
fn fields_of(head: Bytes) -> HeaderMap {
    let mut room = [httparse::EMPTY_HEADER; 1024];
    let mut parsed = httparse::Request::new(&mut room);
    parsed.parse(&head).expect("a head");
    fields::collect(&head, parsed.headers, HeaderMap::new()).expect("fields")
}

/// Looks at a client's bytes as they come in these pieces: how many are passed on, and how many
/// heads came whole.
pub fn scan(bytes: &[u8], pieces: impl IntoIterator<Item = usize>) -> (usize, u64) {
    let mut scan = Scan::default();
    let mut start = 0;
    for piece in pieces.into_iter().chain([bytes.len()]) {
        let end = bytes.len().min(start + piece);
        if scan.opaque() >= piece as u64 {
            scan.skip((end - start) as u64);
        } else if let Err(count) = scan.next(&bytes[start..end]) {
            return (start + count, scan.take_heads());
        }
        start = end;
    }
    (bytes.len(), scan.take_heads())
}
