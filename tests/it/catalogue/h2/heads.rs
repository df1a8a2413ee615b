//! Heads of requests.

use super::{Stand, connect as over, is_refusal, keyed_get, status_of};
use crate::support::h2::{
    CONTINUATION, END_HEADERS, END_STREAM, Field, HEADERS, NONE, PROTOCOL_ERROR, block, request,
};
use crate::support::reference::K1;
use crate::support::visible;

/// Sends a request without a key to what is open, which must be refused all the same.
#[track_caller]
pub(super) fn refused(stand: &Stand, fields: &[Field<'_>]) {
    let bytes = |(name, value): &Field<'_>| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    refused_bytes(stand, &fields.iter().map(bytes).collect::<Vec<_>>());
}

#[track_caller]
fn refused_bytes(stand: &Stand, fields: &[(Vec<u8>, Vec<u8>)]) {
    let before = stand.origin().count();
    let outcome = status_of(stand, fields);
    let right = is_refusal(outcome) && stand.origin().count() == before;
    let (name, value) = fields.last().cloned().unwrap_or_default();
    stand.holds(right, || format!("{}: {}: {outcome:?}", visible(&name), visible(&value)));
}

/// The fields of an open request, and one more of any bytes.
fn and(name: &[u8], value: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = |(name, value): &Field<'_>| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let mut fields: Vec<_> = request("GET", "/public/x", &[]).iter().map(bytes).collect();
    fields.push((name.to_vec(), value.to_vec()));
    fields
}

pub(super) fn values(stand: &mut Stand, values: &[&[u8]]) {
    for value in values {
        refused_bytes(stand, &and(b"foo", value));
    }
}

pub(super) fn names(stand: &mut Stand, names: &[&[u8]]) {
    for name in names {
        refused_bytes(stand, &and(name, b"x"));
    }
}

pub(super) fn blanks(stand: &mut Stand) {
    for value in [" x", "x ", "\tx", "x\t", " "] {
        refused(stand, &request("GET", "/public/x", &[("x-any", value)]));
    }
    for key in [format!(" {K1}"), format!("{K1} ")] {
        refused(stand, &request("GET", "/api/v1/x", &[("x-api-key", &key)]));
    }
}

/// A request to what is open, one of whose pseudo-header fields has these values instead.
pub(super) fn pseudo(stand: &mut Stand, name: &str, values: &[&str]) {
    for value in values {
        let mut fields = request("GET", "/public/x", &[]);
        let field = fields.iter_mut().find(|(known, _)| *known == name).expect("it is there");
        field.1 = value;
        refused(stand, &fields);
    }
}

pub(super) fn without(stand: &mut Stand, name: &str) {
    let mut fields = request("GET", "/public/x", &[]);
    fields.retain(|(known, _)| *known != name);
    refused(stand, &fields);
}

pub(super) fn targets(stand: &mut Stand) {
    pseudo(stand, ":path", &["hello", "", "*", "/public/a b", "?x", "#x", "/public/\u{e9}"]);
    without(stand, ":path");
    // These are decided as over HTTP/1.1.
    for path in ["//x", "/public\\..\\admin\\x", "/public/../admin/x", "/admin/x#/public/x"] {
        let answer = over(stand).ask(&request("GET", path, &[]));
        let refused = matches!(answer.status, 400 | 401 | 404);
        stand.holds(refused, || format!("{path}: {}", answer.status));
    }
    // The `h2` crate cuts a fragment off: what is left is what is matched and what is sent.
    stand.allow_any("/public/x", 1);
    let answer = over(stand).ask(&request("GET", "/public/x#/../../admin/x", &[]));
    assert_eq!(answer.text(), "/public/x");
}

pub(super) fn authorities(stand: &mut Stand) {
    pseudo(stand, ":authority", &["a.test/path", "u@a.test", "", "a.test:x", "a b", "a.test, b"]);
    refused(stand, &request("GET", "/public/x", &[(":authority", "a.test")]));
    refused(stand, &request("GET", "/public/x", &[("host", "b.test")]));
    let none = |more: &[Field<'static>]| {
        let mut fields = request("GET", "/public/x", more);
        fields.retain(|(name, _)| *name != ":authority");
        fields
    };
    refused(stand, &none(&[]));
    refused(stand, &none(&[("host", "a.test"), ("host", "a.test")]));
    refused(stand, &none(&[("host", "u@a.test")]));
    stand.allow_any("/public/x", 2);
    for fields in [none(&[("host", "b.test")]), request("GET", "/public/x", &[("host", "A.test")])]
    {
        assert_eq!(over(stand).ask(&fields).status, 200);
    }
    let hosts: Vec<_> =
        stand.arrived().iter().map(|one| one.head.values("host").join(",")).collect();
    assert_eq!(hosts, ["b.test", "a.test"]);
}

pub(super) fn misplaced(stand: &mut Stand) {
    for field in [(":test", "ok"), (":status", "200"), (":path", "/public/y"), (":method", "GET")] {
        refused(stand, &request("GET", "/public/x", &[field]));
    }
    let mut late = vec![("x-test", "ok")];
    late.extend(request("GET", "/public/x", &[]));
    refused(stand, &late);
    refused(stand, &request("GET", "/public/x", &[("x-test", "ok"), (":authority", "b.test")]));
}

pub(super) fn in_trailers(stand: &mut Stand) {
    // The `h2` crate drops them with a header block that ends its stream, and refuses any other.
    stand.allow_any("/public/x", 1);
    let mut h2 = over(stand);
    let stream = h2.open(NONE, &request("POST", "/public/x", &[]));
    h2.data(stream, NONE, b"test");
    h2.headers(stream, END_STREAM, &[(":path", "/admin/x"), ("x-sum", "1")]);
    let answer = h2.answer(stream);
    stand.holds(matches!(answer.status, 0 | 200 | 400), || format!("{answer:?}"));
    let trailers = stand.origin().last().trailers;
    stand
        .holds(!trailers.iter().any(|(name, _)| name.contains("path")), || format!("{trailers:?}"));
}

pub(super) fn lengths(stand: &mut Stand) {
    stand.breaks("/public/x");
    for (length, body) in [("5", &b"123456"[..]), ("5", b"1234")] {
        let mut h2 = over(stand);
        let fields = request("POST", "/public/x", &[("content-length", length)]);
        let stream = h2.open(NONE, &fields);
        h2.data(stream, END_STREAM, body);
        let answer = h2.answer(stream);
        stand.holds(answer.status != 200, || format!("{length}: {answer:?}"));
    }
    let whole = stand.arrived().iter().filter(|one| one.whole).count();
    stand.holds(whole == 0, || format!("{whole} whole requests"));
    for lengths in [&["5"][..], &["0", "5"], &["+0"], &["0, 0"], &["18446744073709551616"]] {
        let more: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
        refused(stand, &request("POST", "/public/x", &more));
    }
}

pub(super) fn hidden(stand: &mut Stand) {
    // The request without a body may have gone upstream by the time that one comes.
    stand.may_reach("/public/x");
    let mut h2 = over(stand);
    let stream = h2.open(NONE, &request("POST", "/public/x", &[("content-length", "0")]));
    h2.data(stream, END_STREAM, b"GET /admin/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let answer = h2.answer(stream);
    let right = answer.error.is_some() || matches!(answer.status, 200 | 400);
    stand.holds(right, || format!("{answer:?}"));
    let arrived = stand.arrived();
    let empty = arrived.iter().all(|one| one.target() == "/public/x" && one.body.is_empty());
    stand.holds(empty && arrived.len() <= 1, || format!("{arrived:?}"));
}

pub(super) fn in_pieces(stand: &mut Stand) {
    stand.allow_any("/api/v1/x", 1);
    let block = block(&keyed_get(&[]));
    let cut = |piece: usize| piece * (block.len() - K1.len() - 2) / 9;
    let mut h2 = over(stand);
    h2.frame(HEADERS, END_STREAM, 1, &block[..cut(1)]);
    for piece in 1..9 {
        h2.frame(CONTINUATION, NONE, 1, &block[cut(piece)..cut(piece + 1)]);
    }
    h2.frame(CONTINUATION, END_HEADERS, 1, &block[cut(9)..]);
    assert_eq!(h2.answer(1).text(), "/api/v1/x");
}

pub(super) fn crumbs(stand: &mut Stand) {
    stand.allow_any("/api/v1/x", 1);
    let crumbs: Vec<_> = (0..400).map(|number| format!("c{number}=v")).collect();
    let more: Vec<_> = crumbs.iter().map(|crumb| ("cookie", crumb.as_str())).collect();
    assert_eq!(over(stand).ask(&keyed_get(&more)).status, 200);
    assert_eq!(stand.origin().last().head.values("cookie"), [crumbs.join("; ")]);
}

pub(super) fn too_long(stand: &mut Stand) {
    let names: Vec<_> = (0..30_000).map(|number| format!("x-{number}")).collect();
    let fields = |count: usize, value: &'static str| -> Vec<Field<'_>> {
        keyed_get(&names[..count].iter().map(|name| (name.as_str(), value)).collect::<Vec<_>>())
    };
    // What is longer than 32 KiB, counted with 32 bytes a field, and what has over 100 fields.
    let long = "x".repeat(32 * 1024);
    let one = keyed_get(&[("x-long", &long)]);
    for fields in [&one, &fields(98, LONG), &fields(500, ""), &fields(100, "")] {
        let answer = send_block(stand, fields);
        stand.holds(answer.status == 431, || format!("{} fields: {answer:?}", fields.len()));
    }
    for fields in [&fields(3500, LONG)[..1700], &fields(30_000, "")] {
        let answer = send_block(stand, fields);
        let right = answer.status == 431 || !answer.complete;
        stand.holds(right, || format!("{} fields: {}", fields.len(), answer.status));
    }
    stand.allow_any("/api/v1/x", 1);
    assert_eq!(send_block(stand, &fields(90, "x")).status, 200);
}

/// 300 bytes.
const LONG: &str = "................................................................................\
    ............................................................................................\
    ............................................................................................\
    ....................................";

/// Sends a request whose header block takes as many frames as it needs.
#[track_caller]
fn send_block(stand: &Stand, fields: &[Field<'_>]) -> crate::support::h2::Answer {
    let mut h2 = over(stand);
    let block = block(fields);
    let mut pieces = block.chunks(16 * 1024).peekable();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { END_HEADERS } else { NONE };
        let end = if kind == HEADERS { END_STREAM } else { NONE };
        h2.frame(kind, last | end, 1, piece);
        kind = CONTINUATION;
    }
    h2.answer(1)
}

pub(super) fn connect(stand: &mut Stand) {
    for key in [&[][..], &[("x-api-key", K1)]] {
        let tunnel = [&[(":method", "CONNECT"), (":authority", "a.test:80")][..], key].concat();
        let answer = over(stand).ask(&tunnel);
        stand.holds(answer.status == 405, || format!("{answer:?}"));
        // Nothing says that it may be asked for (RFC 8441, section 3).
        let websocket = request("CONNECT", "/api/v1/x", &[(":protocol", "websocket")]);
        let answer = over(stand).ask(&[&websocket[..], key].concat());
        let refused = answer.status == 405 || answer.error == Some(PROTOCOL_ERROR);
        stand.holds(refused, || format!("{answer:?}"));
    }
}
