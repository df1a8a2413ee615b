//! Clients that are slow, or silent, are not waited for without end.

use std::time::{Duration, Instant};

use crate::support::reference::{keyed, reference};
use crate::support::{Gate, Origin, pause};

/// Long enough to be measured on a busy machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(600);
/// How much later than its time an end may come.
const LATE: Duration = Duration::from_secs(4);

fn with_server(origin: &Origin, settings: &str) -> Gate {
    let server = format!("[server]\nlisten = \"127.0.0.1:0\"\n{settings}\n");
    Gate::with(&[("keygate.toml", &reference(origin)), ("server.toml", &server)])
}

#[track_caller]
fn in_time(start: Instant) {
    let elapsed = start.elapsed();
    assert!((SHORT..SHORT + LATE).contains(&elapsed), "after {elapsed:?}");
}

#[test]
fn a_head_that_does_not_end_is_not_waited_for() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "client_header_timeout = \"600ms\"");
    let start = Instant::now();
    let rest = gate.client().send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n").rest();
    in_time(start);
    let text = String::from_utf8_lossy(&rest).into_owned();
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408 "), "{text}");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_head_that_trickles_is_not_waited_for() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "client_header_timeout = \"600ms\"");
    let start = Instant::now();
    let mut client = gate.client();
    client.send("GET /public/x HTTP/1.1\r\nHost: a.test\r\nA: ");
    while start.elapsed() < LATE && !client.closes_within(Duration::from_millis(50)) {
        client.send("b");
        if client.hears_within(Duration::from_millis(50)) {
            break;
        }
    }
    in_time(start);
}

#[test]
fn a_connection_that_says_nothing_is_not_waited_for() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "client_header_timeout = \"600ms\"");
    let start = Instant::now();
    assert!(gate.client().closes_within(SHORT + LATE));
    in_time(start);
}

#[test]
fn a_body_that_does_not_go_on_is_408() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "client_body_timeout = \"600ms\"");
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let start = Instant::now();
        let mut client = gate.client();
        let request = format!("POST /public/x HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n2");
        let response = client.send(request).response();
        in_time(start);
        assert_eq!(response.status, 408, "{framing}");
        assert!(client.closes_within(LATE), "stays open");
    }
}

#[test]
fn a_body_that_goes_on_slowly_is_waited_for() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "client_body_timeout = \"600ms\"");
    let mut client = gate.client();
    client.send("POST /public/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n");
    let start = Instant::now();
    for _ in 0..10 {
        pause(Duration::from_millis(100));
        client.send("x");
    }
    assert!(start.elapsed() > SHORT);
    assert_eq!(client.response().status, 200);
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "keepalive_timeout = \"600ms\"");
    let mut client = gate.client();
    for _ in 0..3 {
        let request = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
        assert_eq!(client.send(request).response().status, 200);
    }
    let start = Instant::now();
    assert!(client.closes_within(SHORT + LATE), "stays open");
    assert!(start.elapsed() + Duration::from_millis(50) >= SHORT, "after {:?}", start.elapsed());
}

#[test]
fn an_idle_connection_is_kept_for_its_time() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "client_header_timeout = \"300ms\"");
    let mut client = gate.client();
    let request = keyed("GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n");
    assert_eq!(client.send(&request).response().status, 200);
    assert!(!client.closes_within(Duration::from_millis(900)), "closed before its time");
    assert_eq!(client.send(&request).response().status, 200);
}

#[test]
fn a_slow_answer_is_no_idle_connection() {
    let origin = Origin::scripted(|exchange| {
        pause(Duration::from_millis(1200));
        exchange.reply(200, b"thought");
    });
    let settings = "keepalive_timeout = \"300ms\"\nclient_header_timeout = \"300ms\"\n\
        client_body_timeout = \"300ms\"";
    let gate = with_server(&origin, settings);
    let response = gate.send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(response.text(), "thought");
}
