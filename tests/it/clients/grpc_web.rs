//! A client of gRPC with its key as metadata, over HTTP/1.1: Connect's gRPC-Web.

use super::guarding;
use super::program::{run, start};
use super::provider::WORDS;
use crate::support::reference::{K1, K2, K3, KEYS};
use crate::support::{Canaries, Exchange, Gate, Origin, Signal};

const PROGRAM: &str = "grpc_node.mjs";

/// A message of one text, in its frame: one byte of flags and four of the length.
fn frame(text: &str) -> Vec<u8> {
    let length = |length: usize| u8::try_from(length).expect("it is short");
    let message = [&[0x0a, length(text.len())], text.as_bytes()].concat();
    [&[0, 0, 0, 0, length(message.len())], &message[..]].concat()
}

/// Trailers are the last frame of a body.
const OK: &[u8] = b"\x80\0\0\0\x10grpc-status: 0\r\n";

fn say(exchange: &mut Exchange, frames: &[u8]) {
    exchange.write("HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\n");
    exchange.write(format!("Content-Length: {}\r\n\r\n", frames.len()));
    exchange.write(frames);
}

/// A service that says all words at once, or one at each signal.
fn model(next: Signal) -> Origin {
    Origin::scripted(move |exchange| {
        exchange.read_body();
        if exchange.request.second_word() == "/Model/Ask" {
            return say(exchange, &[&frame(&WORDS.join(" ")), OK].concat());
        }
        exchange.write("HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\n");
        exchange.write("Transfer-Encoding: chunked\r\n\r\n");
        for word in WORDS {
            next.wait();
            exchange.chunk(&frame(word));
        }
        exchange.chunk(OK);
        exchange.write("0\r\n\r\n");
    })
}

#[test]
fn a_call_is_let_through_by_its_metadata_and_the_key_goes_no_further() {
    let model = model(Signal::new());
    let gate = guarding(model.address);
    assert_eq!(run(PROGRAM, &["ask"], &gate, K1), WORDS.join(" "));
    assert_eq!(Canaries::of(&KEYS).found_in(&model.last().bytes()), None);
}

#[test]
fn every_message_of_a_stream_is_seen_before_the_next_is_sent() {
    let next = Signal::new();
    let model = model(next.clone());
    let gate = guarding(model.address);
    let program = start(PROGRAM, &["stream"], &gate, K1);
    for (number, word) in (1..).zip(WORDS) {
        next.give();
        assert_eq!(program.line(number), word);
    }
    assert_eq!(program.prints(), WORDS.join("\n"));
}

#[track_caller]
fn check_refused(gate: &Gate, key: &str, task: &str, expected: &str) {
    let printed = run(PROGRAM, &[task], gate, key);
    let (status, id) = printed.rsplit_once(' ').expect("several words");
    assert_eq!(status, expected);
    let logged = format!("id={id}");
    gate.stdout.wait_for(&logged, |line| line.ends_with(&logged));
}

#[test]
fn a_refusal_is_the_status_that_grpc_has_for_it() {
    let model = model(Signal::new());
    let gate = guarding(model.address);
    for task in ["ask", "stream"] {
        check_refused(&gate, "wrong", task, "Unauthenticated 16 Key auth fail");
        check_refused(&gate, K2, task, "PermissionDenied 7 Key not allowed");
    }
    assert_eq!(model.connections(), 0);
    assert_eq!(run(PROGRAM, &["ask"], &gate, K3), WORDS.join(" "));
    check_refused(&gate, K3, "ask", "ResourceExhausted 8 Quota exceeded");
}
