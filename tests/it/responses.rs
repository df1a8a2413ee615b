//! How responses are framed for the client, whatever the upstream's framing was.

use crate::support::reference::guarded;
use crate::support::{DEADLINE, Failures, Origin};

#[test]
fn a_response_that_ends_with_its_connection_is_framed() {
    let origin = Origin::scripted(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\n\r\nuntil the end");
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    for _ in 0..2 {
        let request = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
        let response = client.send(request).response();
        assert_eq!((response.text().as_str(), response.complete), ("until the end", true));
    }
}

#[test]
fn a_client_of_1_0_gets_no_chunks() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    );
    let gate = guarded(&origin);
    let mut client = gate.client();
    let response = client.send("GET /public/x HTTP/1.0\r\n\r\n").response();
    assert!(!response.head.has("transfer-encoding"), "{:?}", response.head);
    assert_eq!(response.text(), "hi");
    assert!(client.closes_within(DEADLINE), "stays open");
}

#[test]
fn each_side_may_close_its_own_connection() {
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    let origin = Origin::scripted(move |exchange| {
        exchange.write(closing);
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    let request = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for _ in 0..3 {
        assert_eq!(client.send(request).response().text(), "hi");
    }
    let last = "GET /public/x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let response = client.send(last).response();
    assert_eq!(response.value("connection").to_ascii_lowercase(), "close");
    assert!(client.closes_within(DEADLINE), "stays open");
}

#[test]
fn a_large_head_of_a_response_passes() {
    let field = "x".repeat(30_000);
    let origin =
        Origin::answering(format!("HTTP/1.1 200 OK\r\nA: {field}\r\nContent-Length: 2\r\n\r\nhi"));
    let response = guarded(&origin).send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((response.text().as_str(), response.value("a").len()), ("hi", 30_000));
}

/// Answers that are unusual and right, and the status and body that the client gets.
const UNUSUAL: [(&str, &[u8], u16, &str); 9] = [
    ("HTTP/1.0 with a length", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
    ("HTTP/1.0 to the end", b"HTTP/1.0 200 OK\r\n\r\nhi", 200, "hi"),
    ("no reason", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
    ("an empty reason", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
    ("a reason in Latin-1", b"HTTP/1.1 200 Tr\xe8s\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
    ("a field in Latin-1", b"HTTP/1.1 200 OK\r\nA: \xe8\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
    ("an unknown status", b"HTTP/1.1 799 Well\r\nContent-Length: 2\r\n\r\nhi", 799, "hi"),
    (
        "equal lengths",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        200,
        "hi",
    ),
    ("no body at all", b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 500, ""),
];

#[test]
fn unusual_answers_pass() {
    let mut failures = Failures::new();
    for (name, answer, status, body) in UNUSUAL {
        let origin = Origin::scripted(move |exchange| {
            exchange.write(answer);
            exchange.close();
        });
        let gate = guarded(&origin);
        let response =
            gate.client().send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n").answer();
        let got = response.map(|response| (response.status, response.text()));
        failures.row(got == Some((status, body.to_owned())), || format!("{name}: {got:?}"));
    }
    failures.report();
}
