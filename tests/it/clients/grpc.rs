//! A client and a server of gRPC, with the key as metadata: HTTP/2 on both sides of the gate.

use std::net::SocketAddr;

use super::program::{command, run, start};
use super::{PROVIDERS, guarding_over};
use crate::support::reference::{K1, K2, K3, K4, KEYS};
use crate::support::{Canaries, Gate, Program, wait_until};

const CLIENT: &str = "grpc_client.py";

/// What a call of the kind that the server says something about is answered.
const ANSWER: &str = "hello x-begun=yes x-cost=42 x-digest-bin=b'\\x00\\xff'";

/// A server, and a gate in front of it.
#[track_caller]
fn guarded() -> (Program, Gate) {
    let server = Program::start(&mut command("grpc_server.py"));
    let port = server.line(1).parse().expect("a port");
    let gate = guarding_over("h2", SocketAddr::from(([127, 0, 0, 1], port)));
    (server, gate)
}

#[test]
fn calls_of_every_kind_pass_and_so_does_what_the_server_says_about_them() {
    let (server, gate) = guarded();
    for place in ["header", "bearer"] {
        assert_eq!(run(CLIENT, &[place, "ask"], &gate, K1), ANSWER);
    }
    let all = ["header", "large", "gather", "refuse"];
    let said = "True\na b c\nFAILED_PRECONDITION not today: 100 % booked x-cost=0";
    assert_eq!(run(CLIENT, &all, &gate, K1), said);
    // The server gets the key that only it and the gate know.
    let told = server.stdout.text();
    assert_eq!(Canaries::of(&KEYS).found_in(told.as_bytes()), None, "{told}");
    assert!(told.contains(&format!("metadata x-api-key {PROVIDERS}")), "{told}");
    assert!(told.contains("metadata x-request-id "), "{told}");
}

#[test]
fn every_message_of_a_stream_is_there_before_the_next_is_sent() {
    let (_server, gate) = guarded();
    let said = "one\ntwo\nthree\nA\nB\nC";
    assert_eq!(run(CLIENT, &["bearer", "count", "chat"], &gate, K1), said);
}

#[test]
fn a_refused_call_has_the_status_that_grpc_has_for_it() {
    let (server, gate) = guarded();
    for (place, key, task, expected) in [
        ("none", K1, "ask", "UNAUTHENTICATED Key missing"),
        ("header", "wrong", "ask", "UNAUTHENTICATED Key auth fail"),
        ("bearer", "wrong", "chat", "UNAUTHENTICATED Key auth fail"),
        ("header", K2, "ask", "PERMISSION_DENIED Key not allowed"),
        ("bearer", K2, "gather", "PERMISSION_DENIED Key not allowed"),
        ("header", K2, "count", "PERMISSION_DENIED Key not allowed"),
    ] {
        let said = run(CLIENT, &[place, task], &gate, key);
        assert!(said.starts_with(expected), "{place} {task}: {said}");
    }
    assert_eq!(server.stdout.lines().len(), 1, "{}", server.wrote());
    for (key, expected) in
        [(K3, "RESOURCE_EXHAUSTED Quota exceeded"), (K4, "RESOURCE_EXHAUSTED Too many requests")]
    {
        let said = run(CLIENT, &["header", "ask", "ask"], &gate, key);
        let (first, second) = said.split_once('\n').expect("two lines");
        assert_eq!(first, ANSWER);
        assert!(second.starts_with(expected), "{second}");
    }
}

#[test]
fn a_call_without_its_server_is_unavailable_until_there_is_one() {
    let (server, gate) = guarded();
    assert_eq!(run(CLIENT, &["header", "ask"], &gate, K1), ANSWER);
    drop(server);
    let said = run(CLIENT, &["header", "ask"], &gate, K1);
    assert!(said.starts_with("UNAVAILABLE Bad gateway"), "{said}");
}

#[test]
fn a_call_that_is_late_is_cancelled_where_it_runs_and_disturbs_no_other() {
    let (server, gate) = guarded();
    let late = start(CLIENT, &["header", "wait"], &gate, K1);
    wait_until("the call runs", || server.stdout.text().contains("waiting"));
    assert_eq!(run(CLIENT, &["header", "ask"], &gate, K1), ANSWER);
    assert!(late.prints().starts_with("DEADLINE_EXCEEDED"));
    wait_until("the server is told", || server.stdout.text().contains("cancelled"));
    assert_eq!(run(CLIENT, &["header", "ask"], &gate, K1), ANSWER);
}
