//! The heads that go on: what an upstream gets to see of a request, and a client of a response.

use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, StatusCode, Version};

use crate::decide::Admitted;
use crate::fields::Fields;
use crate::head::{RequestHead, ResponseHead};
use crate::headers::{
    self, HopByHop, X_ACCEL_BUFFERING, X_CONSUMER_USERNAME, X_CREDENTIAL_IDENTIFIER,
    X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP, X_REQUEST_ID,
};
use crate::http1::field_line;
use crate::plan::{HostPolicy, TrustedProxies};
use crate::plugin::Names;
use crate::screen;

/// How a request's body is framed upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// This many bytes.
    Length(u64),
    /// Chunks, and perhaps trailers.
    Chunked,
}

impl Framing {
    /// Whether no byte of a body comes.
    pub(crate) fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// Who sends a request, and by which name it goes.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    /// Who connected, as it stands in `X-Forwarded-For`; none on a unix socket.
    pub(crate) peer: Option<&'a str>,
    /// `http` or `https`, as the peer asked.
    pub(crate) scheme: &'a str,
    /// The client, as it stands in `X-Real-IP`.
    pub(crate) client: Option<&'a str>,
    /// The names of the key, if it has any.
    pub(crate) names: Option<Names<'a>>,
    /// The name of the request in everybody's logs.
    pub(crate) request_id: &'a [u8],
}

/// What a head needs to know beyond the request itself.
pub(crate) struct Passage<'a> {
    /// Whether the peer's `X-Forwarded-*` are believed.
    pub(crate) trusted: bool,
    /// Who sends it.
    pub(crate) sender: Sender<'a>,
    /// The `Host` that the client asked for.
    pub(crate) host: Option<&'a HeaderValue>,
    /// How the body is framed.
    pub(crate) framing: Framing,
    /// Whether this asks for a WebSocket.
    pub(crate) websocket: bool,
    /// Whether the client waits for `100 Continue`.
    pub(crate) expects_continue: bool,
}

impl<'a> Passage<'a> {
    /// That of a request which may go on.
    pub(crate) fn of(
        head: &RequestHead,
        admitted: &'a Admitted,
        sender: Sender<'a>,
        framing: Framing,
    ) -> Self {
        Self {
            trusted: admitted.trusted,
            sender,
            host: admitted.host.value(),
            framing,
            websocket: asks_for_websocket(head, framing),
            expects_continue: expects_continue(head, framing),
        }
    }
}

/// A request as it is to go upstream.
pub(crate) struct Outgoing<'a> {
    /// What the client asked.
    pub(crate) head: &'a RequestHead,
    /// The `Host` that the upstream is asked for.
    pub(crate) host: Option<&'a HeaderValue>,
    /// What else is said.
    pub(crate) passage: &'a Passage<'a>,
    /// Which fields may carry a credential on any location.
    pub(crate) credentials: &'a [HeaderName],
}

/// Where the fields of a head go, whichever version of HTTP carries it.
pub(crate) trait Lines {
    /// Whether it has fields that are for the next hop only, and frame the message.
    const IS_HTTP1: bool;
    /// Adds a field that is one already.
    fn field(&mut self, name: &HeaderName, value: &HeaderValue);
    /// Adds a field of bytes that may stand in a value.
    fn text(&mut self, name: &HeaderName, value: &[u8]);
}

impl Lines for Vec<u8> {
    const IS_HTTP1: bool = true;

    fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        field_line::write(self, name, value.as_bytes());
    }

    fn text(&mut self, name: &HeaderName, value: &[u8]) {
        field_line::write(self, name, value);
    }
}

/// Writes the head of the request that goes upstream over HTTP/1.
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    head: &RequestHead,
    host_sent: Option<&HeaderValue>,
    passage: &Passage<'_>,
) {
    write_request_line(out, head);
    if let Some(host) = host_sent {
        out.field(&HOST, host);
    }
    write_fields(out, head, passage);
    out.extend_from_slice(b"\r\n");
}

/// Writes the fields of a request that goes upstream. The client's keep their order; those that
/// keygate sets stand at the end, and nothing that the client sent can remove them.
pub(crate) fn write_fields<L: Lines>(out: &mut L, head: &RequestHead, passage: &Passage<'_>) {
    let hop_by_hop = HopByHop::of(&head.headers);
    let mut takes_trailers = false;
    for (name, value) in &head.headers {
        if hop_by_hop.contains(name) {
            takes_trailers |= *name == TE && headers::is_listed_in(value, "trailers");
        } else if !is_own(name, passage.framing) {
            out.field(name, value);
        }
    }
    match passage.framing {
        Framing::Length(length) => {
            out.text(&CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes());
        }
        Framing::Chunked if L::IS_HTTP1 => out.text(&TRANSFER_ENCODING, b"chunked"),
        Framing::Chunked | Framing::None => {}
    }
    if passage.websocket {
        out.text(&CONNECTION, b"upgrade");
        out.text(&UPGRADE, b"websocket");
    } else if takes_trailers {
        if L::IS_HTTP1 {
            out.text(&CONNECTION, b"te");
        }
        out.text(&TE, b"trailers");
    }
    if passage.expects_continue {
        out.text(&EXPECT, b"100-continue");
    }
    forwarded(out, &head.headers, passage);
    for (name, value) in passage.sender.names.into_iter().flat_map(identity) {
        out.field(&name, &value);
    }
}

/// The fields that say whose key it was. What is no value of a field stands in none.
pub(crate) fn identity(names: Names<'_>) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    [(X_CONSUMER_USERNAME, names.consumer), (X_CREDENTIAL_IDENTIFIER, names.id)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::from_str(value).ok()?)))
}

/// The method, and the target without scheme and authority; what is left stays byte for byte.
pub(super) fn write_request_line(out: &mut Vec<u8>, head: &RequestHead) {
    let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    // `http://host?query` has an empty path, which is `/` (RFC 3986, section 6.2.3).
    let slash = if target.starts_with('/') || target == "*" { "" } else { "/" };
    for part in [head.method.as_str(), " ", slash, target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Fields that keygate writes anew.
fn is_own(name: &HeaderName, framing: Framing) -> bool {
    match name.as_str().len() {
        4 => *name == HOST,
        6 => *name == EXPECT,
        7 => *name == TRAILER && framing != Framing::Chunked,
        9 => *name == X_REAL_IP,
        12 => *name == X_REQUEST_ID,
        14 => *name == CONTENT_LENGTH,
        15 => *name == X_FORWARDED_FOR,
        16 => *name == X_FORWARDED_HOST,
        17 => *name == X_FORWARDED_PROTO,
        _ => false,
    }
}

/// What [`screen::disown`] left of `X-Forwarded-*` came from a trusted proxy, and is added to;
/// otherwise keygate is the first that the client met.
fn forwarded(out: &mut impl Lines, came: &Fields, passage: &Passage<'_>) {
    let said = |name| if passage.trusted { came.get(&name) } else { None };
    match (said(X_FORWARDED_FOR), passage.sender.peer.map(str::as_bytes)) {
        (None, None) => {}
        (None, Some(peer)) => out.text(&X_FORWARDED_FOR, peer),
        (Some(_), peer) => {
            // A list may be one field or several (RFC 9110, section 5.3).
            let name = &X_FORWARDED_FOR;
            let came = came.get_all(name).map(HeaderValue::as_bytes);
            let through: Vec<_> = came.chain(peer).collect();
            out.text(&X_FORWARDED_FOR, &through.join(&b", "[..]));
        }
    }
    let scheme = passage.sender.scheme.as_bytes();
    out.text(&X_FORWARDED_PROTO, said(X_FORWARDED_PROTO).map_or(scheme, HeaderValue::as_bytes));
    if let Some(host) = said(X_FORWARDED_HOST).or(passage.host) {
        out.field(&X_FORWARDED_HOST, host);
    }
    if let Some(client) = passage.sender.client {
        out.text(&X_REAL_IP, client.as_bytes());
    }
    out.text(&X_REQUEST_ID, passage.sender.request_id);
}

/// The client's address: the peer's, or, where the peer is a trusted proxy, the last address of
/// `X-Forwarded-For` that is not one itself.
pub(crate) fn client_address(
    headers: &Fields,
    peer: Option<IpAddr>,
    trusted: &TrustedProxies,
) -> Option<IpAddr> {
    if !trusted.trusts(peer) {
        return peer;
    }
    let mut nearest = peer;
    let name = &X_FORWARDED_FOR;
    let listed = headers.get_all(name).map(HeaderValue::as_bytes);
    // Split as bytes: what a client wrote must not hide the address that a proxy added to it.
    let listed: Vec<_> = listed.flat_map(|value| value.split(|&byte| byte == b',')).collect();
    for entry in listed.into_iter().rev() {
        // Whoever wrote something else than an address is as far as trust goes.
        let Some(address) = parse_address(entry.trim_ascii()) else { break };
        nearest = Some(address);
        if !trusted.trusts(nearest) {
            break;
        }
    }
    nearest
}

/// An address as proxies write it: with or without brackets and port.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = text.parse().ok().or_else(|| {
        let socket: Option<std::net::SocketAddr> = text.parse().ok();
        socket
            .map(|socket| socket.ip())
            .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
    });
    address.map(|address: IpAddr| address.to_canonical())
}

/// The `Host` sent upstream.
pub(crate) fn host_sent<'a>(
    policy: &'a HostPolicy,
    own: &'a HeaderValue,
    client: Option<&'a HeaderValue>,
) -> Option<&'a HeaderValue> {
    match policy {
        // HTTP/1.1 upstream needs a Host even if an HTTP/1.0 client named none.
        HostPolicy::Client => client.or(Some(own)),
        HostPolicy::Upstream => Some(own),
        HostPolicy::Literal(host) => Some(host),
    }
}

/// Whether a request asks for a WebSocket, and has no body.
pub(crate) fn asks_for_websocket(head: &RequestHead, framing: Framing) -> bool {
    headers::asks_for_websocket(head) && framing.is_empty()
}

fn expects_continue(head: &RequestHead, framing: Framing) -> bool {
    !framing.is_empty()
        && head.version != Version::HTTP_10
        && head
            .headers
            .get(&EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Makes the head of an upstream's response fit for the client.
pub(crate) fn client_head(head: &mut ResponseHead, websocket: bool) {
    let upgraded = websocket && head.status == StatusCode::SWITCHING_PROTOCOLS;
    let hop_by_hop = HopByHop::of(&head.headers);
    head.headers.retain(|name, _| !hop_by_hop.contains(name));
    if upgraded {
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    let is_event_stream = headers::is_media_type(&head.headers, &CONTENT_TYPE, "text/event-stream");
    if is_event_stream {
        head.headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    }
}

/// The fields of an informational response that may be passed on: none that frames, or is for the
/// next hop only.
pub(crate) fn hints(headers: &Fields) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let hop_by_hop = HopByHop::of(headers);
    headers.iter().filter(move |(name, _)| !hop_by_hop.contains(name) && **name != CONTENT_LENGTH)
}

/// Whether a field may hold what nobody else should learn: a credential, of any location.
pub(crate) fn may_be_secret(name: &HeaderName, credentials: &[HeaderName]) -> bool {
    matches!(*name, AUTHORIZATION | COOKIE) || credentials.contains(name)
}

/// Whether a trailer field may go on: none that frames, routes or identifies (RFC 9110, section
/// 6.5.1), and none that carries a credential.
pub(crate) fn trailer_may_pass(name: &HeaderName, credentials: &[HeaderName]) -> bool {
    const NEVER: [HeaderName; 11] = [
        AUTHORIZATION,
        http::header::CACHE_CONTROL,
        http::header::CONTENT_ENCODING,
        CONTENT_LENGTH,
        http::header::CONTENT_RANGE,
        CONTENT_TYPE,
        COOKIE,
        EXPECT,
        HOST,
        http::header::SET_COOKIE,
        TRAILER,
    ];
    !NEVER.contains(name)
        && headers::is_token(name)
        && !headers::is_always(name)
        && !screen::is_reserved(name)
        && !credentials.iter().any(|own| headers::is_alias(own.as_str(), name.as_str()))
}
