//! How keygate ends (LC-01 to LC-04).

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::VALID;
use crate::catalogue::Stand;
use crate::support::admin::ADMIN;
use crate::support::reference::keyed;
use crate::support::{DEADLINE, Signal, wait_until};

/// Has the origin answer when it is told to.
fn led(stand: &mut Stand, grace: &str) -> Signal {
    let go = Signal::new();
    let step = go.clone();
    stand.ends().server(&format!("shutdown_timeout = \"{grace}\"\n")).script(move |exchange| {
        if step.given_within(Duration::from_secs(20)) {
            exchange.reply(200, b"at last");
        }
    });
    go
}

fn exit_code(stand: &Stand) -> Option<i32> {
    stand.gate().ends_within(DEADLINE).and_then(|status| status.code())
}

fn wait_until_closed(stand: &Stand) {
    wait_until("the port is closed", || TcpStream::connect(stand.gate().address).is_err());
}

pub(super) fn in_flight(stand: &mut Stand) {
    const COUNT: usize = 100;
    for signal in ["TERM", "INT"] {
        let go = led(stand, "30s");
        stand.allow_any("/api/v1/x", COUNT);
        let mut clients: Vec<_> = (0..COUNT).map(|_| stand.connect()).collect();
        for client in &mut clients {
            client.send(keyed(VALID));
        }
        stand.origin().wait_for(COUNT);
        stand.gate().signal(signal);
        wait_until_closed(stand);
        assert!(stand.gate().exit_status().is_none(), "it did not wait");
        (0..COUNT).for_each(|_| go.give());
        for client in &mut clients {
            let response = client.response();
            assert_eq!((response.status, response.text().as_str()), (200, "at last"));
            assert_eq!(response.value("connection").to_ascii_lowercase(), "close");
            assert!(client.closes_within(DEADLINE));
        }
        assert_eq!(exit_code(stand), Some(0));
        stand.anew();
    }
}

pub(super) fn idle(stand: &mut Stand) {
    stand.ends().server("shutdown_timeout = \"30s\"\n");
    stand.allow_any("/api/v1/x", 6);
    let mut clients: Vec<_> = (0..5).map(|_| stand.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.send(keyed(VALID)).response().status, 200);
    }
    let _silent = stand.connect();
    stand.gate().signal("TERM");
    stand.gate().stderr.wait_for("the stop", |line| line.contains("stopping"));
    // A request that was on its way when the signal came.
    let response = clients[0].send(keyed(VALID)).response();
    let connection = response.value("connection").to_ascii_lowercase();
    assert_eq!((response.status, connection.as_str()), (200, "close"));
    assert!(clients[0].closes_within(DEADLINE));
    let ended = stand.gate().ends_within(Duration::from_secs(5)).and_then(|status| status.code());
    assert_eq!(ended, Some(0));
}

pub(super) fn open_ended(stand: &mut Stand) {
    stand.ends().server("shutdown_timeout = \"700ms\"\n").script(|exchange| {
        if exchange.request.has("upgrade") {
            let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                            Upgrade: websocket\r\n\r\n";
            exchange.write(switched);
        } else {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
        }
        exchange.ends_within(Duration::from_secs(20));
    });
    stand.allow_any("/api/v1/x", 1);
    stand.allow_any("/api/v1/ws", 1);
    let mut stream = stand.connect();
    stream.send(keyed(VALID)).until(b"data: 1\n\n");
    let mut websocket = stand.connect();
    let upgrade = "GET /api/v1/ws HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\
                   Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(websocket.send(keyed(upgrade)).response_head().status, 101);
    let start = Instant::now();
    stand.gate().signal("TERM");
    assert_eq!(exit_code(stand), Some(0), "it does not end");
    assert!(start.elapsed() >= Duration::from_millis(700), "after {:?}", start.elapsed());
    stream.rest();
    assert!(websocket.rest().is_empty());
}

pub(super) fn second_signal(stand: &mut Stand) {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let _go = led(stand, "30s");
        stand.allow_any("/api/v1/x", 1);
        let mut client = stand.connect();
        client.send(keyed(VALID));
        stand.origin().wait_for(1);
        stand.gate().signal(first);
        wait_until_closed(stand);
        stand.gate().signal(second);
        let ended = stand.gate().ends_within(Duration::from_secs(5));
        assert_eq!(ended.and_then(|status| status.code()), Some(3), "{first}, {second}");
        stand.anew();
    }
}

pub(super) fn readiness(stand: &mut Stand) {
    let go = led(stand, "30s");
    stand.add(ADMIN).allow_any("/api/v1/x", 1);
    let statuses =
        |stand: &Stand| ["/livez", "/readyz"].map(|path| stand.gate().ask_admin(path).status);
    assert_eq!(statuses(stand), [200, 200]);
    let mut client = stand.connect();
    client.send(keyed(VALID));
    stand.origin().wait_for(1);
    stand.gate().signal("TERM");
    wait_until("it is alive and not ready", || statuses(stand) == [200, 503]);
    go.give();
    assert_eq!(client.response().status, 200);
    assert_eq!(exit_code(stand), Some(0));
}
