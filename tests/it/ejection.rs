//! Addresses that give no responses are passed over for a while, by all workers, while there are
//! others; and a request that may be sent again goes elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::fault::{End, Ending};
use crate::support::{Exchange, Gate, Origin, Response, wait_until};
use crate::upstreams::{GET, POST, is, open_to};

/// An origin that does this while it is broken, and answers with 200 else.
fn breaking(broken: &Arc<AtomicBool>, breaks: fn(&mut Exchange)) -> Origin {
    let broken = Arc::clone(broken);
    Origin::scripted(move |exchange| {
        exchange.read_body();
        match broken.load(Ordering::SeqCst) {
            true => breaks(exchange),
            false => exchange.reply(200, b"back"),
        }
    })
}

fn broken(breaks: fn(&mut Exchange)) -> Origin {
    breaking(&Arc::new(AtomicBool::new(true)), breaks)
}

fn hang(exchange: &mut Exchange) {
    exchange.ends_within(Duration::from_secs(20));
    exchange.close();
}

fn junk(exchange: &mut Exchange) {
    exchange.write("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    exchange.close();
}

fn both(broken: &Origin, good: &Origin) -> [String; 2] {
    [broken.address.to_string(), good.address.to_string()]
}

/// Sends so many requests, each over a connection of its own.
fn send(gate: &Gate, request: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| gate.send(request).status).collect()
}

/// How many of these answers are no 200.
fn failed(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| **status != 200).count()
}

#[test]
fn who_gives_no_response_is_passed_over() {
    let more = "response_timeout = \"1s\"\nfail_timeout = \"1m\"";
    for breaks in [Exchange::close, Exchange::reset, hang, junk] {
        let (broken, good) = (broken(breaks), Origin::echo());
        let gate = open_to(&both(&broken, &good), more);
        let statuses = send(&gate, POST, 10);
        assert_eq!((failed(&statuses), broken.count()), (1, 1), "{statuses:?}");
    }
}

#[test]
fn a_response_that_breaks_off_is_a_response() {
    let half = |exchange: &mut Exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        exchange.close();
    };
    let (broken, good) = (broken(half), Origin::echo());
    let gate = open_to(&both(&broken, &good), "fail_timeout = \"1m\"");
    for _ in 0..10 {
        gate.client().send(POST.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).rest();
    }
    assert_eq!((broken.count(), good.count()), (5, 5));
}

#[test]
fn so_many_failures_are_allowed() {
    for (max_fails, expected) in [(3, 3), (0, 10)] {
        let (broken, good) = (broken(Exchange::close), Origin::echo());
        let more = format!("max_fails = {max_fails}\nfail_timeout = \"1m\"");
        let gate = open_to(&both(&broken, &good), &more);
        assert_eq!(failed(&send(&gate, POST, 20)), expected, "max_fails = {max_fails}");
    }
}

#[test]
fn a_get_is_sent_again_elsewhere_whatever_is_passed_over() {
    // The broken one has most of the turns.
    for more in
        ["max_fails = 0", "fail_timeout = \"1m\"", "balance = \"least-conn\"\nmax_fails = 0"]
    {
        let (broken, good) = (broken(Exchange::close), Origin::echo());
        let [heavy, light] = both(&broken, &good);
        let gate = open_to(&[format!("{heavy} 100"), light], more);
        let statuses = send(&gate, GET, 20);
        assert_eq!(failed(&statuses), 0, "{more}: {statuses:?}");
        assert!(broken.count() > 0, "{more}");
    }
}

#[test]
fn who_comes_back_is_asked_again_after_a_while() {
    let state = Arc::new(AtomicBool::new(true));
    let (broken, good) = (breaking(&state, Exchange::close), Origin::echo());
    let gate = open_to(&both(&broken, &good), "fail_timeout = \"2s\"");
    let start = Instant::now();
    while broken.count() == 0 {
        gate.send(POST);
    }
    state.store(false, Ordering::SeqCst);
    wait_until("it is asked again", || gate.send(POST).text() == "back");
    let paused = start.elapsed();
    assert!(paused >= Duration::from_secs(2), "asked again after {paused:?}");
}

#[test]
fn where_all_are_passed_over_all_are_asked() {
    let state = Arc::new(AtomicBool::new(true));
    let origins = [(); 2].map(|()| breaking(&state, Exchange::close));
    let gate = open_to(&both(&origins[0], &origins[1]), "fail_timeout = \"1h\"");
    assert_eq!(send(&gate, POST, 4), [502; 4]);
    assert!(origins.iter().all(|origin| origin.count() > 0), "one of them was asked alone");
    state.store(false, Ordering::SeqCst);
    assert_eq!(send(&gate, POST, 4), [200; 4]);
    let alone = broken(Exchange::close);
    let gate = open_to(&[alone.address.to_string()], "fail_timeout = \"1h\"");
    send(&gate, POST, 3);
    assert_eq!(alone.count(), 3, "the last one is always asked");
}

#[test]
fn that_an_idle_connection_is_closed_is_no_failure() {
    // Each second request of a connection meets its end.
    let closing = Origin::scripted(|exchange| match exchange.number {
        1 => exchange.reply(200, b""),
        _ => exchange.close(),
    });
    let good = Origin::echo();
    let gate = open_to(&both(&closing, &good), "fail_timeout = \"1h\"");
    assert_eq!(failed(&send(&gate, GET, 20)), 0);
    assert!(closing.count() >= 10, "passed over after {} requests", closing.count());
}

#[test]
fn what_one_worker_has_met_all_know() {
    let (ending, good) = (Ending::with(End::Resets), Origin::echo());
    let config = format!(
        "[upstreams.rec]\naddrs = [\"{}\", \"{}\"]\nfail_timeout = \"1m\"\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\npublic = true\n",
        ending.address, good.address
    );
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 8\n";
    let gate = Gate::with(&[("keygate.toml", &config), ("server.toml", server)]);
    for response in (0..40).map(|_| -> Response { gate.send(GET) }) {
        is(&response, 200, "/x");
    }
    assert_eq!(ending.connections(), 1);
}
