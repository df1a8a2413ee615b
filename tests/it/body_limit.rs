//! `client_max_body_size`: what is over it is 413, however the body is framed.

use crate::support::reference::{keyed, simple};
use crate::support::{Failures, Gate, Origin};

const LIMIT: usize = 1024;

fn limited(origin: &Origin) -> Gate {
    simple(origin, "client_max_body_size = \"1KiB\"\n")
}

fn start(framing: &str) -> String {
    keyed(&format!("POST /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n{framing}\r\n\r\n"))
}

fn with_length(size: usize) -> String {
    start(&format!("Content-Length: {size}")) + &"x".repeat(size)
}

/// A chunked body in pieces of this size.
fn in_chunks(size: usize, piece: usize) -> String {
    let mut request = start("Transfer-Encoding: chunked");
    let mut left = size;
    while left > 0 {
        let now = left.min(piece);
        request += &format!("{now:x}\r\n{}\r\n", "x".repeat(now));
        left -= now;
    }
    request + "0\r\n\r\n"
}

#[test]
fn the_limit_holds_for_a_length_and_for_chunks() {
    let origin = Origin::echo();
    let gate = limited(&origin);
    let rows = [
        ("a length at the limit", with_length(LIMIT), 200),
        ("a length over it", with_length(LIMIT + 1), 413),
        ("a length far over it", with_length(LIMIT * 100), 413),
        ("chunks at the limit", in_chunks(LIMIT, 100), 200),
        ("one chunk at the limit", in_chunks(LIMIT, LIMIT), 200),
        ("chunks over it", in_chunks(LIMIT + 1, 100), 413),
        ("one chunk over it", in_chunks(LIMIT + 1, LIMIT + 1), 413),
        ("small chunks far over it", in_chunks(LIMIT * 4, 7), 413),
        ("nothing", start("Content-Length: 0"), 200),
    ];
    let mut failures = Failures::new();
    for (name, request, status) in rows {
        let response = gate.send(request);
        failures.row(response.status == status, || format!("{name}: {}", response.status));
    }
    failures.report();
}

#[test]
fn a_length_over_the_limit_touches_no_upstream_and_needs_no_body() {
    let origin = Origin::echo();
    let gate = limited(&origin);
    let response = gate.send(start(&format!("Content-Length: {}", LIMIT + 1)));
    assert_eq!((response.status, response.text().as_str()), (413, "Request body too large"));
    assert_eq!(response.value("Connection"), "close", "nobody waits for a body that is not wanted");
    let expecting = start(&format!("Content-Length: {}\r\nExpect: 100-continue", LIMIT + 1));
    let response = gate.send(expecting);
    assert_eq!((response.status, response.interim.len()), (413, 0));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_missing_key_is_said_before_a_body_that_is_too_large() {
    let origin = Origin::echo();
    let gate = limited(&origin);
    let request = "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 999999\r\n\r\n";
    assert_eq!(gate.send(request).status, 401);
}

#[test]
fn a_cut_upload_never_looks_whole_to_the_origin() {
    let origin = Origin::echo();
    let gate = limited(&origin);
    assert_eq!(gate.send(in_chunks(LIMIT * 4, 100)).status, 413);
    let whole = origin.requests().into_iter().filter(|one| one.body.len() > LIMIT);
    assert_eq!(whole.count(), 0);
}
