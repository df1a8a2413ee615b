//! What wrong keys cost: the delay, the limit for each client, and what neither may touch.

use std::time::{Duration, Instant};

use crate::support::reference::{K1, one_location, upstream};
use crate::support::{Gate, Origin, Response, wait_until};

/// Long enough that a busy machine does not take as long for anything else.
const DELAY: Duration = Duration::from_millis(1500);

fn gate_with(origin: &Origin, settings: &str) -> Gate {
    let source = format!("header = \"X-API-Key\"\n{settings}\n");
    let server = "[server]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n";
    Gate::with(&[(
        "keygate.toml",
        &(server.to_owned() + &upstream(origin) + &one_location(&source, "")),
    )])
}

fn request(lines: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n")
}

fn valid() -> String {
    request(&format!("X-API-Key: {K1}\r\n"))
}

#[test]
fn an_invalid_key_waits_and_nothing_else_does() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "delay = \"1500ms\"");
    let mut slow = gate.client();
    let start = Instant::now();
    slow.send(request("X-API-Key: wrong\r\n"));
    // All of these go out after it, and come back before it.
    assert_eq!(gate.send(request("")).text(), "Key missing");
    assert_eq!(gate.send(request("X-API-Key:\r\n")).text(), "Key missing");
    assert_eq!(gate.send(valid()).status, 200);
    assert!(!slow.hears_within(Duration::ZERO), "the delayed answer came first");
    assert_eq!(slow.response().text(), "Key auth fail");
    assert!(start.elapsed() >= DELAY, "answered after {:?}", start.elapsed());
}

#[test]
fn a_key_given_twice_waits_as_any_invalid_one() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "delay = \"300ms\"");
    let start = Instant::now();
    let response = gate.send(request(&format!("X-API-Key: {K1}\r\nX-API-Key: {K1}\r\n")));
    assert_eq!(response.text(), "Key auth fail");
    assert!(start.elapsed() >= Duration::from_millis(300), "after {:?}", start.elapsed());
}

#[test]
fn answers_keep_their_order_on_a_connection() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "delay = \"300ms\"");
    let mut client = gate.client();
    client.send(request("X-API-Key: wrong\r\n") + &valid());
    assert_eq!(client.response().text(), "Key auth fail");
    assert_eq!(client.response().text(), "/x");
}

#[test]
fn delayed_answers_wait_side_by_side() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "delay = \"1500ms\"");
    let start = Instant::now();
    let mut clients: Vec<_> = (0..50).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(request("X-API-Key: wrong\r\n"));
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 401);
    }
    assert!(start.elapsed() < DELAY * 5, "one after the other: {:?}", start.elapsed());
}

#[test]
fn a_client_that_leaves_ends_its_delay() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "delay = \"8s\"");
    let before = gate.open_files();
    let mut clients: Vec<_> = (0..20).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(request("X-API-Key: wrong\r\n"));
    }
    wait_until("the connections are open", || gate.open_files() >= before + 20);
    drop(clients);
    let start = Instant::now();
    wait_until("the connections are closed", || gate.open_files() < before + 5);
    assert!(start.elapsed() < Duration::from_secs(6), "only after the delay");
}

#[test]
fn a_client_that_leaves_with_bytes_unread_ends_its_delay_too() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "delay = \"60s\"");
    let before = gate.open_files();
    let mut clients: Vec<_> = (0..20).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(request("X-API-Key: wrong\r\n") + "G");
    }
    wait_until("the connections are open", || gate.open_files() >= before + 20);
    drop(clients);
    wait_until("the connections are closed", || gate.open_files() < before + 5);
}

/// A wrong key from a client behind the trusted proxy.
fn wrong_from(gate: &Gate, client: &str) -> Response {
    gate.send(request(&format!("X-Forwarded-For: {client}\r\nX-API-Key: wrong\r\n")))
}

#[test]
fn too_many_failures_are_429_but_a_valid_key_passes() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "max_failures = \"3/1m\"");
    for _ in 0..3 {
        assert_eq!(gate.send(request("X-API-Key: wrong\r\n")).status, 401);
    }
    let over = gate.send(request("X-API-Key: wrong\r\n"));
    assert_eq!(over.status, 429);
    let wait: u64 = over.value("Retry-After").parse().expect("Retry-After is a number");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(gate.send(valid()).status, 200);
    assert_eq!(gate.send(request("")).text(), "Key missing");
    assert_eq!(gate.send(request("X-API-Key: wrong\r\n")).status, 429);
    assert_eq!(origin.count(), 1);
}

#[test]
fn missing_keys_are_no_failures() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "max_failures = \"2/1m\"");
    for _ in 0..5 {
        assert_eq!(gate.send(request("")).status, 401);
    }
    assert_eq!(gate.send(request("X-API-Key: wrong\r\n")).status, 401);
}

#[test]
fn failures_are_counted_for_each_client() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "max_failures = \"1/1m\"");
    let rows = [
        ("192.0.2.1", 401),
        ("192.0.2.1", 429),
        ("192.0.2.2", 401),
        ("2001:db8::1", 401),
        ("2001:db8::2", 429),
        ("2001:db8:0:0:ffff::", 429),
        ("2001:db8:0:1::1", 401),
        ("::ffff:192.0.2.2", 429),
        ("::ffff:192.0.2.3", 401),
    ];
    for (client, status) in rows {
        assert_eq!(wrong_from(&gate, client).status, status, "{client}");
    }
}

#[test]
fn the_window_of_failures_ends() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "max_failures = \"1/1s\"");
    assert_eq!(gate.send(request("X-API-Key: wrong\r\n")).status, 401);
    wait_until("an answer is 401 again", || {
        gate.send(request("X-API-Key: wrong\r\n")).status == 401
    });
}

const PREFLIGHT: &str = "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\nOrigin: https://b.test\r\n\
    Access-Control-Request-Method: POST\r\n\r\n";

/// Requests that are almost a preflight.
const NO_PREFLIGHT: [&str; 7] = [
    "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\nOrigin: https://b.test\r\n\r\n",
    "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost: a.test\r\nOrigin: b\r\nAccess-Control-Request-Method: GET\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nOrigin: b\r\n\
     Access-Control-Request-Method: GET\r\nX-HTTP-Method-Override: OPTIONS\r\n\r\n",
    "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\nOrigin: https://b.test\r\n\
     Access-Control-Request-Method: POST\r\nContent-Length: 5\r\n\r\nhello",
    "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\nOrigin: https://b.test\r\n\
     Access-Control-Request-Method: POST\r\nTransfer-Encoding: chunked\r\n\r\n\
     5\r\nhello\r\n0\r\n\r\n",
];

#[test]
fn only_a_whole_preflight_passes_where_preflights_may() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "allow_preflight = true");
    assert_eq!(gate.send(PREFLIGHT).status, 200);
    for request in NO_PREFLIGHT {
        assert_eq!(gate.send(request).status, 401, "{request}");
    }
    assert_eq!(origin.count(), 1);
    let closed = gate_with(&origin, "");
    assert_eq!(closed.send(PREFLIGHT).status, 401);
}

#[test]
fn a_grpc_client_is_told_in_its_own_way() {
    let origin = Origin::echo();
    let gate = gate_with(&origin, "max_failures = \"1/1m\"");
    for status in ["16", "8"] {
        let lines = "X-API-Key: wrong\r\nContent-Type: application/grpc\r\n";
        let response = gate.send(request(lines));
        assert_eq!((response.status, response.value("grpc-status")), (200, status));
    }
}
