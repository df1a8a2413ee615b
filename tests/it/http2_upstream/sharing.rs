//! Connections that many requests share: how many, and that none disturbs another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{before, post, request};
use crate::support::frames::{
    CANCEL, DATA, Frame, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, RST_STREAM, WINDOW_UPDATE,
};
use crate::support::{Client, FrameOrigin, Gate, Link, Signal, pause, wait_until};

/// Answers on each connection, at each signal, the oldest request that waits.
fn led(settings: &'static [(u16, u32)], go: &Signal) -> FrameOrigin {
    let go = go.clone();
    FrameOrigin::scripted(move |link| {
        link.settle(settings);
        while let Some((stream, _)) = link.request() {
            go.wait();
            let number = link.number.to_string();
            link.reply(stream, &number);
        }
    })
}

fn ask(gate: &Gate, count: usize) -> Vec<Client> {
    let ask = |_| {
        let mut client = gate.client();
        client.send(request("GET /x"));
        client
    };
    (0..count).map(ask).collect()
}

#[test]
fn many_requests_share_a_connection() {
    const REQUESTS: usize = 100;
    let origin = FrameOrigin::scripted(|link| {
        link.settle(&[]);
        let streams: Vec<_> = (0..REQUESTS).map_while(|_| link.request()).collect();
        // The last one first.
        for (stream, _) in streams.into_iter().rev() {
            link.reply(stream, &stream.to_string());
        }
        link.serve();
    });
    let gate = before(origin.address, "");
    let mut clients = ask(&gate, REQUESTS);
    let mut answers: Vec<u32> = clients
        .iter_mut()
        .map(|client| client.response().text().parse().expect("a number"))
        .collect();
    answers.sort_unstable();
    let streams: Vec<_> = (0..100).map(|number| 2 * number + 1).collect();
    assert_eq!(answers, streams);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn no_connection_carries_more_than_its_upstream_allows() {
    let go = Signal::new();
    let origin = led(&[(MAX_CONCURRENT_STREAMS, 1)], &go);
    let gate = before(origin.address, "");
    let mut clients = ask(&gate, 5);
    wait_until("every request has a connection", || origin.requests() == 5);
    assert_eq!(origin.connections(), 5);
    (0..5).for_each(|_| go.give());
    let mut answers: Vec<_> = clients.iter_mut().map(|client| client.response().text()).collect();
    answers.sort();
    assert_eq!(answers, ["1", "2", "3", "4", "5"]);
    // They are used again.
    go.give();
    assert_eq!(gate.send(request("GET /x")).status, 200);
    assert_eq!(origin.connections(), 5);
}

#[test]
fn who_finds_no_place_is_told_so_in_time() {
    // On a connection on which nothing is allowed, nothing ever will be.
    let origin = led(&[(MAX_CONCURRENT_STREAMS, 0)], &Signal::new());
    let gate = before(origin.address, "connect_timeout = \"1s\"");
    for made in 1..=2 {
        let answer = gate.send(request("GET /x"));
        assert_eq!((answer.status, &*answer.text()), (503, "Too many requests at once"));
        assert_eq!((origin.requests(), origin.connections()), (0, made));
    }
}

#[test]
fn who_says_nothing_is_given_up_when_a_connection_should_have_been_made() {
    let given_up = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&given_up);
    let origin = FrameOrigin::scripted(move |link| {
        link.listen();
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let gate = before(origin.address, "connect_timeout = \"1s\"");
    for made in 1..=2 {
        assert_eq!(gate.send(request("GET /x")).status, 504);
        assert_eq!((origin.requests(), origin.connections()), (0, made));
        // Whoever comes before it is given up waits for the same one.
        wait_until("it is given up", || given_up.load(Ordering::SeqCst) == made);
    }
}

#[test]
fn a_place_goes_to_who_has_waited_longest_and_to_nobody_who_has_left() {
    const CONNECTIONS: usize = 64;
    let go = Signal::new();
    let led = go.clone();
    let origin = FrameOrigin::scripted(move |link| {
        link.settle(&[(MAX_CONCURRENT_STREAMS, 1)]);
        while let Some((stream, _)) = link.request() {
            if link.number == 1 {
                led.wait();
                link.reply(stream, "ok");
            }
        }
    });
    let gate = before(origin.address, "connect_timeout = \"60s\"");
    let _taken = ask(&gate, 1);
    wait_until("the first connection is taken", || origin.requests() == 1);
    let _others = ask(&gate, CONNECTIONS - 1);
    wait_until("every connection is taken", || origin.requests() == CONNECTIONS);
    let wait = Duration::from_millis(200);
    let mut waiting: Vec<_> = (0..3)
        .flat_map(|_| {
            let one = ask(&gate, 1);
            pause(wait / 4);
            one
        })
        .collect();
    drop(waiting.remove(1));
    pause(wait / 4);
    for next in 0..2 {
        assert!(waiting.iter_mut().skip(next).all(|client| !client.hears_within(wait)));
        go.give();
        // Its own place comes free first, and then it is asked.
        go.give();
        assert_eq!(waiting[next].response().text(), "ok");
    }
    assert_eq!((origin.requests(), origin.connections()), (CONNECTIONS + 2, CONNECTIONS));
}

#[test]
fn who_leaves_resets_its_stream_and_leaves_the_connection_to_the_others() {
    let go = Signal::new();
    let origin = led(&[], &go);
    let gate = before(origin.address, "");
    let mut clients = ask(&gate, 2);
    wait_until("both are there", || origin.requests() == 2 || origin.requests() == 1);
    drop(clients.remove(0));
    let answered = |origin: &FrameOrigin| {
        origin
            .frames()
            .iter()
            .any(|(_, frame)| frame.kind == RST_STREAM && frame.number(0) == CANCEL)
    };
    go.give();
    go.give();
    wait_until("the stream is reset", || answered(&origin));
    assert_eq!(clients[0].response().text(), "1");
}

/// Sends on a stream as much as its window allows, and never more.
fn flood(link: &mut Link, stream: u32, sent: &AtomicUsize) {
    const PIECE: usize = 16_384;
    link.send(&[Frame::headers(stream, 0, &[(":status", "200")])]);
    let mut window = 8 * PIECE;
    loop {
        while window >= PIECE {
            link.send(&[Frame::data(stream, 0, [b'x'; PIECE])]);
            sent.fetch_add(PIECE, Ordering::SeqCst);
            window -= PIECE;
        }
        let Some(frame) = link.next_of_a_request() else { return };
        if frame.kind == WINDOW_UPDATE {
            window += frame.number(0) as usize;
        }
    }
}

#[test]
fn a_response_is_taken_from_the_upstream_only_as_far_as_the_client_takes_it() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let origin = FrameOrigin::scripted(move |link| {
        link.settle(&[]);
        if let Some((stream, _)) = link.request() {
            flood(link, stream, &counted);
        }
    });
    let gate = before(origin.address, "");
    let mut slow = Client::narrow(gate.address);
    slow.send(request("GET /x"));
    let mut last = 0;
    wait_until("nothing more is sent", || {
        let before = std::mem::replace(&mut last, sent.load(Ordering::SeqCst));
        pause(Duration::from_millis(300));
        before > 0 && before == sent.load(Ordering::SeqCst)
    });
    // A window, and what the sockets on the client's side hold.
    assert!(last < 4 * 1024 * 1024, "{last} bytes were sent");
    slow.bytes(last);
    wait_until("it goes on", || sent.load(Ordering::SeqCst) > last);
}

#[test]
fn a_client_that_does_not_read_holds_a_window_and_nobody_else_up() {
    let full = Signal::new();
    let told = full.clone();
    let origin = FrameOrigin::scripted(move |link| {
        link.settle(&[]);
        let Some((slow, _)) = link.request() else { return };
        link.send(&[Frame::headers(slow, 0, &[(":status", "200")])]);
        for _ in 0..8 {
            link.send(&[Frame::data(slow, 0, [b'x'; 16_384])]);
        }
        told.give();
        link.serve();
    });
    let gate = before(origin.address, "");
    let mut slow = Client::narrow(gate.address);
    slow.send(request("GET /x"));
    full.wait();
    for _ in 0..3 {
        assert_eq!(gate.send(request("GET /x")).text(), "1");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_upload_is_taken_from_the_client_only_as_far_as_the_upstream_takes_it() {
    const WINDOW: usize = 1000;
    let origin = FrameOrigin::scripted(|link| {
        link.settle(&[(INITIAL_WINDOW_SIZE, WINDOW as u32)]);
        link.listen();
    });
    let gate = before(origin.address, "");
    let mut client = gate.client();
    let much = post(&"x".repeat(64 * 1024 * 1024)).into_bytes();
    // What the sockets between them hold, and a little.
    assert!(!client.sends_within(Duration::from_millis(500), &much));
    let taken = || -> usize {
        let frames = origin.frames();
        let data = frames.iter().filter(|(_, frame)| frame.kind == DATA);
        data.map(|(_, frame)| frame.payload.len()).sum()
    };
    wait_until("the window is full", || taken() == WINDOW);
    pause(Duration::from_millis(50));
    assert_eq!(taken(), WINDOW);
}
