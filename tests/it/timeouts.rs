//! Clients that are slow, or silent, are not waited for without end.

use std::time::{Duration, Instant};

use crate::support::reference::{keyed, reference};
use crate::support::{Client, DEADLINE, Gate, Origin, pause};

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
fn a_body_that_trickles_is_408() {
    let origin = Origin::echo();
    let settings = "client_body_timeout = \"600ms\"\nclient_min_rate = 100";
    let gate = with_server(&origin, settings);
    let start = Instant::now();
    let mut client = gate.client();
    client.send("POST /public/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\n");
    // 20 bytes a second: each piece comes in time, all of them together do not.
    let mut answered = false;
    while !answered && start.elapsed() < LATE {
        answered = client.send("x").hears_within(Duration::from_millis(50));
    }
    assert!(answered, "it is waited for while it trickles");
    in_time(start);
    assert_eq!(client.response().status, 408);
}

#[test]
fn a_response_that_is_taken_in_drops_is_not_held_for_ever() {
    const SIZE: usize = 32 * 1024 * 1024;
    let origin = Origin::scripted(|exchange| exchange.reply(200, &vec![b'x'; SIZE]));
    let [bounded, patient] = ["1000000", "0"].map(|rate| {
        let timeout = "client_body_timeout = \"2s\"";
        with_server(&origin, &format!("{timeout}\nclient_min_rate = {rate}"))
    });
    let mut clients = [&bounded, &patient].map(|gate| {
        let mut client = Client::narrow(gate.address);
        client.send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n").response_head();
        client
    });
    let has_ended = |gate: &Gate| gate.stdout.lines().iter().any(|line| line.contains("/public/x"));
    let start = Instant::now();
    while !has_ended(&bounded) && start.elapsed() < DEADLINE {
        for client in &mut clients {
            client.bytes(8 * 1024);
        }
        pause(Duration::from_millis(20));
    }
    assert!(has_ended(&bounded), "some of it was taken at 400 KB a second");
    // Each drop came in time: it is their sum that did not.
    assert!(!has_ended(&patient), "it was the pause between two drops that was too long");
}

#[test]
fn a_body_that_goes_on_slowly_is_waited_for() {
    let origin = Origin::echo();
    let settings = "client_body_timeout = \"600ms\"\nclient_min_rate = 1";
    let gate = with_server(&origin, settings);
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

#[test]
fn a_quiet_stream_is_no_idle_connection() {
    let origin = Origin::scripted(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        exchange.chunk(b"one");
        pause(Duration::from_millis(1200));
        exchange.chunk(b"two");
        exchange.write("0\r\n\r\n");
    });
    let settings = "keepalive_timeout = \"300ms\"\nclient_header_timeout = \"300ms\"\n\
        client_body_timeout = \"300ms\"";
    let gate = with_server(&origin, settings);
    let response = gate.send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((response.text().as_str(), response.complete), ("onetwo", true));
}

#[test]
fn an_origin_that_pauses_in_an_upload_is_not_blamed_on_the_client() {
    const SIZE: usize = 24 * 1024 * 1024;
    let origin = Origin::scripted(|exchange| {
        pause(Duration::from_millis(1500));
        let body = exchange.read_body();
        exchange.reply(200, body.len().to_string().as_bytes());
    });
    let gate = with_server(&origin, "client_body_timeout = \"600ms\"");
    let head = format!("POST /public/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {SIZE}\r\n\r\n");
    let response = gate.client().send(head).send(vec![b'x'; SIZE]).response();
    assert_eq!((response.status, response.text()), (200, SIZE.to_string()));
}

#[test]
fn the_longest_head_is_as_configured() {
    let origin = Origin::echo();
    let request = |size: usize| {
        let field = "b".repeat(size);
        format!("GET /public/x HTTP/1.1\r\nHost: a.test\r\nA: {field}\r\n\r\n")
    };
    for (setting, fits, over) in [("8KiB", 7_000, 9_000), ("64KiB", 60_000, 70_000)] {
        let gate = with_server(&origin, &format!("max_header_size = \"{setting}\""));
        assert_eq!(gate.send(request(fits)).status, 200, "{setting}");
        let status = gate.client().send(request(over)).answer().map(|response| response.status);
        assert!(matches!(status, None | Some(400 | 431)), "{setting}: {status:?}");
    }
}

#[test]
fn a_second_head_that_does_not_end_is_not_waited_for_either() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "client_header_timeout = \"600ms\"");
    let mut client = gate.client();
    let request = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
    assert_eq!(client.send(request).response().status, 200);
    let start = Instant::now();
    let rest = client.send("GET /public/x HTTP/1.1\r\nHost: a").rest();
    in_time(start);
    let text = String::from_utf8_lossy(&rest).into_owned();
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408 "), "{text}");
}

#[test]
fn a_head_that_does_not_end_after_a_refused_upload_is_not_waited_for_either() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "client_header_timeout = \"600ms\"");
    let mut client = gate.client();
    let refused = "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(client.send(refused).response().status, 401);
    let start = Instant::now();
    client.send("G").rest();
    in_time(start);
}
