//! Where one request ends and the next begins, on both sides of the gate.

use std::time::Duration;

use crate::support::reference::{guarded, keyed};
use crate::support::{Origin, pause};

/// How long a client may be kept from writing by one that no longer reads.
const QUIET: Duration = Duration::from_millis(400);

const START: &str = "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n";

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

#[test]
fn the_rest_of_an_upload_that_was_answered_early_is_no_request() {
    let origin = Origin::scripted(|exchange| {
        exchange.reply(200, b"early");
        // What still comes is the body's.
        exchange.bytes(usize::MAX);
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    let head = keyed(&format!("{START}Content-Length: 1000\r\n\r\nbegin"));
    assert_eq!(client.send(head).response().text(), "early");
    client.send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let rest = client.rest();
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_client_whose_body_will_not_be_read_is_told_that_the_connection_ends() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    for (sent, connection) in [("", "close"), ("hello", "")] {
        let head = "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n";
        let response = gate.client().send([head, sent].concat()).response();
        assert_eq!((response.status, response.value("connection")), (401, connection));
    }
}
