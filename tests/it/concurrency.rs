//! `concurrency`: a request holds its place until its response has ended, however it ends.

use crate::reload::LISTEN;
use crate::support::reference::{K1, plugged};
use crate::support::{Client, Gate, Origin, Signal, wait_until};

const REQUEST: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn config(origin: &Origin, settings: &str) -> String {
    plugged(origin, &["concurrency"], &format!("[plugins.concurrency]\n{settings}\n"))
}

/// An origin whose streams end when they are told to; a request for `/short` is answered at once.
fn streaming(end: &Signal) -> Origin {
    let end = end.clone();
    Origin::scripted(move |exchange| {
        if exchange.request.second_word() == "/short" {
            return exchange.reply(200, b"");
        }
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        exchange.chunk(b"first");
        end.wait();
        exchange.write("0\r\n\r\n");
    })
}

/// Asks for a stream, and reads its beginning.
fn stream(gate: &Gate) -> Client {
    let mut client = gate.client();
    let mut response = client.send(REQUEST).response_head();
    assert_eq!(response.status, 200);
    assert!(client.chunk(&mut response));
    client
}

#[test]
fn a_stream_holds_its_place_until_it_ends() {
    let end = Signal::new();
    let origin = streaming(&end);
    let gate = Gate::on(&config(&origin, "max = 2"));
    let _both = (stream(&gate), stream(&gate));
    let refused = gate.send(REQUEST);
    assert_eq!((refused.status, refused.value("Retry-After")), (429, "1"));
    assert_eq!(refused.text(), "Too many requests at once");
    assert_eq!(gate.send("GET /short HTTP/1.1\r\nHost: a.test\r\n\r\n").status, 429);
    assert_eq!(origin.count(), 2);
    end.give();
    wait_until("the place of the one that ended is free", || {
        gate.send("GET /short HTTP/1.1\r\nHost: a.test\r\n\r\n").status == 200
    });
    end.give();
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let end = Signal::new();
    let origin = streaming(&end);
    let gate = Gate::on(&config(&origin, "max = 1"));
    let client = stream(&gate);
    assert_eq!(gate.send(REQUEST).status, 429);
    drop(client);
    wait_until("the place is free", || {
        gate.send("GET /short HTTP/1.1\r\nHost: a.test\r\n\r\n").status == 200
    });
    end.give();
}

#[test]
fn an_upstream_that_fails_gives_the_place_back() {
    let origin = Origin::scripted(crate::support::Exchange::close);
    let gate = Gate::on(&config(&origin, "max = 1"));
    for _ in 0..3 {
        assert_eq!(gate.send(REQUEST).status, 502);
    }
}

#[test]
fn an_answer_that_is_delayed_holds_no_place() {
    let origin = Origin::echo();
    let tables = "[plugins.concurrency]\nmax = 1\nby = \"location\"\n\
                  [plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\ndelay = \"60s\"\n";
    let config = plugged(&origin, &["concurrency", "key-auth"], tables);
    // With one worker the request that came first is decided first.
    let gate = Gate::with(&[("keygate.toml", &config), ("server.toml", LISTEN)]);
    let mut stranger = gate.client();
    stranger.send("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: wrong\r\n\r\n");
    let known = gate.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {K1}\r\n\r\n"));
    assert_eq!(known.status, 200);
}

#[test]
fn places_that_are_held_count_after_a_reload() {
    let end = Signal::new();
    let origin = streaming(&end);
    let gate =
        Gate::with(&[("keygate.toml", &config(&origin, "max = 1")), ("server.toml", LISTEN)]);
    let _client = stream(&gate);
    let new = |max: u32| {
        let table =
            format!("max = {max}\n[locations.new]\npath = \"=/new{max}\"\nupstream = \"rec\"");
        config(&origin, &format!("{table}\npublic = true"))
    };
    let loaded = |max: u32| {
        let request = format!("GET /new{max} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut client = gate.client();
        client.send(request).response_head().status == 200
    };
    gate.write("keygate.toml", &new(2));
    gate.signal("HUP");
    wait_until("the new limit is there", || loaded(2));
    let _second = stream(&gate);
    assert_eq!(gate.send(REQUEST).status, 429, "the first still holds its place");
    for _ in 0..20 {
        end.give();
    }
}
