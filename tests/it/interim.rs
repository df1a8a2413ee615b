//! What is said before an answer: `Expect: 100-continue`, 100, 102 and 103.

use std::time::Duration;

use crate::support::reference::{guarded, keyed};
use crate::support::{DEADLINE, Origin, pause};

const START: &str = "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n";

#[test]
fn a_client_without_a_key_is_not_told_to_continue() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    for key in ["", "X-API-Key: wrong\r\n"] {
        let response = gate.send(format!(
            "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\n{key}Expect: 100-continue\r\n\
             Content-Length: 5\r\n\r\n"
        ));
        assert_eq!((response.status, response.interim.len()), (401, 0));
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_client_with_a_key_is_told_to_continue_once() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut client = gate.client();
    client.send(keyed(&format!("{START}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")));
    assert_eq!(client.head().second_word(), "100");
    let response = client.send("hello").response();
    assert_eq!((response.status, response.interim.len()), (200, 0));
    assert_eq!(origin.last().body, b"hello");
}

#[test]
fn a_body_sent_without_waiting_to_be_told_leaves_no_rest() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut client = gate.client();
    let next = "GET /public/next HTTP/1.1\r\nHost: a.test\r\n\r\n";
    client.send(keyed(&format!(
        "{START}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello{next}"
    )));
    assert_eq!(client.response().text(), "/api/v1/x");
    assert_eq!(client.response().text(), "/public/next");
    assert_eq!(origin.requests()[0].body, b"hello");
}

#[test]
fn early_hints_pass() {
    let origin = Origin::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    let response = guarded(&origin).send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((response.status, response.text().as_str()), (200, "hi"));
    let links: Vec<_> = response.interim.iter().filter_map(|head| head.value("link")).collect();
    assert_eq!(links, ["</a.css>; rel=preload"]);
}

/// What an origin says before its answer, and the answer.
const BEFORE: [(&str, usize); 3] = [
    ("HTTP/1.1 100 Continue\r\n\r\n", 1),
    ("HTTP/1.1 102 Processing\r\n\r\n", 50),
    ("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", 20),
];

#[test]
fn however_much_is_said_before_an_answer_it_comes() {
    for (interim, times) in BEFORE {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let origin = Origin::answering(interim.repeat(times) + answer);
        let gate = guarded(&origin);
        let mut client = gate.client();
        for _ in 0..2 {
            let request = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
            assert_eq!(client.send(request).response().text(), "hi", "{interim}");
        }
        let old = gate.send("GET /public/x HTTP/1.0\r\n\r\n");
        assert_eq!((old.text().as_str(), old.interim.len()), ("hi", 0), "{interim}");
    }
}

#[test]
fn hop_by_hop_fields_of_early_hints_end_at_the_gate() {
    let origin = Origin::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\nConnection: X-Secret\r\nX-Secret: 1\r\n\
         Keep-Alive: timeout=1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    let gate = guarded(&origin);
    let response = gate.send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let hints = response.interim.first().expect("the hints come");
    for name in ["connection", "x-secret", "keep-alive"] {
        assert!(!hints.has(name), "{hints:?}");
    }
}

/// Expectations that nobody has to know (RFC 9110, section 10.1.1).
const EXPECTATIONS: [&str; 4] = ["200-ok", "100-Continue, x", "y 100-continue", ""];

#[test]
fn an_unknown_expectation_ends_at_the_gate() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    for value in EXPECTATIONS {
        let before = origin.count();
        let response =
            gate.send(keyed(&format!("{START}Expect: {value}\r\nContent-Length: 5\r\n\r\nhello")));
        let arrived = origin.requests().split_off(before);
        let ignored = response.status == 200 && arrived.iter().all(|one| !one.head.has("expect"));
        assert!(ignored || response.status == 417 && arrived.is_empty(), "{value}: {arrived:?}");
    }
}

#[test]
fn the_word_to_continue_is_the_origins() {
    let origin = Origin::scripted(|exchange| {
        exchange.write("HTTP/1.1 100 Continue\r\n\r\n");
        let body = exchange.read_body();
        exchange.reply(200, &body);
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    for _ in 0..2 {
        client.send(keyed(&format!("{START}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")));
        assert_eq!(client.head().second_word(), "100");
        let response = client.send("hello").response();
        assert_eq!((response.text().as_str(), response.interim.len()), ("hello", 0));
    }
    assert_eq!(origin.last().head.value("expect"), Some("100-continue"));
}

#[test]
fn an_origin_may_refuse_before_the_body_is_sent() {
    let origin = Origin::scripted(|exchange| {
        exchange.write("HTTP/1.1 417 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        exchange.ends_within(DEADLINE);
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    client.send(keyed(&format!("{START}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")));
    let response = client.response();
    assert_eq!((response.status, response.interim.len()), (417, 0));
}

#[test]
fn nobody_is_told_to_continue_in_the_middle_of_an_answer() {
    let origin = Origin::scripted(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        exchange.chunk(b"one");
        // Longer than anybody is kept waiting for the word to continue.
        pause(Duration::from_secs(2));
        exchange.chunk(b"two");
        exchange.write("0\r\n\r\n");
    });
    let gate = guarded(&origin);
    let head = keyed(&format!("{START}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
    let response = gate.client().send(head).response();
    assert_eq!((response.text().as_str(), response.complete), ("onetwo", true));
}
