//! Connections to upstreams: used again, never with another's bytes, and never to act twice.

use std::time::Duration;

use crate::support::{Exchange, Origin, Signal, pause, wait_until};
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
fn of_many_idle_connections_that_were_closed_none_is_used() {
    // More than the runtime lets a task look at before it has to wait.
    const IDLE: usize = 90;
    let (go, end) = (Signal::new(), Signal::new());
    let (led, let_go) = (go.clone(), end.clone());
    let origin = Origin::scripted(move |exchange| {
        let body = exchange.read_body();
        if body.is_empty() {
            led.wait();
            exchange.reply(200, b"ok");
            let_go.wait();
            exchange.close();
        } else {
            exchange.reply(200, &body);
        }
    });
    let gate = before(&origin, "");
    let mut clients: Vec<_> = (0..IDLE).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    origin.wait_for(IDLE);
    (0..IDLE).for_each(|_| go.give());
    for client in &mut clients {
        is(&client.response(), 200, "ok");
    }
    (0..IDLE).for_each(|_| end.give());
    wait_until("all of them are closed", || origin.open_connections() == 0);
    assert_eq!(gate.send(POST).status, 200);
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
