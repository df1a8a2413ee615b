//! Nothing is held back: events, heads, uploads, downloads, and a client that leaves.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::reference::{guarded, keyed, simple};
use crate::support::{Client, Exchange, Gate, Origin, Response, Signal, wait_until};

const REQUEST: &str = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A `POST` with the key and this framing.
fn post(framing: &str) -> String {
    keyed(&format!("POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n{framing}\r\n\r\n"))
}

#[test]
fn every_event_is_seen_before_the_next_is_sent() {
    const EVENTS: usize = 20;
    let seen = Signal::new();
    let led = seen.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
        exchange.write("Transfer-Encoding: chunked\r\n\r\n");
        for number in 0..EVENTS {
            led.wait();
            exchange.chunk(format!("data: {number}\n\n").as_bytes());
        }
        exchange.write("0\r\n\r\n");
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    let mut response = client.send(REQUEST).response_head();
    assert_eq!(response.value("X-Accel-Buffering"), "no");
    for number in 0..EVENTS {
        seen.give();
        assert!(client.chunk(&mut response), "the stream ended");
        assert!(response.text().ends_with(&format!("data: {number}\n\n")), "{}", response.text());
    }
    assert!(!client.chunk(&mut response) && response.complete);
}

#[test]
fn events_that_end_with_the_connection_stream_too() {
    let seen = Signal::new();
    let led = seen.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        for number in 0..3 {
            led.wait();
            exchange.write(format!("data: {number}\n\n"));
        }
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    client.send(REQUEST).response_head();
    for number in 0..3 {
        seen.give();
        client.until(format!("data: {number}\n\n").as_bytes());
    }
}

#[test]
fn a_head_is_seen_before_there_is_a_body() {
    let seen = Signal::new();
    let led = seen.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        led.wait();
        exchange.write("hi");
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    assert_eq!(client.send(REQUEST).response_head().status, 200);
    seen.give();
    assert_eq!(client.bytes(2), b"hi");
}

#[test]
fn an_upload_is_seen_piece_by_piece() {
    let arrived = Signal::new();
    let told = arrived.clone();
    let origin = Origin::scripted(move |exchange| {
        for _ in 0..5 {
            exchange.bytes(5);
            told.give();
        }
        exchange.reply(200, b"done");
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    client.send(post("Content-Length: 25"));
    for _ in 0..5 {
        client.send("hello");
        arrived.wait();
    }
    assert_eq!(client.response().text(), "done");
}

#[test]
fn an_answer_may_come_while_the_body_is_still_sent() {
    let origin = Origin::scripted(|exchange| {
        exchange.write(CHUNKED);
        for _ in 0..3 {
            let piece = exchange.bytes(10);
            exchange.chunk(&piece);
        }
        exchange.write("0\r\n\r\n");
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    let mut response = client.send(post("Content-Length: 30")).send("0123456789").response_head();
    assert!(client.chunk(&mut response));
    for length in [20, 30] {
        client.send("0123456789");
        while response.body.len() < length {
            assert!(client.chunk(&mut response), "the answer ended");
        }
    }
    assert_eq!(response.text(), "0123456789".repeat(3));
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let origin = Origin::scripted(|exchange| {
        exchange
            .write("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
        exchange.close();
    });
    let gate = guarded(&origin);
    let response = gate.client().send(post("Content-Length: 1000000")).send("begin").response();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
    assert_eq!(gate.send(REQUEST).status, 413);
}

/// How much is sent up and down; several times what any buffer on the way holds.
const LARGE: usize = 5 * 1024 * 1024;
/// How much memory a large body may cost: sockets' and connections' buffers, not the body.
const FLAT_KIB: u64 = 3 * 1024;

/// Bytes that differ from place to place, so that a piece lost or repeated is found.
fn large() -> Vec<u8> {
    (0..LARGE).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

#[test]
fn a_large_download_arrives_whole_and_costs_no_memory() {
    let origin = Origin::scripted(|exchange| exchange.reply(200, &large()));
    let gate = guarded(&origin);
    assert_eq!(gate.send(REQUEST).body.len(), LARGE);
    let before = gate.highest_memory_kib();
    assert!(gate.send(REQUEST).body == large(), "the bytes differ");
    assert_flat(&gate, before);
}

#[test]
fn a_large_upload_arrives_whole_and_costs_no_memory() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    assert_eq!(gate.send(REQUEST).status, 200);
    let before = gate.highest_memory_kib();
    let length = post(&format!("Content-Length: {LARGE}"));
    assert_eq!(gate.send([length.as_bytes(), &large()].concat()).status, 200);
    assert!(origin.last().body == large(), "the bytes differ");
    let mut chunked = post("Transfer-Encoding: chunked").into_bytes();
    for piece in large().chunks(7777) {
        chunked.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        chunked.extend([piece, b"\r\n"].concat());
    }
    chunked.extend(b"0\r\n\r\n");
    assert_eq!(gate.send(chunked).status, 200);
    assert!(origin.last().body == large(), "the bytes differ");
    assert_flat(&gate, before);
}

#[track_caller]
fn assert_flat(gate: &Gate, before: u64) {
    let after = gate.highest_memory_kib();
    assert!(after <= before + FLAT_KIB, "from {before} KiB to {after} KiB");
}

/// What fits into the sockets on the way before a sender must wait.
const MOST_IN_FLIGHT: usize = 48 * 1024 * 1024;

#[test]
fn an_origin_that_does_not_read_stops_the_client() {
    let read = Signal::new();
    let led = read.clone();
    let origin = Origin::scripted(move |exchange| {
        led.wait();
        exchange.close();
    });
    let gate = guarded(&origin);
    let before = gate.highest_memory_kib();
    let mut client = gate.client();
    client.send(post(&format!("Content-Length: {}", MOST_IN_FLIGHT * 4)));
    let sent = push(&mut client);
    assert!(sent < MOST_IN_FLIGHT, "{sent} bytes were taken");
    assert_flat(&gate, before);
    read.give();
}

/// Sends until it would have to wait; how much that was.
fn push(client: &mut Client) -> usize {
    let piece = vec![b'x'; 256 * 1024];
    let mut sent = 0;
    while sent < MOST_IN_FLIGHT && client.sends_within(Duration::from_millis(400), &piece) {
        sent += piece.len();
    }
    sent
}

#[test]
fn a_client_that_does_not_read_stops_the_origin() {
    let stopped = Signal::new();
    let told = stopped.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.write(CHUNKED);
        let piece = vec![b'x'; 256 * 1024];
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        for _ in 0..MOST_IN_FLIGHT / piece.len() {
            if !exchange.writes_within(Duration::from_millis(400), &chunk) {
                told.give();
                break;
            }
        }
        exchange.close();
    });
    let gate = guarded(&origin);
    assert_eq!(gate.send("GET /nowhere HTTP/1.1\r\nHost: a.test\r\n\r\n").status, 404);
    let before = gate.highest_memory_kib();
    let mut client = gate.client();
    client.send(REQUEST).response_head();
    stopped.wait();
    assert_flat(&gate, before);
}

/// The most that may pass between a client's leaving and the end of its upstream request.
const AT_ONCE: Duration = Duration::from_secs(1);

/// An origin that comes to a stage of its answer, says so, and goes no further; the second signal
/// says that its connection has ended.
fn left_in(stage: fn(&mut Exchange)) -> (Origin, Signal, Signal) {
    let (ready, ended) = (Signal::new(), Signal::new());
    let (told, gone) = (ready.clone(), ended.clone());
    let origin = Origin::scripted(move |exchange| {
        stage(exchange);
        told.give();
        exchange.tells_the_end(&gone);
    });
    (origin, ready, ended)
}

#[test]
fn a_client_that_leaves_ends_its_request_at_any_stage() {
    let stages: [fn(&mut Exchange); 3] = [
        |_| {},
        |exchange| exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        |exchange| exchange.write(format!("{CHUNKED}3\r\none\r\n")),
    ];
    for (number, stage) in stages.into_iter().enumerate() {
        let (origin, ready, ended) = left_in(stage);
        let gate = guarded(&origin);
        let mut client = gate.client();
        client.send(REQUEST);
        ready.wait();
        if number > 0 {
            client.response_head();
        }
        drop(client);
        assert!(ended.given_within(AT_ONCE), "stage {number}: the upstream request goes on");
    }
}

#[test]
fn a_client_that_leaves_in_its_upload_ends_the_upstream_request() {
    let (origin, ready, ended) = left_in(|exchange| {
        exchange.bytes(5);
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    client.send(post("Content-Length: 1000")).send("hello");
    ready.wait();
    drop(client);
    assert!(ended.given_within(AT_ONCE), "the upstream request goes on");
}

#[test]
fn an_upload_without_an_end_is_not_held_back_by_others() {
    let origin = Origin::echo();
    let gate = simple(&origin, "");
    let mut slow: Vec<_> = (0..20).map(|_| gate.client()).collect();
    for client in &mut slow {
        client.send(post("Content-Length: 1000000")).send("begin");
    }
    origin.wait_for(20);
    let start = Instant::now();
    let request = keyed("GET /fast HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n");
    assert_eq!(gate.send(request).text(), "/fast");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn many_at_once_each_get_their_own_answer() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let address = gate.address;
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            thread::spawn(move || {
                let mut client = Client::connect(address);
                (0..100).all(|number| {
                    let target = format!("/public/{thread}-{number}");
                    let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
                    let response: Response = client.send(request).response();
                    response.text() == target
                })
            })
        })
        .collect();
    for thread in threads {
        assert!(thread.join().expect("no request fails"), "an answer was another's");
    }
}

#[test]
fn memory_returns_when_the_clients_have_gone() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let files = || std::fs::read_dir(format!("/proc/{}/fd", gate.pid())).map_or(0, Iterator::count);
    assert_eq!(gate.send(REQUEST).status, 200);
    let before = files();
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut client = gate.client();
            assert_eq!(client.send(REQUEST).response().status, 200);
            client
        })
        .collect();
    assert!(files() >= before + 90);
    drop(clients);
    wait_until("the connections are closed", || files() <= before + 20);
}

#[test]
fn only_an_event_stream_asks_nginx_not_to_hold_it_back() {
    let rows = [
        ("text/event-stream", "no"),
        ("text/event-stream; charset=utf-8", "no"),
        ("Text/Event-Stream", "no"),
        ("application/json", ""),
        ("text/plain", ""),
    ];
    for (media_type, expected) in rows {
        let origin = Origin::answering(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: 2\r\n\r\n\n\n"
        ));
        let response = guarded(&origin).send(REQUEST);
        assert_eq!(response.value("X-Accel-Buffering"), expected, "{media_type}");
    }
}
