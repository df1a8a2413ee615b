//! Connections to upstreams: used again, never with another's bytes, and never to act twice.

use std::time::Duration;

use crate::support::{DEADLINE, Exchange, Origin, Signal, pause, wait_until};
use crate::upstreams::{GET, POST, before, is};

#[test]
fn connections_are_used_again() {
    let origin = Origin::echo();
    let gate = before(&origin, "");
    for _ in 0..10 {
        assert_eq!(gate.send(GET).status, 200);
        assert_eq!(gate.send(POST).status, 200);
    }
    assert_eq!((origin.count(), origin.connections()), (20, 1));
}

#[test]
fn a_connection_that_the_upstream_closes_is_not_used_again() {
    let origin = Origin::scripted(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        exchange.ends_within(DEADLINE);
        exchange.close();
    });
    let gate = before(&origin, "");
    for _ in 0..5 {
        assert_eq!(gate.send(POST).status, 200);
    }
    assert_eq!(origin.connections(), 5);
}

/// Answers the first request of a connection and ends the connection when the second comes.
fn closing_on_the_second(exchange: &mut Exchange) {
    exchange.read_body();
    if exchange.number == 1 {
        exchange.reply(200, b"first");
    } else {
        exchange.close();
    }
}

#[test]
fn a_get_on_a_stale_connection_is_sent_again() {
    let origin = Origin::scripted(closing_on_the_second);
    let gate = before(&origin, "");
    is(&gate.send(GET), 200, "first");
    is(&gate.send(GET), 200, "first");
    let connections: Vec<_> = origin.requests().iter().map(|one| one.connection).collect();
    assert_eq!(connections, [1, 1, 2]);
}

#[test]
fn a_post_on_a_stale_connection_is_never_sent_twice() {
    let origin = Origin::scripted(closing_on_the_second);
    let gate = before(&origin, "");
    is(&gate.send(POST), 200, "first");
    is(&gate.send(POST), 502, "Bad gateway");
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_get_on_a_new_connection_is_not_sent_again_without_end() {
    let origin = Origin::scripted(Exchange::close);
    let gate = before(&origin, "");
    is(&gate.send(GET), 502, "Bad gateway");
    assert!(origin.count() <= 2, "sent {} times", origin.count());
}

#[test]
fn an_idle_connection_that_was_closed_costs_no_request() {
    let closed = Signal::new();
    let told = closed.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.read_body();
        exchange.reply(200, b"ok");
        exchange.close();
        told.give();
    });
    let gate = before(&origin, "");
    for _ in 0..10 {
        is(&gate.send(POST), 200, "ok");
        closed.wait();
        // The end of the connection is on its way; the gate must notice it by itself.
        pause(Duration::from_millis(30));
    }
    assert_eq!(origin.count(), 10);
}

#[test]
fn an_idle_connection_that_is_closed_while_there_is_no_client_is_let_go() {
    let end = Signal::new();
    let led = end.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.reply(200, b"ok");
        led.wait();
        exchange.close();
    });
    let gate = before(&origin, "");
    let files = || std::fs::read_dir(format!("/proc/{}/fd", gate.pid())).map_or(0, Iterator::count);
    let at_rest = files();
    is(&gate.send(GET), 200, "ok");
    wait_until("only the upstream's connection is left", || files() == at_rest + 1);
    // Time enough to go to sleep for want of clients.
    pause(Duration::from_millis(500));
    assert_eq!(files(), at_rest + 1, "the idle connection was not kept");
    end.give();
    wait_until("it is let go", || files() == at_rest);
}

#[test]
fn bytes_beyond_an_answer_reach_nobody() {
    let poisoned = Signal::new();
    let told = poisoned.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.read_body();
        let target = exchange.request.second_word().to_owned();
        exchange.reply(200, target.as_bytes());
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
        told.give();
    });
    let gate = before(&origin, "");
    for number in 0..30 {
        let request = format!("GET /{number} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        is(&gate.send(request), 200, &format!("/{number}"));
        poisoned.wait();
    }
}

#[test]
fn a_length_that_the_body_passes_is_kept() {
    let origin =
        Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and much more");
    let gate = before(&origin, "");
    let mut client = gate.client();
    for _ in 0..5 {
        is(&client.send(GET).response(), 200, "hello");
    }
}

#[test]
fn an_answer_before_the_whole_request_does_not_poison_the_next() {
    let origin = Origin::scripted(|exchange| {
        let target = exchange.request.second_word().to_owned();
        exchange.reply(200, target.as_bytes());
        exchange.read_body();
    });
    let gate = before(&origin, "");
    for number in 0..5 {
        let mut client = gate.client();
        let head = format!("POST /{number} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n");
        is(&client.send(head).response(), 200, &format!("/{number}"));
        drop(client);
        is(&gate.send(GET), 200, "/x");
    }
}

/// Requests that are not simply sent again.
const BODIES: [&str; 4] = [
    "GET /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
    "GET /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "PATCH /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
];

#[test]
fn a_request_with_a_body_or_an_effect_never_arrives_twice_or_cut() {
    for request in BODIES {
        let origin = Origin::scripted(closing_on_the_second);
        let gate = before(&origin, "");
        is(&gate.send(GET), 200, "first");
        is(&gate.send(request), 502, "Bad gateway");
        let arrived = origin.requests().split_off(1);
        let whole = if request.contains("hello") { "hello" } else { "" };
        assert_eq!(arrived.len(), 1, "{request}");
        assert_eq!(arrived[0].body, whole.as_bytes(), "{request}");
    }
}

#[test]
fn without_idle_connections_each_request_has_its_own() {
    let origin = Origin::echo();
    let gate = before(&origin, "max_idle = 0");
    for _ in 0..3 {
        is(&gate.send(GET), 200, "/x");
        is(&gate.send(POST), 200, "/x");
    }
    assert_eq!((origin.count(), origin.connections()), (6, 6));
}

#[test]
fn no_more_idle_connections_are_kept_than_allowed() {
    let go = Signal::new();
    let led = go.clone();
    let origin = Origin::scripted(move |exchange| {
        led.wait();
        exchange.reply(200, b"ok");
    });
    let gate = before(&origin, "max_idle = 2");
    for round in 1..=2 {
        let mut clients: Vec<_> = (0..5).map(|_| gate.client()).collect();
        for client in &mut clients {
            client.send(GET);
        }
        origin.wait_for(round * 5);
        (0..5).for_each(|_| go.give());
        for client in &mut clients {
            is(&client.response(), 200, "ok");
        }
    }
    // Of the first five two were kept for the second five.
    assert_eq!(origin.connections(), 8);
}
