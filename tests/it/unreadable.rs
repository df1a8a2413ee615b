//! Bytes that are no request, or that many a parser would take for one: refused with keygate's own
//! words, and seen in the access log.

use serde_json::Value;

use crate::support::reference::{guarded, keyed, reference};
use crate::support::{Failures, Gate, Origin, Response};
use crate::websocket::{HANDSHAKE, SWITCHING};

/// What is sent, the status and the sentence.
const REFUSED: [(&str, u16, &str); 8] = [
    ("\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "Bad request"),
    ("GET /api/v1/x HTTP/1.1\nHost: a.test\nX-API-Key: K1\n\n", 400, "Bad request"),
    ("GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX: a\nX-API-Key: K1\r\n\r\n", 400, "Bad request"),
    ("\nGET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n", 400, "Bad request"),
    ("GET /api/v1/x#y HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n", 400, "Bad request"),
    ("GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key : K1\r\n\r\n", 400, "Bad request"),
    ("HEAD", 431, "Request header too large"),
    ("TARGET", 414, "Request target too long"),
];

/// The bytes of a row; the long ones are made here.
fn bytes_of(text: &str) -> Vec<u8> {
    match text {
        "HEAD" => format!("GET / HTTP/1.1\r\nHost: a.test\r\nA: {}", "a".repeat(80 * 1024)).into(),
        "TARGET" => format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "a".repeat(65_534)).into(),
        text => keyed(text).into(),
    }
}

/// A gate that takes heads of up to 128 KiB, so that a target can be too long by itself.
fn roomy(origin: &Origin) -> Gate {
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nmax_header_size = \"128KiB\"\n";
    Gate::with(&[("server.toml", server), ("keygate.toml", &reference(origin))])
}

fn is_own(response: &Response, sentence: &str) -> bool {
    let says = |name: &str, value: &str| response.value(name).eq_ignore_ascii_case(value);
    response.text() == sentence
        && says("content-type", "text/plain; charset=utf-8")
        && says("connection", "close")
        && says("cache-control", "no-store")
        && !response.value("date").is_empty()
        && response.value("x-request-id").len() == 32
}

#[test]
fn what_is_no_request_is_answered_in_keygates_words() {
    let origin = Origin::echo();
    let (gate, roomy) = (guarded(&origin), roomy(&origin));
    let mut failures = Failures::new();
    for (text, status, sentence) in REFUSED {
        let gate = if text == "TARGET" { &roomy } else { &gate };
        let mut client = gate.client();
        let response = client.send(bytes_of(text)).response();
        let right = response.status == status && is_own(&response, sentence);
        failures.row(right && client.rest().is_empty(), || format!("{text:?}: {response:?}"));
    }
    failures.report();
    assert_eq!(origin.count(), 0);
}

#[test]
fn what_is_no_request_stands_in_the_access_log() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let response = gate.send("no request\r\n\r\n");
    let id = response.value("x-request-id").to_owned();
    let line = gate.stdout.wait_for("the refusal", |line| line.contains(&id));
    assert!(line.contains(" 127.0.0.1 - - 400 bytes=11 "), "{line}");

    let gate = Gate::on(&(reference(&origin) + "[log]\nformat = \"json\"\n"));
    let id = gate.send("no request\r\n\r\n").value("x-request-id").to_owned();
    let line = gate.stdout.wait_for("the refusal", |line| line.contains(&id));
    let line: Value = serde_json::from_str(&line).expect("every line is one JSON object");
    assert_eq!(
        (&line["method"], &line["path"], &line["status"]),
        (&Value::Null, &Value::Null, &400.into())
    );
}

#[test]
fn a_request_before_is_answered_as_ever() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    for piece in ["", "pause"] {
        let mut client = gate.client();
        client.send(keyed("GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n"));
        if piece == "pause" {
            assert_eq!(client.response().status, 200);
        }
        client.send("GET /api/v1/y HTTP/1.1\nHost: a.test\n\n");
        if piece.is_empty() {
            assert_eq!(client.response().status, 200);
        }
        assert_eq!(client.response().status, 400);
        assert!(client.rest().is_empty());
    }
    assert_eq!(origin.count(), 2);
}

/// A chunked upload with this line before its second chunk.
fn upload(line: &str) -> String {
    keyed(&format!(
        "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\nTransfer-Encoding: chunked\r\n\
         \r\n5\r\nhello\r\n{line}\r\nworld\r\n0\r\n\r\n"
    ))
}

#[test]
fn a_malformed_chunk_head_ends_the_upload() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut failures = Failures::new();
    for line in ["5;", "5;\0x", "5;bad[=x", "5 ", "5\t", "5;a=\"b", "5;a b", "00000000000000005"] {
        let before = origin.count();
        let mut client = gate.client();
        let response = client.send(upload(line)).response();
        let whole = origin.requests().into_iter().skip(before).any(|one| one.body == b"helloworld");
        let right = response.status == 400 && client.rest().is_empty() && !whole;
        failures.row(right, || format!("{line:?}: {response:?}"));
    }
    failures.report();
    assert_eq!(gate.send(upload("5;a=\"b c\";d")).status, 200);
    // What came of the others may be noted later.
    assert!(origin.requests().iter().any(|request| request.body == b"helloworld"));
}

#[test]
fn what_a_websocket_client_sends_early_is_not_taken_for_a_request() {
    let origin = Origin::scripted(|exchange| {
        exchange.write(SWITCHING);
        let bytes = exchange.bytes(12);
        exchange.write(&bytes);
        exchange.close();
    });
    let gate = guarded(&origin);
    let request =
        format!("GET /api/v1/ws HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n{HANDSHAKE}\r\n");
    // The scan stops at the first LF; every byte around it must arrive all the same.
    let mut client = gate.client();
    client.send([keyed(&request).as_bytes(), b"early\n\r\nmore\n"].concat());
    assert_eq!(client.response().status, 101);
    assert_eq!(client.bytes(12), b"early\n\r\nmore");
}
