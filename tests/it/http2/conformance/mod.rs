//! The cases of h2spec 2.6 (https://github.com/summerwind/h2spec), under its numbers: 44 of general
//! use, 95 of the protocol, 8 of HPACK.
//!
//! They were written for RFC 7540. Where RFC 9113 says otherwise, a case stands in `CHANGED` with
//! what it wants now, and why.

mod generic;
mod hpack;
mod protocol;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;

use crate::support::h2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, H2, HEADERS, NONE, PING, PRIORITY,
    RST_STREAM, SETTINGS, block, request,
};
use crate::support::reference::guarded;
use crate::support::{Failures, Origin};

/// A case: its number, what is sent after the settings of both sides, and what must come of it.
type Case = (&'static str, fn(&mut H2), Want);

/// What must come of a case. As in h2spec an error may also be told by a larger one, and by the end
/// of the connection.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// A connection error with one of these codes.
    ConnectionError(&'static [u32]),
    /// A stream error with one of these codes.
    StreamError(&'static [u32]),
    /// The end of the connection.
    Closed,
    /// The answer to the ping of [`ping`].
    Pong,
    /// That, or the end of the connection.
    PongOrClosed,
    /// The head of the response on stream 1.
    Response,
    /// This frame on this stream, with a payload of this length.
    Frame(u8, u8, u32, usize),
    /// A `GOAWAY` with exactly this code.
    GoAway(u32),
    /// A `RST_STREAM` for stream 1 with exactly this code.
    Reset(u32),
}

/// The groups, and how many cases there must be.
const GROUPS: [(&[Case], usize); 3] =
    [(generic::CASES, 44), (protocol::CASES, 95), (hpack::CASES, 8)];

#[test]
fn every_case_is_there_once() {
    for (cases, count) in GROUPS {
        assert_eq!(cases.len(), count);
        let mut numbers: Vec<_> = cases.iter().map(|(number, ..)| number).collect();
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }
}

#[test]
fn all_cases_of_h2spec_hold() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let failures = Mutex::new(Failures::new());
    let cases: Vec<_> = GROUPS.iter().flat_map(|(cases, _)| *cases).collect();
    thread::scope(|scope| {
        for part in cases.chunks(cases.len().div_ceil(8)) {
            let (gate, failures) = (&gate, &failures);
            scope.spawn(move || {
                for (number, play, want) in part {
                    let held = catch_unwind(AssertUnwindSafe(|| {
                        let begin = if SILENT.contains(number) { H2::silent } else { H2::over };
                        let mut h2 = begin(gate.client());
                        play(&mut h2);
                        meets(&mut h2, *want)
                    }));
                    let mut failures = failures.lock().expect("nobody panics here");
                    failures.row(matches!(held, Ok(true)), || format!("{number}: {want:?}"));
                }
            });
        }
    });
    failures.into_inner().expect("nobody panics here").report();
}

/// The cases that begin before any settings.
const SILENT: [&str; 3] = ["generic/1/1", "http2/3.5/1", "http2/3.5/2"];

/// Whether what comes is what is wanted.
fn meets(h2: &mut H2, want: Want) -> bool {
    while let Some(frame) = h2.next() {
        let code = matches!(frame.kind, GOAWAY | RST_STREAM).then(|| frame.code());
        let met = match want {
            Want::ConnectionError(codes) => {
                frame.kind == GOAWAY && code.is_some_and(|code| codes.contains(&code))
            }
            Want::StreamError(codes) => code.is_some_and(|code| codes.contains(&code)),
            Want::Closed => false,
            Want::Pong | Want::PongOrClosed => {
                (frame.kind, frame.flags) == (PING, ACK) && frame.payload == OPAQUE
            }
            Want::Response => (frame.kind, frame.stream) == (HEADERS, 1),
            Want::Frame(kind, flags, stream, length) => {
                (frame.kind, frame.flags, frame.stream, frame.payload.len())
                    == (kind, flags, stream, length)
            }
            Want::GoAway(wanted) => frame.kind == GOAWAY && code == Some(wanted),
            Want::Reset(wanted) => {
                (frame.kind, frame.stream) == (RST_STREAM, 1) && code == Some(wanted)
            }
        };
        if met {
            return true;
        }
    }
    // The connection has ended.
    use Want::{Closed, ConnectionError, PongOrClosed, StreamError};
    matches!(want, ConnectionError(_) | StreamError(_) | Closed | PongOrClosed)
}

/// What a ping holds.
const OPAQUE: [u8; 8] = *b"opaque!!";

fn ping(h2: &mut H2) -> &mut H2 {
    h2.frame(PING, NONE, 0, &OPAQUE)
}

/// The header block of a usual request.
fn get() -> Vec<u8> {
    block(&request("GET", "/public/x", &[]))
}

fn post() -> Vec<u8> {
    block(&request("POST", "/public/x", &[]))
}

/// Fields that are of no use, in a block: 4000 bytes each.
fn dummies(count: usize) -> Vec<u8> {
    let value = "x".repeat(4000);
    let names: Vec<_> = (0..count).map(|number| format!("x-dummy{number}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    block(&fields)
}

/// A request with these fields in addition.
fn get_with(more: &[(&'static str, &'static str)]) -> Vec<u8> {
    block(&request("GET", "/public/x", more))
}

/// `HEADERS` that end their stream and their block.
fn whole(h2: &mut H2, stream: u32, block: &[u8]) {
    h2.frame(HEADERS, END_STREAM | END_HEADERS, stream, block);
}

/// `HEADERS` behind which a body comes.
fn open(h2: &mut H2, stream: u32, block: &[u8]) {
    h2.frame(HEADERS, END_HEADERS, stream, block);
}

/// A `PRIORITY` frame: the stream depends on this one.
fn priority(h2: &mut H2, stream: u32, on: u32, weight: u8) {
    h2.frame(PRIORITY, NONE, stream, &dependency(on, weight));
}

fn dependency(on: u32, weight: u8) -> Vec<u8> {
    [&on.to_be_bytes()[..], &[weight]].concat()
}

fn continuation(h2: &mut H2, flags: u8, stream: u32, block: &[u8]) {
    h2.frame(CONTINUATION, flags, stream, block);
}

/// Waits until stream 1 has ended.
fn await_end(h2: &mut H2) {
    while let Some(frame) = h2.next() {
        if frame.stream == 1 && frame.ends() {
            return;
        }
    }
    panic!("the connection has ended before the stream");
}

/// Sends a setting, and waits until it is acknowledged.
fn settle(h2: &mut H2, settings: &[(u16, u32)]) {
    h2.settings(settings);
    h2.until_kind(SETTINGS, ACK);
}

/// One byte of a body on stream 1.
const ONE_BYTE: Want = Want::Frame(DATA, NONE, 1, 1);
