//! An upstream that may have so many requests at a time, and those that wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Client, DEADLINE, Exchange, Gate, Origin, Response, Signal, wait_until};
use crate::upstreams::{GET, before, configured, is};
use crate::websocket::{HANDSHAKE, SWITCHING};

/// What the log says of a reload.
const RELOADED: &str = "reloaded the configuration";

/// How soon an answer comes that nothing has to be waited for.
const SOON: Duration = Duration::from_millis(500);

/// An origin that answers each request when it is told to.
fn led(go: &Signal) -> Origin {
    let go = go.clone();
    Origin::scripted(move |exchange| {
        go.wait();
        let target = exchange.request.second_word().to_owned();
        exchange.reply(200, target.as_bytes());
    })
}

fn waiting(gate: &Gate) -> Client {
    let mut client = gate.client();
    client.send(GET);
    client
}

#[track_caller]
fn is_refused(response: &Response) {
    is(response, 503, "Too many requests at once");
    assert_eq!(response.value("retry-after"), "1");
}

#[test]
fn one_too_many_waits_for_its_turn() {
    let go = Signal::new();
    let origin = led(&go);
    let gate = before(&origin, "max_connections = 1");
    let mut first = waiting(&gate);
    origin.wait_for(1);
    let mut second = waiting(&gate);
    assert!(!second.hears_within(SOON), "it is answered while there is no place for it");
    assert_eq!(origin.count(), 1);
    go.give();
    is(&first.response(), 200, "/x");
    go.give();
    is(&second.response(), 200, "/x");
    // The connection that waits for its next request takes no place.
    go.give();
    is(&first.send(GET).response(), 200, "/x");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn with_a_full_queue_one_more_is_refused_at_once() {
    for (max_queue, fit) in [(0, 1), (1, 2)] {
        let go = Signal::new();
        let origin = led(&go);
        let gate = before(&origin, &format!("max_connections = 1\nmax_queue = {max_queue}"));
        let mut clients = Vec::new();
        for _ in 0..fit {
            clients.push(waiting(&gate));
            assert!(!clients.last_mut().expect("it is there").hears_within(SOON));
        }
        let start = Instant::now();
        is_refused(&gate.send(GET));
        assert!(start.elapsed() < Duration::from_secs(5), "after {:?}", start.elapsed());
        for client in &mut clients {
            go.give();
            is(&client.response(), 200, "/x");
        }
    }
}

#[test]
fn nobody_waits_for_longer_than_that() {
    let go = Signal::new();
    let origin = led(&go);
    let gate = before(&origin, "max_connections = 1\nqueue_timeout = \"1s\"");
    let mut first = waiting(&gate);
    origin.wait_for(1);
    let start = Instant::now();
    is_refused(&gate.send(GET));
    let waited = start.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(8)).contains(&waited), "{waited:?}");
    go.give();
    is(&first.response(), 200, "/x");
    assert_eq!(origin.count(), 1, "what was refused went upstream");
}

#[test]
fn who_leaves_gives_its_place_to_the_next() {
    let go = Signal::new();
    let origin = led(&go);
    let gate = before(&origin, "max_connections = 1\nmax_queue = 1");
    let mut first = waiting(&gate);
    origin.wait_for(1);
    let mut second = waiting(&gate);
    assert!(!second.hears_within(SOON));
    is_refused(&gate.send(GET));
    drop(second);
    let mut third = None;
    wait_until("there is room in the queue", || {
        let mut client = waiting(&gate);
        let waits = !client.hears_within(SOON);
        third = waits.then_some(client);
        waits
    });
    // Who is being served leaves as well: the third has its turn.
    first.reset();
    drop(first);
    origin.wait_for(2);
    (0..2).for_each(|_| go.give());
    is(&third.expect("it waits").response(), 200, "/x");
}

#[test]
fn all_workers_share_the_places() {
    const PLACES: usize = 3;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (Arc::clone(&now), Arc::clone(&most));
    let go = Signal::new();
    let told = go.clone();
    let origin = Origin::scripted(move |exchange| {
        highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        told.wait();
        counted.fetch_sub(1, Ordering::SeqCst);
        exchange.reply(200, b"");
    });
    let config = format!(
        "[upstreams.rec]\naddrs = [\"{}\"]\nmax_connections = {PLACES}\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\npublic = true\n",
        origin.address
    );
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 4\n";
    let gate = Gate::with(&[("keygate.toml", &config), ("server.toml", server)]);
    let mut clients: Vec<_> = (0..16).map(|_| waiting(&gate)).collect();
    origin.wait_for(PLACES);
    assert!(!clients.iter_mut().any(|client| client.hears_within(Duration::from_millis(30))));
    assert_eq!(origin.count(), PLACES);
    (0..clients.len()).for_each(|_| go.give());
    for client in &mut clients {
        is(&client.response(), 200, "");
    }
    assert_eq!(most.load(Ordering::SeqCst), PLACES);
}

#[test]
fn a_reload_that_changes_the_upstream_gives_no_place_twice() {
    let go = Signal::new();
    let origin = led(&go);
    let gate = before(&origin, "max_connections = 1\nqueue_timeout = \"1m\"");
    let mut first = waiting(&gate);
    origin.wait_for(1);
    let changed = |fields: &str| {
        let before = gate.stderr.text().matches(RELOADED).count();
        gate.write("keygate.toml", &configured(&[origin.address.to_string()], fields));
        gate.signal("HUP");
        wait_until("it is reloaded", || gate.stderr.text().matches(RELOADED).count() > before);
    };
    changed("max_connections = 1\nqueue_timeout = \"2m\"");
    let mut second = waiting(&gate);
    assert!(!second.hears_within(SOON), "it has the place that the first one has");
    changed("max_connections = 2\nqueue_timeout = \"2m\"");
    // The one that came before is the first to get what is new.
    let mut third = waiting(&gate);
    origin.wait_for(2);
    assert!(!third.hears_within(SOON));
    assert_eq!(origin.count(), 2);
    (0..3).for_each(|_| go.give());
    for client in [&mut first, &mut second, &mut third] {
        is(&client.response(), 200, "/x");
    }
}

#[test]
fn a_websocket_keeps_its_place() {
    let origin =
        Origin::scripted(|exchange: &mut Exchange| match exchange.request.has("upgrade") {
            true => {
                exchange.write(SWITCHING);
                exchange.ends_within(DEADLINE);
                exchange.close();
            }
            false => exchange.reply(200, b"ok"),
        });
    let gate = before(&origin, "max_connections = 1\nmax_queue = 0");
    let mut socket = gate.client();
    let handshake = format!("GET /ws HTTP/1.1\r\nHost: a.test\r\n{HANDSHAKE}\r\n");
    assert_eq!(socket.send(handshake).response().status, 101);
    is_refused(&gate.send(GET));
    drop(socket);
    wait_until("its place is free", || gate.send(GET).status == 200);
}
