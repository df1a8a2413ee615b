//! How keygate ends: what is in flight is answered, and a successor loses nothing.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::reload::Load;
use crate::support::reference::{K1, one_location, reference, upstream};
use crate::support::{DEADLINE, Gate, Origin, Signal, run, wait_until};

const REQUEST: &str = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// An origin that answers when it is told to.
fn led() -> (Origin, Signal) {
    let go = Signal::new();
    let step = go.clone();
    let origin = Origin::scripted(move |exchange| {
        if step.given_within(Duration::from_secs(20)) {
            exchange.reply(200, b"at last");
        }
    });
    (origin, go)
}

fn with_grace(origin: &Origin, grace: &str) -> Gate {
    let server = format!("[server]\nlisten = \"127.0.0.1:0\"\nshutdown_timeout = \"{grace}\"\n");
    Gate::with(&[("keygate.toml", &reference(origin)), ("server.toml", &server)])
}

fn refuses(gate: &Gate) -> bool {
    TcpStream::connect(gate.address).is_err()
}

#[test]
fn what_is_in_flight_is_answered_and_nothing_new_is_taken() {
    for signal in ["TERM", "INT"] {
        let (origin, go) = led();
        let gate = with_grace(&origin, "30s");
        let mut clients: Vec<_> = (0..10).map(|_| gate.client()).collect();
        for client in &mut clients {
            client.send(REQUEST);
        }
        origin.wait_for(10);
        gate.signal(signal);
        wait_until("the port is closed", || refuses(&gate));
        assert!(gate.exit_status().is_none(), "it did not wait");
        (0..10).for_each(|_| go.give());
        for client in &mut clients {
            let response = client.response();
            assert_eq!((response.status, response.text().as_str()), (200, "at last"));
            assert_eq!(response.value("connection").to_ascii_lowercase(), "close");
            assert!(client.closes_within(DEADLINE));
        }
        assert_eq!(gate.ends_within(DEADLINE).and_then(|status| status.code()), Some(0));
    }
}

#[test]
fn idle_connections_do_not_hold_it_up() {
    let origin = Origin::echo();
    let gate = with_grace(&origin, "30s");
    let mut clients: Vec<_> = (0..5).map(|_| gate.client()).collect();
    for client in &mut clients {
        assert_eq!(client.send(REQUEST).response().status, 200);
    }
    let _silent = gate.client();
    gate.signal("TERM");
    let ended = gate.ends_within(Duration::from_secs(5));
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", gate.stderr.text());
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
fn what_does_not_end_is_cut_after_the_grace() {
    let (origin, _go) = led();
    let gate = with_grace(&origin, "700ms");
    let mut client = gate.client();
    client.send(REQUEST);
    origin.wait_for(1);
    let start = Instant::now();
    gate.signal("TERM");
    assert!(gate.ends_within(DEADLINE).is_some(), "it does not end");
    assert!(start.elapsed() >= Duration::from_millis(700), "after {:?}", start.elapsed());
    assert!(client.rest().is_empty() || !client.response().complete);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (origin, _go) = led();
    let gate = with_grace(&origin, "30s");
    let mut client = gate.client();
    client.send(REQUEST);
    origin.wait_for(1);
    gate.signal("TERM");
    wait_until("the port is closed", || refuses(&gate));
    gate.signal("TERM");
    assert!(gate.ends_within(Duration::from_secs(5)).is_some(), "it goes on");
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
fn a_port_in_use_is_exit_code_3() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("a bound socket has an address");
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let origin = Origin::echo();
    let server = format!("[server]\nlisten = \"{address}\"\n");
    let file = folder.path().join("keygate.toml");
    std::fs::write(file, reference(&origin) + &server).expect("the folder can be written");
    let output = run(&["serve", "--config", "keygate.toml"], folder.path(), &[]);
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.stderr.contains(&address.to_string()), "{output:?}");
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
