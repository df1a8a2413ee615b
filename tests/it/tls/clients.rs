//! Requests, bodies, streams and WebSockets over TLS, and how connections end.

use std::time::Duration;

use super::{ask, secured, site};
use crate::support::reference::{K1, with_keys};
use crate::support::tls::Shaking;
use crate::support::{Client, DEADLINE, Gate, Origin, Signal, pause, wait_until};

#[test]
fn a_request_needs_its_key_over_tls_as_well() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[]);
    let mut client = Shaking::with(authority.roots()).client(&gate);
    let refused = client.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").response();
    assert_eq!((refused.status, &*refused.text()), (401, "Key missing"));
    assert_eq!(origin.count(), 0);
    assert_eq!(client.send(ask()).response().text(), "/x");
}

#[test]
fn the_upstream_is_told_that_it_was_https_whatever_the_client_says() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[]);
    let mut client = Shaking::with(authority.roots()).client(&gate);
    let lies =
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-API-Key: K1\r\nX-Forwarded-Proto: http\r\n\r\n";
    assert_eq!(client.send(with_keys(lies.as_bytes())).response().status, 200);
    assert_eq!(origin.last().head.values("X-Forwarded-Proto"), ["https"]);
}

#[test]
fn large_bodies_pass_whole_in_both_directions() {
    let (authority, site) = site();
    let body: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let origin = Origin::scripted(|exchange| {
        let body = exchange.read_body();
        exchange.reply(200, &body);
    });
    let gate = secured(&origin, &site, "", &[]);
    let mut client = Shaking::with(authority.roots()).client(&gate);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {K1}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let sending = client.send(head).send_beside(body.clone());
    let response = client.response();
    sending.join().expect("it is sent");
    assert!(response.complete && response.body == body);
    assert_eq!(client.send(ask()).response().status, 200);
}

#[test]
fn what_waits_for_a_slow_reader_goes_out_when_it_reads() {
    const SIZE: usize = 2_000_000;
    let (authority, site) = site();
    let origin = Origin::scripted(|exchange| exchange.reply(200, &[b'x'; SIZE]));
    let gate = secured(&origin, &site, "", &[]);
    let mut client = Shaking::with(authority.roots()).narrow().client(&gate);
    client.send(ask());
    // Long enough for all buffers on the way to be full.
    pause(Duration::from_millis(300));
    let response = client.response();
    assert!(response.complete && response.body.len() == SIZE);
    assert_eq!(client.send(ask()).response().body.len(), SIZE);
}

#[test]
fn pieces_of_a_stream_are_not_held_back() {
    let (authority, site) = site();
    let seen = Signal::new();
    let wanted = seen.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in ["one", "two", "three"] {
            exchange.chunk(piece.as_bytes());
            wanted.wait();
        }
        exchange.write("0\r\n\r\n");
    });
    let gate = secured(&origin, &site, "", &[]);
    let mut client = Shaking::with(authority.roots()).client(&gate);
    client.send(ask()).response_head();
    for piece in ["one", "two", "three"] {
        client.until(piece.as_bytes());
        seen.give();
    }
    client.until(b"0\r\n\r\n");
}

#[test]
fn a_websocket_passes_in_both_directions() {
    let (authority, site) = site();
    let origin = Origin::scripted(|exchange| {
        exchange.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        let heard = exchange.bytes(4);
        exchange.write(heard);
        exchange.ends_within(DEADLINE);
        exchange.close();
    });
    let gate = secured(&origin, &site, "", &[]);
    let mut client = Shaking::with(authority.roots()).client(&gate);
    let upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\nX-API-Key: K1\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(client.send(with_keys(upgrade.as_bytes())).response_head().status, 101);
    assert_eq!(client.send("ping").bytes(4), b"ping");
    client.finish();
    wait_until("the origin's connection ends", || origin.open_connections() == 0);
}

#[test]
fn a_connection_that_ends_says_so() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[]);
    let shaking = Shaking::with(authority.roots());
    let mut last = shaking.client(&gate);
    last.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(last.response().status, 401);
    assert!(last.closes_within(DEADLINE) && !last.was_reset(), "it ends properly");
    let mut refused = shaking.client(&gate);
    refused.send("no request\r\n\r\n");
    assert_eq!(refused.response().status, 400);
    assert!(refused.closes_within(DEADLINE) && !refused.was_reset(), "it ends properly");
}

#[test]
fn an_idle_connection_that_ends_says_so() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let config = crate::support::reference::reference(&origin);
    let server =
        super::ONE_SITE.replace("[server.tls]", "keepalive_timeout = \"200ms\"\n[server.tls]");
    let files = [
        ("keygate.toml", &*config),
        ("server.toml", &server),
        ("site.pem", &site.cert),
        ("site.key", &site.key),
    ];
    let gate = Gate::with(&files);
    let mut client = Shaking::with(authority.roots()).client(&gate);
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 404);
    assert!(client.closes_within(DEADLINE) && !client.was_reset(), "it ends properly");
}

/// A proper end would make a part of a body that ends with its connection look whole.
#[test]
fn a_response_that_breaks_off_does_not_end_properly() {
    let (authority, site) = site();
    let origin = Origin::scripted(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n");
        exchange.close();
    });
    let gate = secured(&origin, &site, "", &[]);
    let mut client = Shaking::with(authority.roots()).client(&gate);
    client.send(with_keys(b"GET / HTTP/1.0\r\nX-API-Key: K1\r\n\r\n"));
    client.until(b"some");
    assert!(client.closes_within(DEADLINE));
    assert!(client.was_reset(), "what was cut off looks whole");
}

/// Somebody on the way could end the request where it says something else.
#[test]
fn a_request_that_is_cut_off_reaches_nobody_whole() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[]);
    let tcp = std::net::TcpStream::connect(gate.address).expect("it listens");
    let cut = tcp.try_clone().expect("it is a socket");
    let shaken = Shaking::with(authority.roots()).shake_over(tcp);
    let (mut client, _) = shaken.expect("hands are shaken");
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nX-API-Key: K1\r\nTransfer-Encoding: chunked\r\n\
                \r\n4\r\nsome\r\n";
    client.send(with_keys(head.as_bytes()));
    origin.wait_for(1);
    cut.shutdown(std::net::Shutdown::Write).expect("it is open");
    wait_until("the origin's connection ends", || origin.open_connections() == 0);
    assert!(!origin.last().whole);
}

#[test]
fn http_in_the_clear_is_told_what_is_spoken() {
    let (origin, (_, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[]);
    let mut client = gate.client();
    let response = client.send(ask()).response();
    let said = "This port speaks HTTPS: the URL begins with https://";
    assert_eq!((response.status, &*response.text()), (400, said));
    assert!(client.closes_within(DEADLINE) && !client.was_reset());
    for nonsense in [&b"\0\0\0\0"[..], b"\x80\x2e\x01\0\x02", b"\x16\x03\x01\xff\xff"] {
        let said = gate.client().send(nonsense).finish().rest();
        assert!(!said.starts_with(b"HTTP"), "{}", nonsense.escape_ascii());
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_address_is_in_the_clear_only_where_that_is_written() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let config = crate::support::reference::reference(&origin);
    let server = super::ONE_SITE.replace(
        "\"127.0.0.1:0\"",
        "[\"127.0.0.1:0\", \"http://127.0.0.2:0\", \"https://127.0.0.3:0\", \"unix:gate.sock\"]",
    );
    let files = [
        ("keygate.toml", &*config),
        ("server.toml", &server),
        ("site.pem", &site.cert),
        ("site.key", &site.key),
    ];
    let gate = Gate::with(&files);
    let lines = gate.stderr.lines();
    let said: Vec<_> = lines.iter().filter_map(|line| line.split_once("listening on ")).collect();
    let address = |index: usize| {
        let (_, said) = said[index];
        said.split(' ').next().and_then(|text| text.parse().ok()).expect("an address")
    };
    let said: Vec<_> = said.iter().map(|(_, said)| said.ends_with("with TLS")).collect();
    assert_eq!(said, [true, false, true, false]);
    let shaking = Shaking::with(authority.roots());
    for secure in [0, 2] {
        assert!(shaking.shake(address(secure)).is_ok());
        assert_eq!(Client::connect(address(secure)).send(ask()).response().status, 400);
    }
    let clear = "GET /none HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(Client::connect(address(1)).send(clear).response().status, 404);
}
