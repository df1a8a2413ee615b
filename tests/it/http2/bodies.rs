//! Bodies over HTTP/2: both ways, at once, and no faster than the other side takes them.

use std::time::Duration;

use super::{connect, keyed};
use crate::support::h2::{DATA, END_STREAM, INITIAL_WINDOW_SIZE, NONE, WINDOW_UPDATE};
use crate::support::reference::{guarded, simple, upstream};
use crate::support::{DEADLINE, Gate, Origin, Signal, wait_until};

#[test]
fn a_body_goes_up_in_pieces_and_its_trailers_behind_it() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    let stream = h2.open(NONE, &keyed("POST", &[]));
    for piece in ["one ", "", "two "] {
        h2.data(stream, NONE, piece.as_bytes());
    }
    h2.headers(stream, END_STREAM, &[("x-sum", "1"), ("x-api-key", "no"), ("host", "b.test")]);
    assert_eq!(h2.answer(stream).status, 200);
    let request = origin.last();
    assert_eq!((request.body, request.whole), (b"one two ".to_vec(), true));
    assert_eq!(request.trailers, [("x-sum".to_owned(), "1".to_owned())]);
    assert_eq!(request.head.values("transfer-encoding"), ["chunked"]);
}

#[test]
fn a_length_that_was_said_is_said_upstream() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    for (length, body) in [("5", &b"hello"[..]), ("0", b"")] {
        let stream = h2.open(NONE, &keyed("POST", &[("content-length", length)]));
        h2.data(stream, END_STREAM, body);
        assert_eq!(h2.answer(stream).status, 200);
        let head = origin.last().head;
        assert_eq!(
            (head.values("content-length"), origin.last().body),
            (vec![length], body.to_vec())
        );
    }
}

#[test]
fn nothing_is_held_back_in_either_direction() {
    let (go, told) = (Signal::new(), Signal::new());
    let (wait, tell) = (go.clone(), told.clone());
    let origin = Origin::scripted(move |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..3 {
            assert_eq!(exchange.bytes(9), b"4\r\nping\r\n");
            tell.give();
            wait.wait();
            exchange.chunk(b"pong");
        }
        exchange.write("0\r\n\r\n");
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    let stream = h2.open(NONE, &keyed("POST", &[]));
    for _ in 0..3 {
        h2.data(stream, NONE, b"ping");
        told.wait();
        go.give();
        assert_eq!(h2.next_of(DATA).payload, b"pong");
    }
}

#[test]
fn a_client_may_send_no_more_than_is_taken() {
    let (go, wait) = (Signal::new(), Signal::new());
    let hold = go.clone();
    let origin = Origin::scripted(move |exchange| {
        hold.wait();
        exchange.read_body();
        exchange.reply(200, b"all");
    });
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    let stream = h2.open(NONE, &keyed("POST", &[]));
    let piece = [b'x'; 16 * 1024];
    // The window of a stream, the gate's own socket and the origin's, and no more.
    let (mut window, mut sent) = (256 * 1024, 0);
    h2.patience(Duration::from_secs(1));
    loop {
        while window >= piece.len() {
            h2.data(stream, NONE, &piece);
            window -= piece.len();
            sent += piece.len();
        }
        if !h2.client().hears_within(Duration::from_millis(700)) {
            break;
        }
        let frame = h2.next().expect("the connection goes on");
        if (frame.kind, frame.stream) == (WINDOW_UPDATE, stream) {
            window += u32::from_be_bytes(frame.payload.try_into().expect("four bytes")) as usize;
        }
        assert!(sent < 64 * 1024 * 1024, "{sent} bytes were taken");
    }
    go.give();
    wait.give();
    h2.patience(DEADLINE).data(stream, END_STREAM, b"");
    assert_eq!(h2.answer(stream).text(), "all");
    assert_eq!(origin.last().body.len(), sent);
}

#[test]
fn a_response_is_taken_from_the_upstream_no_faster_than_from_the_gate() {
    let origin = Origin::scripted(|exchange| {
        exchange.read_body();
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n");
        exchange.writes_within(DEADLINE, &vec![b'x'; 50_000_000]);
    });
    let gate = guarded(&origin);
    let before = gate.memory_kib();
    let mut h2 = connect(&gate);
    h2.setting(INITIAL_WINDOW_SIZE, 1 << 30).window(0, 1 << 30);
    let streams: Vec<_> = (0..10).map(|_| h2.open(END_STREAM, &keyed("GET", &[]))).collect();
    origin.wait_for(10);
    // Windows are there, but nobody reads.
    assert!(!h2.client().closes_within(Duration::from_secs(1)));
    let grown = gate.highest_memory_kib().saturating_sub(before);
    assert!(grown < 6 * 1024, "{grown} KiB for {} streams that nobody reads", streams.len());
}

#[test]
fn a_large_response_comes_whole() {
    let body: Vec<_> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let answer = body.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.read_body();
        exchange.reply(200, &answer);
    });
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    h2.setting(INITIAL_WINDOW_SIZE, 1 << 24).window(0, 1 << 24);
    assert!(h2.ask(&keyed("GET", &[])).body == body);
}

#[test]
fn a_body_that_is_too_long_is_413_with_or_without_a_length() {
    let origin = Origin::echo();
    let gate = simple(&origin, "client_max_body_size = \"1KiB\"\n");
    let long = [b'x'; 2000];
    for more in [&[("content-length", "2000")][..], &[]] {
        let mut h2 = connect(&gate);
        let stream = h2.open(NONE, &keyed("POST", more));
        h2.data(stream, END_STREAM, &long);
        assert_eq!(h2.answer(stream).status, 413, "{more:?}");
    }
    wait_until("nothing whole arrived", || !origin.requests().iter().any(|one| one.whole));
}

#[test]
fn a_preflight_has_no_body() {
    let origin = Origin::echo();
    let gate = Gate::on(
        &(upstream(&origin)
            + "[plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [\"a-key-that-nobody-has\"]\n\
               allow_preflight = true\n\
               [locations.all]\npath = \"/\"\nupstream = \"rec\"\nplugins = [\"key-auth\"]\n"),
    );
    let mut h2 = connect(&gate);
    let mut fields = keyed(
        "OPTIONS",
        &[("origin", "https://a.test"), ("access-control-request-method", "POST")],
    );
    fields.retain(|(name, _)| *name != "x-api-key");
    assert_eq!(h2.ask(&fields).status, 200);
    let stream = h2.open(NONE, &fields);
    h2.data(stream, END_STREAM, b"a body");
    assert_eq!(h2.answer(stream).status, 401);
    assert_eq!(origin.count(), 1);
}
