//! Where one request ends and the next begins, on both sides of the gate.

use std::time::Duration;

use crate::support::reference::{guarded, keyed};
use crate::support::{DEADLINE, Failures, Gate, Origin, pause};

/// Bytes that follow `POST /api/v1/x`, its host and its key; the status of every answer; the body
/// that the origin must have seen, if any.
type Row = (&'static str, &'static str, &'static [u16], Option<&'static str>);

/// The smuggled request asks for a guarded path without a key; it may be answered or not read.
const BODIES: &[Row] = &[
    ("a length", "Content-Length: 5\r\n\r\nhello", &[200], Some("hello")),
    ("no body", "\r\n", &[200], Some("")),
    ("an empty body", "Content-Length: 0\r\n\r\n", &[200], Some("")),
    ("a length with noughts", "Content-Length: 005\r\n\r\nhello", &[200], Some("hello")),
    (
        "two equal lengths",
        "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        &[200],
        Some("hello"),
    ),
    (
        "chunks",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        &[200],
        Some("hello"),
    ),
    (
        "chunks in upper case",
        "Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        &[200],
        Some("0123456789"),
    ),
    (
        "an extension",
        "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
        &[200],
        Some("hello"),
    ),
    (
        "a size with noughts",
        "Transfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n",
        &[200],
        Some("hello"),
    ),
    (
        "a coding with underscores",
        "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        &[200],
        Some("hello"),
    ),
    (
        "a length with underscores",
        "Content_Length: 99\r\nContent-Length: 5\r\n\r\nhello",
        &[200],
        Some("hello"),
    ),
    (
        "a hexadecimal prefix",
        "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        &[400],
        None,
    ),
    ("a signed size", "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", &[400], None),
    ("a negative size", "Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n", &[400], None),
    (
        "an underscore in the size",
        "Transfer-Encoding: chunked\r\n\r\n1_0\r\nhello\r\n0\r\n\r\n",
        &[400],
        None,
    ),
    ("no size", "Transfer-Encoding: chunked\r\n\r\ng\r\nhello\r\n0\r\n\r\n", &[400], None),
    ("an empty size", "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", &[400], None),
    (
        "a size past 64 bits",
        "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n",
        &[400],
        None,
    ),
    (
        "more than the size",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n",
        &[400],
        None,
    ),
    (
        "no line end after a chunk",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
        &[400],
        None,
    ),
    (
        "a bare line feed after the size",
        "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        &[400],
        None,
    ),
    (
        "a bare line feed after the chunk",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        &[400],
        None,
    ),
];

/// How long a connection must be quiet to have nothing more to say.
const QUIET: Duration = Duration::from_millis(400);

/// Every status on the connection until it ends or falls quiet.
fn statuses(gate: &Gate, request: &str) -> Vec<u16> {
    let mut client = gate.client();
    client.send(request);
    let mut all = Vec::new();
    // The first answer may take long on a busy machine; what follows it comes with it.
    let mut patience = DEADLINE;
    while client.hears_within(patience) {
        all.extend(client.unread());
        patience = QUIET;
    }
    let all = String::from_utf8_lossy(&all).into_owned();
    all.split("HTTP/1.").skip(1).filter_map(|rest| rest.get(2..5)?.parse().ok()).collect()
}

const START: &str = "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n";

#[test]
fn a_body_is_framed_anew_or_refused() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut failures = Failures::new();
    for (name, rest, expected, body) in BODIES {
        let before = origin.count();
        let got = statuses(&gate, &keyed(&format!("{START}{rest}")));
        let arrived = origin.requests().split_off(before);
        // A bad chunk is found when its head has gone upstream: an error of the gateway or of the
        // client are both true of it, and so is an abort.
        let right = match body {
            Some(body) => {
                got == *expected && arrived.len() == 1 && arrived[0].body == body.as_bytes()
            }
            None => got.len() <= 1 && got.iter().all(|status| matches!(status, 400 | 502)),
        };
        let clean = arrived.iter().all(|one| one.head.start.starts_with("POST /api/v1/x "));
        failures.row(right && clean, || format!("{name}: {got:?} {arrived:?}"));
    }
    failures.report();
}

/// Ways to hide a request in another one's body.
const SMUGGLED: &[(&str, &str)] = &[
    ("CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX"),
    ("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n0\r\n\r\nX"),
    (
        "CL.TE with a request",
        "Content-Length: 45\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /public/evil HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ),
    (
        "TE.CL with a request",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2b\r\nGET /public/evil HTTP/1.1\r\nHost: a.test\r\n\r\n\r\n0\r\n\r\n",
    ),
    (
        "a coding in a second line",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 45\r\n\r\n0\r\n\r\nGET /public/evil HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ),
    (
        "two lengths",
        "Content-Length: 0\r\nContent-Length: 44\r\n\r\nGET /public/evil HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ),
    (
        "a coding behind a vertical tab",
        "Transfer-Encoding:\x0bchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /public/evil HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ),
];

#[test]
fn nothing_is_smuggled_in_a_body() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut failures = Failures::new();
    for key in ["X-API-Key: K1\r\n", ""] {
        for (name, rest) in SMUGGLED {
            let before = origin.count();
            let start = "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\n";
            let got = statuses(&gate, &keyed(&format!("{start}{key}{rest}")));
            let arrived = origin.requests().split_off(before);
            let clean = arrived.iter().all(|one| one.head.start.starts_with("POST /api/v1/x "));
            let right = got.len() <= 1 && arrived.len() <= 1 && clean;
            failures.row(right, || format!("{name}, {key:?}: {got:?} {arrived:?}"));
        }
    }
    failures.report();
}

#[test]
fn a_body_behind_a_401_is_never_read_as_a_request() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let hidden = keyed("GET /api/v1/hidden HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n");
    let length = hidden.len();
    for framing in [
        format!("Content-Length: {length}\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{hidden}\r\n0\r\n\r\n"),
    ] {
        let got = statuses(&gate, &format!("POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\n{framing}"));
        assert_eq!(got, [401]);
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn the_answer_to_a_large_refused_body_arrives() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let body = vec![b'x'; 300_000];
    let head = format!(
        "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let response = gate.client().send([head.as_bytes(), &body].concat()).response();
    assert_eq!((response.status, response.text().as_str()), (401, "Key missing"));
}

#[test]
fn a_refused_upload_without_end_is_answered_at_once() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut client = gate.client();
    client.send("POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert_eq!(client.response().status, 401);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_refused_client_that_is_still_sending_is_not_reset() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut client = gate.client();
    client.send("POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 900000\r\n\r\n");
    assert_eq!(client.send(vec![b'x'; 100_000]).response().status, 401);
    for _ in 0..5 {
        pause(Duration::from_millis(20));
        assert!(client.sends_within(QUIET, &[b'x'; 1000]), "the connection is reset");
    }
}

#[test]
fn each_pipelined_request_needs_its_own_key() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut all = String::new();
    for number in 0..200 {
        let key = if number % 7 == 3 { "" } else { "X-API-Key: K1\r\n" };
        all += &keyed(&format!("GET /api/v1/{number} HTTP/1.1\r\nHost: a.test\r\n{key}\r\n"));
    }
    let mut client = gate.client();
    client.send(all);
    for number in 0..200 {
        let response = client.response();
        let expected = if number % 7 == 3 {
            (401, "Key missing".to_owned())
        } else {
            (200, format!("/api/v1/{number}"))
        };
        assert_eq!((response.status, response.text()), expected, "answer {number}");
    }
    assert_eq!(origin.count(), 171);
}

#[test]
fn an_empty_body_hides_no_request_but_precedes_one() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut client = gate.client();
    client.send(keyed(&format!(
        "{START}Content-Length: 0\r\n\r\nGET /admin/x HTTP/1.1\r\nHost: a.test\r\n\r\n"
    )));
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().text(), "Key missing");
}

#[test]
fn a_get_with_a_body_keeps_it_a_body() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut client = gate.client();
    let body = "GET /public/evil HTTP/1.1\r\nHost: a.test\r\n\r\n";
    client.send(keyed(&format!(
        "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )));
    assert_eq!(client.response().status, 200);
    assert_eq!(origin.last().body, body.as_bytes());
    assert_eq!(
        client.send("GET /public/y HTTP/1.1\r\nHost: a.test\r\n\r\n").response().text(),
        "/public/y"
    );
}

#[test]
fn a_request_of_1_0_without_a_length_has_no_body() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let got = statuses(
        &gate,
        "POST /public/x HTTP/1.0\r\n\r\nGET /public/evil HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(got.len(), 1);
    assert!(origin.requests().iter().all(|one| one.target() == "/public/x" && one.body.is_empty()));
}

#[test]
fn pipelined_bodies_keep_apart() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut all = String::new();
    for number in 0..60 {
        let body = "x".repeat(number * 50);
        let start = keyed(&START.replace("/x ", &format!("/{number} ")));
        all += &match number % 3 {
            0 => format!("{start}Content-Length: {}\r\n\r\n{body}", body.len()),
            1 => format!(
                "{start}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            ),
            _ => format!("{start}\r\n"),
        };
    }
    let mut client = gate.client();
    client.send(all);
    for number in 0..60 {
        assert_eq!(client.response().text(), format!("/api/v1/{number}"));
    }
    let lengths: Vec<_> = origin.requests().iter().map(|one| one.body.len()).collect();
    let expected = (0..60).map(|number| if number % 3 == 2 { 0 } else { number * 50 });
    assert_eq!(lengths, expected.collect::<Vec<_>>());
}

#[test]
fn every_method_passes_with_its_body() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    for method in
        ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND", "get", "M-SEARCH"]
    {
        let request = keyed(&START.replace("POST", method)) + "Content-Length: 5\r\n\r\nhello";
        assert_eq!(gate.send(request).status, 200, "{method}");
        let seen = origin.last();
        assert_eq!(seen.head.start, format!("{method} /api/v1/x HTTP/1.1"));
        assert_eq!(seen.body, b"hello", "{method}");
    }
}
