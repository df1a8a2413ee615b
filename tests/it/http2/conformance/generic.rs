//! What every server has to take.

use super::hpack::behind;
use super::{
    Case, Want, await_end, block, continuation, dependency, get, open, ping, post, priority,
    request, whole,
};
use crate::support::h2::{
    ACK, CANCEL, DATA, END_HEADERS, END_STREAM, GOAWAY, H2, HEADERS, INITIAL_WINDOW_SIZE, NONE,
    PADDED, PREFACE, SETTINGS, WITH_PRIORITY,
};

const RESPONSE: Want = Want::Response;
/// What the gate's settings come to, six bytes each.
pub(super) const SERVER_SETTINGS: Want = Want::Frame(SETTINGS, NONE, 0, 18);
/// User-Agent: h2spec, with a name in letters, and one that is compressed.
const AGENT: &[u8] = b"\x0auser-agent\x06h2spec";
const PACKED: &[u8] = b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93\x84\x9c\x48\xac\xa4";

pub(super) const CASES: &[Case] = &[
    (
        "generic/1/1",
        |h2| {
            h2.send(PREFACE).setting(INITIAL_WINDOW_SIZE, 65535);
        },
        SERVER_SETTINGS,
    ),
    (
        "generic/2/1",
        |h2| {
            priority(h2, 1, 0, 255);
            ping(h2);
        },
        Want::Pong,
    ),
    (
        "generic/2/2",
        |h2| {
            h2.setting(INITIAL_WINDOW_SIZE, 0);
            whole(h2, 1, &get());
            h2.window(1, 1);
        },
        super::ONE_BYTE,
    ),
    (
        "generic/2/3",
        |h2| {
            h2.setting(INITIAL_WINDOW_SIZE, 0);
            whole(h2, 1, &get());
            priority(h2, 1, 0, 255);
            h2.window(1, 1);
        },
        super::ONE_BYTE,
    ),
    (
        "generic/2/4",
        |h2| {
            whole(h2, 1, &get());
            ping(h2.reset(1, CANCEL));
        },
        Want::PongOrClosed,
    ),
    (
        "generic/2/5",
        |h2| {
            whole(h2, 1, &get());
            await_end(h2);
            priority(h2, 1, 0, 255);
            ping(h2);
        },
        Want::Pong,
    ),
    (
        "generic/3.1/1",
        |h2| {
            open(h2, 1, &post());
            h2.data(1, END_STREAM, b"test");
        },
        RESPONSE,
    ),
    (
        "generic/3.1/2",
        |h2| {
            open(h2, 1, &post());
            h2.data(1, NONE, b"test").data(1, END_STREAM, b"test");
        },
        RESPONSE,
    ),
    (
        "generic/3.1/3",
        |h2| {
            open(h2, 1, &post());
            h2.frame(DATA, END_STREAM | PADDED, 1, b"\x05test\0\0\0\0\0");
        },
        RESPONSE,
    ),
    ("generic/3.2/1", |h2| whole(h2, 1, &get()), RESPONSE),
    (
        "generic/3.2/2",
        |h2| {
            let padded = [b"\x08", &get()[..], &[0; 8]].concat();
            h2.frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, &padded);
        },
        RESPONSE,
    ),
    (
        "generic/3.2/3",
        |h2| {
            let payload = [dependency(0, 255), get()].concat();
            h2.frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, &payload);
        },
        RESPONSE,
    ),
    ("generic/3.3/1", |h2| prioritized(h2, 1, 0, 0), RESPONSE),
    ("generic/3.3/2", |h2| prioritized(h2, 1, 0, 255), RESPONSE),
    ("generic/3.3/3", |h2| prioritized(h2, 3, 1, 0), RESPONSE),
    ("generic/3.3/4", |h2| prioritized(h2, 1, 1 << 31, 0), RESPONSE),
    ("generic/3.3/5", |h2| prioritized(h2, 3, 0, 255), RESPONSE),
    (
        "generic/3.4/1",
        |h2| {
            open(h2, 1, &get());
            ping(h2.reset(1, CANCEL));
        },
        Want::PongOrClosed,
    ),
    (
        "generic/3.5/1",
        |h2| {
            h2.settings(&[(1, 4096), (2, 1), (3, 100), (4, 65535), (5, 16384), (6, 100)]);
        },
        Want::Frame(SETTINGS, ACK, 0, 0),
    ),
    (
        "generic/3.7/1",
        |h2| {
            ping(h2);
        },
        Want::Pong,
    ),
    (
        "generic/3.8/1",
        |h2| {
            ping(h2.frame(GOAWAY, NONE, 0, b"\0\0\0\0\0\0\0\0h2spec"));
        },
        Want::PongOrClosed,
    ),
    (
        "generic/3.9/1",
        |h2| {
            ping(h2.window(0, 1));
        },
        Want::Pong,
    ),
    (
        "generic/3.9/2",
        |h2| {
            whole(h2, 1, &get());
            h2.window(1, 1);
        },
        RESPONSE,
    ),
    ("generic/3.10/1", |h2| split(h2, &[5]), RESPONSE),
    ("generic/3.10/2", |h2| split(h2, &[5, 10]), RESPONSE),
    ("generic/4/1", |h2| whole(h2, 1, &get()), RESPONSE),
    ("generic/4/2", |h2| whole(h2, 1, &block(&request("HEAD", "/public/x", &[]))), RESPONSE),
    (
        "generic/4/3",
        |h2| {
            open(h2, 1, &post());
            h2.data(1, END_STREAM, b"test");
        },
        RESPONSE,
    ),
    (
        "generic/4/4",
        |h2| {
            open(h2, 1, &block(&request("POST", "/public/x", &[("trailer", "x-test")])));
            h2.data(1, NONE, b"test");
            whole(h2, 1, &block(&[("x-test", "ok")]));
        },
        RESPONSE,
    ),
    (
        "generic/5/1",
        |h2| {
            // The first entry of the dynamic table: it has to be there.
            let entry = [b"\x40", AGENT].concat();
            whole(h2, 1, &[&get()[..], &entry, b"\xbe"].concat());
        },
        RESPONSE,
    ),
    ("generic/5/2", |h2| literal(h2, 0x40, PACKED), RESPONSE),
    ("generic/5/3", |h2| literal(h2, 0x40, AGENT), RESPONSE),
    ("generic/5/4", |h2| literal(h2, 0x40, NEW), RESPONSE),
    ("generic/5/5", |h2| literal(h2, 0x40, NEW_PACKED), RESPONSE),
    ("generic/5/6", |h2| literal(h2, 0x00, AGENT), RESPONSE),
    ("generic/5/7", |h2| literal(h2, 0x00, PACKED), RESPONSE),
    ("generic/5/8", |h2| literal(h2, 0x00, NEW), RESPONSE),
    ("generic/5/9", |h2| literal(h2, 0x00, NEW_PACKED), RESPONSE),
    ("generic/5/10", |h2| literal(h2, 0x10, AGENT), RESPONSE),
    ("generic/5/11", |h2| literal(h2, 0x10, PACKED), RESPONSE),
    ("generic/5/12", |h2| literal(h2, 0x10, NEW), RESPONSE),
    ("generic/5/13", |h2| literal(h2, 0x10, NEW_PACKED), RESPONSE),
    // The table is to hold 128 bytes from now on; and 128, then 4096.
    ("generic/5/14", |h2| whole(h2, 1, &[b"\x3f\x61", &get()[..]].concat()), RESPONSE),
    ("generic/5/15", |h2| whole(h2, 1, &[b"\x3f\x61\x3f\xe1\x1f", &get()[..]].concat()), RESPONSE),
];

const NEW: &[u8] = b"\x06x-test\x06h2spec";
const NEW_PACKED: &[u8] = b"\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4";

/// A priority, and then a request on stream 1.
fn prioritized(h2: &mut H2, stream: u32, on: u32, weight: u8) {
    priority(h2, stream, on, weight);
    whole(h2, 1, &get());
}

/// A request whose header block is cut at these places.
fn split(h2: &mut H2, cuts: &[usize]) {
    let block = get();
    h2.frame(HEADERS, END_STREAM, 1, &block[..cuts[0]]);
    for (place, &cut) in cuts.iter().enumerate() {
        let end = cuts.get(place + 1).copied();
        let flags = if end.is_none() { END_HEADERS } else { NONE };
        continuation(h2, flags, 1, &block[cut..end.unwrap_or(block.len())]);
    }
}

/// A request with one more field in this representation.
fn literal(h2: &mut H2, kind: u8, field: &[u8]) {
    behind(h2, &[&[kind], field].concat());
}
