//! Upstreams that are several, slow, broken or gone, and how their connections are used again.

use std::time::{Duration, Instant};

use crate::support::fault::BlackHole;
use crate::support::{DEADLINE, Exchange, Gate, Origin, Response, Signal, wait_until};
use crate::websocket::{HANDSHAKE, SWITCHING};

pub(crate) const GET: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";
pub(crate) const POST: &str = "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";

/// An open location on one worker, so that one pool serves every connection.
pub(crate) fn open_to(addresses: &[String], more: &str) -> Gate {
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
    Gate::with(&[("keygate.toml", &configured(addresses, more)), ("server.toml", server)])
}

/// An open location; `more` stands in the table of its upstream.
pub(crate) fn configured(addresses: &[String], more: &str) -> String {
    format!(
        "[upstreams.rec]\naddrs = {addresses:?}\n{more}\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\npublic = true\n"
    )
}

pub(crate) fn before(origin: &Origin, more: &str) -> Gate {
    open_to(&[origin.address.to_string()], more)
}

#[track_caller]
pub(crate) fn is(response: &Response, status: u16, body: &str) {
    assert_eq!((response.status, response.text().as_str()), (status, body));
}

/// Bodies that never come to their proper end.
const CUT: [(&str, &str); 3] = [
    ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
    ("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    ("a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf"),
];

#[test]
fn a_response_that_breaks_off_at_once_still_delivers_what_came() {
    for (name, bytes) in CUT {
        let origin = Origin::scripted(move |exchange| {
            exchange.write(bytes);
            exchange.close();
        });
        let gate = before(&origin, "");
        let mut client = gate.client();
        let response = client.send(GET).response_head();
        let rest = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(response.status == 200 && rest.contains("half"), "{name}: {rest:?}");
    }
}

/// How often each of these origins was asked.
pub(crate) fn counts(origins: &[Origin]) -> Vec<usize> {
    origins.iter().map(Origin::count).collect()
}

fn addresses(origins: &[Origin], weights: &[&str]) -> Vec<String> {
    origins
        .iter()
        .zip(weights)
        .map(|(origin, weight)| format!("{}{weight}", origin.address))
        .collect()
}

#[test]
fn round_robin_gives_each_its_share() {
    for (weights, expected) in [(["", "", ""], [4, 4, 4]), (["", " 2", " 3"], [2, 4, 6])] {
        let origins = [Origin::echo(), Origin::echo(), Origin::echo()];
        let gate = open_to(&addresses(&origins, &weights), "");
        let mut client = gate.client();
        for _ in 0..12 {
            assert_eq!(client.send(GET).response().status, 200);
        }
        assert_eq!(counts(&origins), expected, "{weights:?}");
    }
}

#[test]
fn least_conn_avoids_the_busy_one() {
    let busy = Signal::new();
    let led = busy.clone();
    let origins = [
        Origin::scripted(move |exchange| {
            led.wait();
            exchange.reply(200, b"");
        }),
        Origin::echo(),
    ];
    let gate = open_to(&addresses(&origins, &["", ""]), "balance = \"least-conn\"");
    let mut clients = [gate.client(), gate.client()];
    // At most one of two goes to the first; it stays there until all others are answered.
    for client in &mut clients {
        client.send(GET);
    }
    wait_until("both are asked", || counts(&origins) == [1, 1]);
    for _ in 0..10 {
        assert_eq!(gate.send(GET).text(), "/x");
    }
    assert_eq!(counts(&origins), [1, 11]);
    busy.give();
}

#[test]
fn least_conn_fills_by_weight() {
    let go = Signal::new();
    let origins = [(); 2].map(|()| {
        let led = go.clone();
        Origin::scripted(move |exchange| {
            led.wait();
            exchange.reply(200, b"");
        })
    });
    let gate = open_to(&addresses(&origins, &["", " 3"]), "balance = \"least-conn\"");
    let mut clients: Vec<_> = (0..8).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    wait_until("all are asked", || counts(&origins).iter().sum::<usize>() == 8);
    assert_eq!(counts(&origins), [2, 6]);
    (0..8).for_each(|_| go.give());
    clients.iter_mut().for_each(|client| is(&client.response(), 200, ""));
}

#[test]
fn least_conn_counts_an_open_websocket() {
    let script = |exchange: &mut Exchange| {
        if exchange.request.has("upgrade") {
            exchange.write(SWITCHING);
            exchange.ends_within(DEADLINE);
            exchange.close();
        } else {
            exchange.reply(200, b"ok");
        }
    };
    let origins = [Origin::scripted(script), Origin::scripted(script)];
    let gate = open_to(&addresses(&origins, &["", ""]), "balance = \"least-conn\"");
    let mut socket = gate.client();
    let handshake = format!("GET /ws HTTP/1.1\r\nHost: a.test\r\n{HANDSHAKE}\r\n");
    assert_eq!(socket.send(handshake).response().status, 101);
    let expected = if counts(&origins) == [1, 0] { [1, 10] } else { [10, 1] };
    for _ in 0..10 {
        is(&gate.send(GET), 200, "ok");
    }
    assert_eq!(counts(&origins), expected);
}

#[test]
fn an_address_that_says_nothing_holds_nobody_up() {
    let hanging = BlackHole::new();
    let alive = Origin::echo();
    let addresses = [hanging.address.to_string(), alive.address.to_string()];
    let gate = open_to(&addresses, "connect_timeout = \"9s\"\nmax_idle = 0");
    for _ in 0..4 {
        let start = Instant::now();
        is(&gate.send(GET), 200, "/x");
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    }
    let gate = open_to(&addresses[..1], "connect_timeout = \"1s\"");
    assert_eq!(gate.send(GET).status, 504);
}

#[test]
fn an_address_that_says_nothing_is_passed_over_although_others_answered() {
    let hanging = BlackHole::new();
    let alive = Origin::echo();
    let addresses = [hanging.address.to_string(), alive.address.to_string()];
    let gate = open_to(&addresses, "connect_timeout = \"1s\"\nfail_timeout = \"1h\"");
    is(&gate.send(GET), 200, "/x");
    let told = |line: &str| line.contains("cannot connect");
    let told = gate.stderr.wait_for("the verdict", told);
    assert!(told.contains(&addresses[0]), "{told}");
    is(&gate.send(GET), 200, "/x");
}

#[test]
fn least_conn_counts_a_connection_that_is_being_made() {
    let hanging = BlackHole::new();
    let alive = Origin::echo();
    let more = "balance = \"least-conn\"\nconnect_timeout = \"9s\"";
    let gate = open_to(&[hanging.address.to_string(), alive.address.to_string()], more);
    // The first has its turn with the address that hangs, which is tried for 9 s.
    is(&gate.send(GET), 200, "/x");
    let start = Instant::now();
    for _ in 0..20 {
        is(&gate.send(GET), 200, "/x");
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "sent after the one that hangs: {took:?}");
}

#[test]
fn max_processing_refuses_the_one_too_many() {
    let go = Signal::new();
    let led = go.clone();
    let origin = Origin::scripted(move |exchange| {
        led.wait();
        exchange.reply(200, b"done");
    });
    let config = format!(
        "[upstreams.rec]\naddrs = [\"{}\"]\n[locations.all]\npath = \"/\"\nupstream = \"rec\"\n\
         public = true\nmax_processing = 2\n",
        origin.address
    );
    let gate = Gate::on(&config);
    let mut clients = [gate.client(), gate.client()];
    for client in &mut clients {
        client.send(GET);
    }
    origin.wait_for(2);
    let over = gate.send(GET);
    assert_eq!((over.status, over.head.has("retry-after")), (503, true));
    go.give();
    go.give();
    for client in &mut clients {
        is(&client.response(), 200, "done");
    }
    go.give();
    is(&gate.send(GET), 200, "done");
}
