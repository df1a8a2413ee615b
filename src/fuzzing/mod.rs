//! What the fuzz targets reach of the crate's inside; there is none of it in any other build.

mod http2;

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::fields::Fields;
use crate::forward::headers::{
    Framing, Passage, Sender, asks_for_websocket, client_address, write_head,
};
use crate::head::{RequestHead, ResponseHead};
use crate::http1::body::{Decoded, Decoder};
use crate::http1::lines::Lines;
use crate::http1::stock::Stock;
use crate::plan::TrustedProxies;
use crate::screen;
use crate::server::h1::head::{Head, Search};
use crate::upstream::head::{self, Response};

pub use http2::{Asked, asked_over_1, asked_over_2, heard_over_2};

/// The longest head.
const MAX_SIZE: usize = 32 * 1024;

/// What a request without a body looks like upstream.
#[derive(Debug)]
pub struct Passed {
    /// Who sent it.
    pub client: Option<IpAddr>,
    /// The host that it is routed by.
    pub host: Option<String>,
    /// The fields that go upstream.
    pub fields: Fields,
}

/// Screens a request and writes its fields anew, as `pipeline` does; none: it is refused.
pub fn pass(
    mut head: RequestHead,
    peer: Option<IpAddr>,
    trusted: &TrustedProxies,
) -> Option<Passed> {
    let host = screen::check(&head).ok()?;
    let is_trusted = trusted.trusts(peer);
    screen::disown(&mut head.headers, is_trusted);
    let client = client_address(&head.headers, peer, trusted);
    let [peer_text, client_text] = [peer, client].map(|address| Some(address?.to_string()));
    let passage = Passage {
        trusted: is_trusted,
        sender: Sender {
            scheme: "http",
            peer: peer_text.as_deref(),
            client: client_text.as_deref(),
            names: None,
            request_id: b"id",
        },
        host: host.value(),
        framing: Framing::None,
        websocket: asks_for_websocket(&head, Framing::None),
        expects_continue: false,
    };
    let mut sent = Vec::new();
    write_head(&mut sent, &head, host.value(), &passage);
    let fields = fields_of(&sent);
    Some(Passed { client, host: host.name().map(str::to_owned), fields })
}

/// The fields of a head that keygate wrote itself, with every byte of their values.
fn fields_of(head: &[u8]) -> Fields {
    let mut fields = Fields::new();
    // The first line is no field, and the last one is empty.
    let text = head.strip_suffix(b"\r\n\r\n").expect("a whole head");
    for line in text.split(|&byte| byte == b'\n').skip(1) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mark = line.windows(2).position(|pair| pair == b": ").expect("a field");
        let name = HeaderName::from_bytes(&line[..mark]).expect("a name");
        fields.append(name, HeaderValue::from_bytes(&line[mark + 2..]).expect("a value"));
    }
    fields
}

/// A request out of a connection's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method, target and version.
    pub line: (String, String, String),
    /// Names and values in the order of their names.
    pub fields: Vec<(String, Vec<u8>)>,
    /// What has come of the body.
    pub body: Vec<u8>,
    /// The fields behind it.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// Whether all of it has come.
    pub is_whole: bool,
}

/// Reads the requests of a connection whose bytes come in these pieces, as far as they are valid;
/// says whether they are to their end.
pub fn requests(bytes: &[u8], pieces: impl IntoIterator<Item = usize>) -> (Vec<Request>, bool) {
    let (mut left, mut rest) = (BytesMut::new(), bytes);
    let mut pieces = pieces.into_iter();
    let mut more = |left: &mut BytesMut| {
        let count = pieces.next().unwrap_or(rest.len()).clamp(1, rest.len().max(1)).min(rest.len());
        left.extend_from_slice(&rest[..count]);
        rest = &rest[count..];
        count > 0
    };
    let mut all: Vec<Request> = Vec::new();
    let (stock, mut search, mut body) = (Stock::default(), Search::default(), None::<Decoder>);
    loop {
        let Some(decoder) = &mut body else {
            match search.next(&left, MAX_SIZE, &stock.empty_line) {
                Err(_) => return (all, false),
                Ok(None) if !more(&mut left) => return (all, true),
                Ok(None) => {}
                Ok(Some((start, end))) => {
                    search = Search::default();
                    let head = left.split_to(end).freeze().slice(start..);
                    let Ok(head) = Head::parse(&head, &stock) else {
                        return (all, false);
                    };
                    all.push(Request::begun(&head));
                    body = Some(head.body);
                }
            }
            continue;
        };
        let Some(last) = all.last_mut() else { return (all, false) };
        match decoder.next(&mut left) {
            Err(_) => return (all, false),
            Ok(Decoded::Data(data)) => last.body.extend_from_slice(&data),
            Ok(Decoded::Trailers(fields)) => last.trailers = sorted(&fields),
            Ok(Decoded::Incomplete) if !more(&mut left) => return (all, true),
            Ok(Decoded::Incomplete) => {}
            Ok(Decoded::End) => {
                last.is_whole = true;
                body = None;
            }
        }
    }
}

impl Request {
    fn begun(head: &Head) -> Self {
        let request = &head.request;
        let version = format!("{:?}", request.version);
        Self {
            line: (request.method.to_string(), request.uri.to_string(), version),
            fields: sorted(&request.headers),
            body: Vec::new(),
            trailers: Vec::new(),
            is_whole: false,
        }
    }
}

fn sorted<'a>(
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) -> Vec<(String, Vec<u8>)> {
    let fields =
        fields.into_iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let mut fields: Vec<_> = fields.collect();
    // Stable: the values of one name keep their order.
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}

/// What an upstream's answer is taken for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What came before the response.
    pub informational: Vec<(StatusCode, HeaderMap)>,
    /// The response's status, what it is called if not by its usual name, and its fields.
    pub head: Option<(StatusCode, Option<Bytes>, HeaderMap)>,
    /// Its body, as far as it came.
    pub data: Vec<u8>,
    /// The fields behind that.
    pub trailers: HeaderMap,
    /// How many bytes follow, if it came whole.
    pub left: Option<usize>,
}

/// The fields as `http` has them.
fn map(fields: &Fields) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Reads the answer to a request from a stream whose bytes come in these pieces, as the client of
/// `upstream` does; says whether the connection can carry another request, too.
pub fn hear(
    mut bytes: &[u8],
    pieces: impl IntoIterator<Item = usize>,
    asked: &Method,
) -> (Heard, bool) {
    let (mut heard, mut lines, mut read) = (Heard::default(), Lines::default(), BytesMut::new());
    let mut pieces = pieces.into_iter();
    let mut more = |read: &mut BytesMut, bytes: &mut &[u8]| {
        let count = pieces.next().unwrap_or(bytes.len()).max(1).min(bytes.len());
        let (piece, rest) = bytes.split_at(count);
        read.extend_from_slice(piece);
        *bytes = rest;
        count > 0
    };
    let mut response = loop {
        match head::take(&mut read, &mut lines, asked, &Stock::default()) {
            Ok(Some(Response { head, .. }))
                if head.status.is_informational() && head.status != 101 =>
            {
                heard.informational.push((head.status, map(&head.headers)));
            }
            Ok(Some(response)) => break response,
            Ok(None) if more(&mut read, &mut bytes) => {}
            Ok(None) | Err(_) => return (heard, false),
        }
    };
    let ResponseHead { status, reason, headers } = response.head;
    heard.head = Some((status, reason, map(&headers)));
    loop {
        match response.body.next(&mut read) {
            Ok(Decoded::Data(data)) => heard.data.extend_from_slice(&data),
            Ok(Decoded::Trailers(fields)) => heard.trailers = fields,
            Ok(Decoded::End) => {
                heard.left = Some(read.len() + bytes.len());
                return (heard, response.keeps_alive);
            }
            Ok(Decoded::Incomplete) if more(&mut read, &mut bytes) => {}
            Ok(Decoded::Incomplete) if response.body.close().is_ok() => {}
            Ok(Decoded::Incomplete) | Err(_) => return (heard, false),
        }
    }
}
