//! How keygate ends: what is in flight is answered, and a successor loses nothing. The rows LC-01
//! to LC-04 of the catalogue have the rest.

use std::net::TcpStream;
use std::time::Duration;

use crate::reload::Load;
use crate::support::reference::{K1, one_location, reference, upstream};
use crate::support::{DEADLINE, Gate, Origin, Signal, wait_until};

const REQUEST: &str = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn with_grace(origin: &Origin, grace: &str) -> Gate {
    let server = format!("[server]\nlisten = \"127.0.0.1:0\"\nshutdown_timeout = \"{grace}\"\n");
    Gate::with(&[("keygate.toml", &reference(origin)), ("server.toml", &server)])
}

fn refuses(gate: &Gate) -> bool {
    TcpStream::connect(gate.address).is_err()
}

#[test]
fn a_connection_on_which_an_upload_was_refused_does_not_hold_it_up() {
    let origin = Origin::echo();
    let gate = with_grace(&origin, "30s");
    let mut client = gate.client();
    let refused = "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(client.send(refused).response().status, 401);
    assert_eq!(client.send(REQUEST).response().status, 200, "the connection was not kept");
    assert_eq!(client.send(refused).response().status, 401);
    gate.signal("TERM");
    let ended = gate.ends_within(Duration::from_secs(6));
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", gate.stderr.text());
    assert!(!gate.stderr.text().contains("in flight;"), "{}", gate.stderr.text());
}

#[test]
fn an_access_log_that_nobody_reads_does_not_hold_it_up() {
    let origin = Origin::echo();
    let gate = with_grace(&origin, "2s");
    let held = gate.stdout.hold();
    let mut client = gate.client();
    let long = REQUEST.replace("/public/x", &format!("/public/{}", "x".repeat(8_000)));
    // Several times what a pipe and a reader's buffer take.
    for _ in 0..60 {
        assert_eq!(client.send(&long).response().status, 200);
    }
    gate.signal("TERM");
    let ended = gate.ends_within(DEADLINE);
    drop(held);
    assert!(ended.is_some(), "it does not end");
}

#[test]
fn a_stream_goes_on_while_it_drains() {
    let go = Signal::new();
    let step = go.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for number in 0..3 {
            step.wait();
            exchange.chunk(format!("{number}").as_bytes());
        }
        exchange.write("0\r\n\r\n");
    });
    let gate = with_grace(&origin, "30s");
    let mut client = gate.client();
    let mut response = client.send(REQUEST).response_head();
    gate.signal("TERM");
    wait_until("the port is closed", || refuses(&gate));
    for _ in 0..3 {
        go.give();
        assert!(client.chunk(&mut response));
    }
    assert!(!client.chunk(&mut response) && response.complete);
    assert_eq!(response.text(), "012");
    assert_eq!(gate.ends_within(DEADLINE).and_then(|status| status.code()), Some(0));
}

#[test]
fn successors_beside_it_lose_no_request() {
    let origin = Origin::echo();
    let config = upstream(&origin) + &one_location("header = \"X-API-Key\"\n", "");
    let mut serving = Gate::on(&config);
    let request = format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {K1}\r\n\r\n");
    let load = Load::on(serving.address, &request);
    let server = format!("[server]\nlisten = \"{}\"\n", serving.address);
    for _ in 0..5 {
        load.more(30);
        let next = Gate::with(&[("keygate.toml", &config), ("server.toml", &server)]);
        load.more(60);
        serving.signal("TERM");
        let ended = serving.ends_within(DEADLINE);
        assert_eq!(ended.and_then(|status| status.code()), Some(0));
        serving = next;
    }
    load.more(30);
    let failures = load.failures();
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(serving.send(request).status, 200);
}
