//! HTTP/2: what its heads may say, and what it lets a client do to a server.

mod floods;
mod flow;
mod heads;

use super::{Case, Stand, case, elsewhere};
use crate::support::h2::{
    END_HEADERS, END_STREAM, Field, H2, HEADERS, PROTOCOL_ERROR, raw_block, request,
};
use crate::support::reference::{K1, with_keys};

pub(super) const CASES: &[Case] = &[
    case("H2-01", "a field's value that goes on in the next line", |stand| {
        heads::values(stand, &[b"bar\r\nX-API-Key: K1", b"bar\r\n\r\nGET /admin/x HTTP/1.1"]);
    }),
    case("H2-02", "a field's value, or name, with an end of line or a nought", |stand| {
        heads::values(stand, &[b"a\nb", b"a\rb", b"a\0b", b"\n", b"\0"]);
        heads::names(stand, &[b"a\nb", b"a\rb", b"a\0b"]);
    }),
    case("H2-03", "a field's name that is none", |stand| {
        heads::names(stand, &[b"X-Upper", b"a b", b"a:b", b"a\"b", b"a\xe9b", b"", b"x-api-key "]);
    }),
    case("H2-04", "blanks around a value", heads::blanks),
    case("H2-05", "a target that is no path", heads::targets),
    case("H2-06", "a target that goes on in the next line", |stand| {
        heads::pseudo(
            stand,
            ":path",
            &["/public/x HTTP/1.1\r\nX: y", "/public/x\r\n\r\nGET /admin/x"],
        );
        // Whoever tells why it is refused must not tell the key that stands in it.
        heads::pseudo(stand, ":path", &["/q/x?api_key=K1 ", "/q/x?api_key=K1\r\nX: y"]);
    }),
    case("H2-07", "a method that is none", |stand| {
        heads::pseudo(
            stand,
            ":method",
            &["GET /admin/x HTTP/1.1", "GET?", "", "G#T", "GET\r\nX: y"],
        );
    }),
    case("H2-08", "a scheme that is none, or not HTTP's", |stand| {
        heads::pseudo(stand, ":scheme", &["http://a/?", "ftp", "", "javascript"]);
        heads::without(stand, ":scheme");
    }),
    case("H2-09", "an authority that is none, or two", heads::authorities),
    case("H2-10", "pseudo-header fields at the wrong place, or unknown", heads::misplaced),
    case("H2-11", "pseudo-header fields in trailers", heads::in_trailers),
    case("H2-12", "fields of a connection", |stand| {
        for field in [
            ("transfer-encoding", "chunked"),
            ("connection", "x-api-key"),
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("upgrade", "websocket"),
            ("te", "gzip"),
        ] {
            heads::refused(stand, &request("GET", "/public/x", &[field]));
        }
    }),
    case("H2-13", "a length that is not the body's", heads::lengths),
    case("H2-14", "a request in the body of a request that has none", heads::hidden),
    case("H2-15", "a header block in ten frames, the key in the last", heads::in_pieces),
    case("H2-16", "a header block without an end", floods::continuations),
    case("H2-17", "streams that are reset at once", floods::rapid_resets),
    case("H2-18", "streams that the gate has to reset", floods::made_you_reset),
    case("H2-19", "the same by one who reads nothing", floods::unread_resets),
    case("H2-20", "empty pieces of a body", floods::empty_data),
    case("H2-21", "frames that serve nobody", floods::idle_frames),
    case("H2-22", "a long field, and 16,000 references to it", floods::references),
    case("H2-23", "many small fields on many streams, and no window", floods::bomb),
    case("H2-24", "400 crumbs of a cookie become one", heads::crumbs),
    case("H2-25", "header lists that are too long", heads::too_long),
    case("H2-26", "prefaces that are none, or slow", flow::prefaces),
    case("H2-27", "CONNECT, for a tunnel and for a WebSocket", heads::connect),
    case("H2-28", "delayed answers hold up nobody", flow::delays),
    case("H2-29", "a client that goes away, or half of it", flow::leaving),
    case("H2-30", "streams that are reset while the response comes", flow::reset_responses),
    case("H2-31", "trailers of a response", flow::trailers),
    elsewhere("H2-32", "GOAWAY of an upstream", "cargo test --test it -- http2_upstream::frames"),
    elsewhere(
        "H2-33",
        "refusals and limits of an upstream",
        "cargo test --test it -- http2_upstream",
    ),
    elsewhere("H2-34", "the 147 cases of h2spec", "cargo test --test it -- http2::conformance"),
];

/// A connection of HTTP/2.
#[track_caller]
fn connect(stand: &Stand) -> H2 {
    H2::over(stand.connect())
}

/// A request with the right key.
fn keyed_get<'a>(more: &[Field<'a>]) -> Vec<Field<'a>> {
    [&request("GET", "/api/v1/x", &[("x-api-key", K1)])[..], more].concat()
}

/// Sends any fields as a request on a stream of its own, and says how it was refused: by a status,
/// or by the code of an error. `K1` stands for the key.
#[track_caller]
fn status_of(stand: &Stand, fields: &[(Vec<u8>, Vec<u8>)]) -> Result<u16, Option<u32>> {
    let mut h2 = connect(stand);
    let fields: Vec<_> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    let block = with_keys(&raw_block(fields));
    h2.frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    let answer = h2.answer(1);
    if answer.complete { Ok(answer.status) } else { Err(answer.error) }
}

/// The refusals of what is malformed.
fn is_refusal(outcome: Result<u16, Option<u32>>) -> bool {
    matches!(outcome, Ok(400) | Err(Some(PROTOCOL_ERROR)))
}
