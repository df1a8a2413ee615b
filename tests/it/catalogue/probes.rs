//! A public collection of probes: what must be refused is, and the rest arrives clean.

use std::ops::Range;

use crate::support::reference::upstream;
use crate::support::{Failures, Gate, Origin, Recorded};

const PROBES: &str = include_str!("probes.txt");

/// How many requests of the collection no server may serve.
const MUST: usize = 87;

/// Everything is open, so that nothing but a probe's form can be the reason to refuse it.
const OPEN: &str = "[locations.all]\npath = \"/\"\nupstream = \"rec\"\npublic = true\n";

/// A line of the table.
struct Probe {
    name: &'static str,
    /// `must`, `cut`, `refuses` or `serves`.
    expected: &'static str,
    bytes: Vec<u8>,
}

fn probes() -> Vec<Probe> {
    let lines = PROBES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let probe = |line: &'static str| {
        let (name, rest) = line.split_once(' ').expect("a name and a blank");
        let (expected, bytes) = rest.trim_start().split_once(' ').expect("a word and a blank");
        Probe { name, expected, bytes: unescaped(bytes.trim_start_matches(' ')) }
    };
    lines.map(probe).collect()
}

/// Puts bytes where `\r`, `\n`, `\t`, `\\`, `\xHH` and `{TEXT x N}` stand for them.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '{' => {
                let end = rest.find('}').expect("a brace that closes");
                let (repeated, count) = rest[1..end].rsplit_once(" x ").expect("TEXT x N");
                let count = count.parse().expect("a number");
                bytes.extend(unescaped(repeated).repeat(count));
                end + 1
            }
            '\\' => escape(rest, &mut bytes),
            _ => {
                bytes.push(rest.as_bytes()[0]);
                1
            }
        };
        rest = &rest[taken..];
    }
    bytes
}

/// Puts the byte of an escape, and says how long the escape is.
fn escape(text: &str, bytes: &mut Vec<u8>) -> usize {
    let hex = || u8::from_str_radix(&text[2..4], 16).expect("two hexadecimal digits");
    let (byte, length) = match text.as_bytes()[1] {
        b'r' => (b'\r', 2),
        b'n' => (b'\n', 2),
        b't' => (b'\t', 2),
        b'\\' => (b'\\', 2),
        b'x' => (hex(), 4),
        other => panic!("no escape: {other}"),
    };
    bytes.push(byte);
    length
}

/// Comes after each probe; what a probe smuggles would come before it.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// What came of a probe: its final status, if any, and which of the origin's requests came of it.
struct Outcome {
    status: Option<u16>,
    arrived: Range<usize>,
}

fn play(gate: &Gate, origin: &Origin, probe: &Probe) -> Outcome {
    let before = origin.count();
    let mut client = gate.client();
    client.send(&probe.bytes);
    if probe.expected == "cut" {
        client.finish();
    }
    let mut status = None;
    while status.is_none_or(|status| status < 200) {
        let Some(head) = client.next_head() else { break };
        status = head.second_word().parse().ok();
    }
    if probe.expected != "cut" {
        client.send(LAST);
    }
    client.rest();
    Outcome { status, arrived: before..origin.count() }
}

#[test]
#[expect(clippy::print_stdout, reason = "the count is what the test is run for")]
fn every_probe_is_refused_or_framed_anew() {
    let origin = Origin::echo();
    let gate = Gate::on(&(upstream(&origin) + OPEN));
    let probes = probes();
    let outcomes: Vec<_> = probes.iter().map(|probe| play(&gate, &origin, probe)).collect();
    let arrived = origin.requests();
    let (mut failures, mut refused) = (Failures::new(), 0);
    for (probe, Outcome { status, arrived: range }) in probes.iter().zip(outcomes) {
        // A body that turns out malformed when its head has gone upstream breaks off there.
        let of_probe = |request: &&Recorded| request.whole && request.target() != "/last";
        let arrived: Vec<_> = arrived[range].iter().filter(of_probe).collect();
        let is_refused = arrived.is_empty() && status.is_none_or(|status| status >= 400);
        let right = match probe.expected {
            "serves" => arrived.len() == 1 && status == Some(200),
            _ => is_refused,
        };
        refused += usize::from(is_refused && matches!(probe.expected, "must" | "cut"));
        let Probe { name, expected, .. } = probe;
        let upstream: Vec<_> = arrived.iter().map(|request| &request.head.start).collect();
        failures.row(right, || format!("{name} ({expected}): {status:?}, upstream {upstream:?}"));
    }
    println!("{refused} of {MUST} probes that must be refused are");
    let must = probes.iter().filter(|probe| matches!(probe.expected, "must" | "cut")).count();
    assert_eq!(must, MUST);
    failures.report();
}
