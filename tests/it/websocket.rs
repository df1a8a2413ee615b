//! WebSocket upgrades: the key comes first, then the bytes of both sides, untouched.

use std::time::Duration;

use crate::support::reference::{guarded, keyed, reference};
use crate::support::{
    Client, DEADLINE, Exchange, Failures, Gate, Origin, Signal, holds_within, pause,
};

/// What asks for an upgrade.
pub(crate) const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// What agrees to it.
pub(crate) const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An origin that agrees to every upgrade and then sends back what it gets, five bytes at a time.
fn echoing() -> Origin {
    Origin::scripted(|exchange| {
        exchange.write(SWITCHING);
        loop {
            let bytes = exchange.bytes(5);
            if bytes.is_empty() {
                break;
            }
            exchange.write(&bytes);
        }
        exchange.close();
    })
}

fn handshake(target: &str, lines: &str) -> String {
    keyed(&format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{lines}{HANDSHAKE}\r\n"))
}

fn with_key() -> String {
    handshake("/api/v1/ws", "X-API-Key: K1\r\n")
}

#[test]
fn an_upgrade_without_the_key_is_401_and_touches_nothing() {
    let origin = echoing();
    let gate = guarded(&origin);
    for lines in ["", "X-API-Key: wrong\r\n", "Sec-WebSocket-Protocol: bearer, K1\r\n"] {
        assert_eq!(gate.send(handshake("/api/v1/ws", lines)).status, 401, "{lines}");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn bytes_pass_both_ways_after_101() {
    let origin = echoing();
    let gate = guarded(&origin);
    let mut client = gate.client();
    let response = client.send(with_key()).response();
    assert_eq!(response.status, 101);
    assert_eq!(response.value("Upgrade").to_ascii_lowercase(), "websocket");
    assert_eq!(response.value("Connection").to_ascii_lowercase(), "upgrade");
    assert_eq!(response.value("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for word in ["hello", "\x00\x01\x02\r\n", "GET /"] {
        assert_eq!(client.send(word).bytes(5), word.as_bytes());
    }
}

#[test]
fn the_origin_sees_a_whole_handshake_without_the_key() {
    let origin = echoing();
    let gate = guarded(&origin);
    let mut client = gate.client();
    assert_eq!(client.send(handshake("/q/ws?api_key=K1", "")).response().status, 101);
    let head = origin.last().head;
    assert_eq!(head.second_word(), "/q/ws");
    assert_eq!(head.value("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
    assert_eq!(head.value("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(head.value("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(head.value("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn bytes_that_came_too_early_wait_for_101() {
    let (agree, quiet) = (Signal::new(), Signal::new());
    let (led, told) = (agree.clone(), quiet.clone());
    let origin = Origin::scripted(move |exchange| {
        if !exchange.hears_within(Duration::from_millis(300)) {
            told.give();
        }
        led.wait();
        exchange.write(SWITCHING);
        let early = exchange.bytes(5);
        exchange.write(&early);
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    client.send(with_key() + "early");
    quiet.wait();
    agree.give();
    assert_eq!(client.response().status, 101);
    assert_eq!(client.bytes(5), b"early");
}

#[test]
fn bytes_of_the_origin_that_come_with_101_arrive() {
    let origin = Origin::scripted(|exchange| {
        exchange.write([SWITCHING, "first"].concat());
        exchange.ends_within(DEADLINE);
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    assert_eq!(client.send(with_key()).response().status, 101);
    assert_eq!(client.bytes(5), b"first");
}

#[test]
fn a_refused_upgrade_leaves_http() {
    let origin = Origin::scripted(|exchange| {
        let target = exchange.request.second_word().to_owned();
        exchange.reply(200, target.as_bytes());
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    client.send(with_key() + "GET /admin/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.response().text(), "/api/v1/ws");
    let rest = client.hears_within(Duration::from_millis(300)).then(|| client.response().status);
    assert!(matches!(rest, None | Some(401)), "{rest:?}");
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_answer_that_only_looks_like_an_upgrade_is_an_answer() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno",
    );
    let gate = guarded(&origin);
    let mut client = gate.client();
    let response = client.send(with_key()).response();
    assert_eq!((response.status, response.text().as_str()), (200, "no"));
    assert!(!response.head.has("upgrade"), "{:?}", response.head);
}

/// Requests that ask for no WebSocket, to an origin that answers 101 to everything.
const NO_UPGRADE: [&str; 4] = [
    "",
    "Connection: Upgrade\r\nUpgrade: foo\r\n",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
];

#[test]
fn a_101_that_nobody_asked_for_is_502() {
    let origin = Origin::scripted(|exchange| {
        exchange.write(SWITCHING);
        exchange.ends_within(DEADLINE);
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut failures = Failures::new();
    for lines in NO_UPGRADE {
        let request = keyed(&format!(
            "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n{lines}\r\n"
        ));
        let response = gate.send(request);
        failures.row(response.status == 502, || format!("{lines:?}: {}", response.status));
    }
    failures.report();
}

#[test]
fn other_upgrades_are_not_forwarded() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    for lines in NO_UPGRADE {
        let request = keyed(&format!(
            "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n{lines}\r\n"
        ));
        assert_eq!(gate.send(request).text(), "/api/v1/x", "{lines}");
        let head = origin.last().head;
        assert!(!head.has("upgrade") && !head.has("http2-settings"), "{head:?}");
    }
}

/// Starts a WebSocket connection whose origin then does this.
fn connected(then: impl Fn(&mut Exchange) + Send + Sync + 'static) -> (Gate, Client, Origin) {
    let origin = Origin::scripted(move |exchange| {
        exchange.write(SWITCHING);
        then(exchange);
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    assert_eq!(client.send(with_key()).response().status, 101);
    (gate, client, origin)
}

#[test]
fn when_the_origin_ends_the_client_is_told() {
    let (_gate, mut client, _origin) = connected(|exchange| exchange.write("bye"));
    assert_eq!(client.rest(), b"bye");
}

#[test]
fn when_the_client_leaves_the_origin_is_told() {
    let gone = Signal::new();
    let told = gone.clone();
    let (_gate, client, _origin) = connected(move |exchange| {
        if exchange.ends_within(Duration::from_secs(8)) {
            told.give();
        }
    });
    drop(client);
    assert!(gone.given_within(Duration::from_secs(1)), "the upstream connection stays");
}

#[test]
fn a_megabyte_passes_both_ways_at_once() {
    const SIZE: usize = 1024 * 1024;
    let (_gate, mut client, _origin) = connected(|exchange| {
        let mut left = SIZE;
        while left > 0 {
            let bytes = exchange.bytes(left.min(4096));
            if bytes.is_empty() {
                return;
            }
            left -= bytes.len();
            exchange.write(&bytes);
        }
    });
    let sent: Vec<u8> = (0..SIZE).map(|at| (at ^ (at >> 9)) as u8).collect();
    let mut received = Vec::new();
    for piece in sent.chunks(4096) {
        received.extend(client.send(piece).bytes(piece.len()));
    }
    assert!(received == sent, "the bytes differ");
}

#[test]
fn a_quiet_connection_is_kept_whatever_the_timeouts_of_http() {
    let origin = echoing();
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nkeepalive_timeout = \"300ms\"\n\
        client_header_timeout = \"300ms\"\nclient_body_timeout = \"300ms\"\n";
    let gate = Gate::with(&[("keygate.toml", &reference(&origin)), ("server.toml", server)]);
    let mut client = gate.client();
    assert_eq!(client.send(with_key()).response().status, 101);
    assert!(!client.closes_within(Duration::from_millis(1200)), "closed");
    assert_eq!(client.send("hello").bytes(5), b"hello");
}

#[test]
fn a_client_that_leaves_takes_an_origin_along_that_does_not_notice() {
    let (gate, client, _origin) = connected(|exchange| {
        // Reads the end, and keeps its own side open.
        exchange.ends_within(DEADLINE);
        pause(Duration::from_secs(6));
    });
    let files = || std::fs::read_dir(format!("/proc/{}/fd", gate.pid())).map_or(0, Iterator::count);
    let before = files();
    drop(client);
    let closed = holds_within(Duration::from_secs(3), || files() + 2 <= before);
    assert!(closed, "{} files, {before} before", files());
}

#[test]
fn an_origin_that_ends_takes_a_client_along_that_does_not_notice() {
    let end = Signal::new();
    let led = end.clone();
    let (gate, client, _origin) = connected(move |_| led.wait());
    let files = || std::fs::read_dir(format!("/proc/{}/fd", gate.pid())).map_or(0, Iterator::count);
    let before = files();
    end.give();
    // The client neither reads nor closes.
    let closed = holds_within(Duration::from_secs(3), || files() + 2 <= before);
    assert!(closed, "{} files, {before} before", files());
    drop(client);
}
