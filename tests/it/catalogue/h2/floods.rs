//! More of something than anybody needs. Each connection must end before it has cost much, and
//! others must not notice.

use std::time::Duration;

use super::{Stand, connect, keyed_get};
use crate::support::h2::{
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, Field, H2, HEADERS,
    INITIAL_WINDOW_SIZE, NONE, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame,
    raw_block, request,
};
use crate::support::reference::K1;
use crate::support::{DEADLINE, Then, holds_within};

/// By how much the gate's memory may grow for one connection, in KiB.
const MOST_KIB: u64 = 4 * 1024;

/// How often something is sent at most; a gate that does not end the connection by then never does.
const OFTEN: usize = 100_000;

/// Sends the same again and again until the connection has ended, and says how often that was.
fn until_ended(h2: &mut H2, mut make: impl FnMut(usize) -> Vec<u8>) -> usize {
    const TOGETHER: usize = 100;
    for round in 0..OFTEN / TOGETHER {
        let bytes: Vec<_> = (0..TOGETHER).flat_map(|at| make(round * TOGETHER + at)).collect();
        if !h2.client().sends_within(Duration::from_secs(5), &bytes) {
            return round * TOGETHER;
        }
        if h2.is_over() {
            return round * TOGETHER;
        }
    }
    OFTEN
}

/// Floods a connection, which must end before so many, while another is served and the gate takes
/// little memory.
#[track_caller]
fn flood(stand: &Stand, what: &str, most: usize, make: impl FnMut(usize) -> Vec<u8>) {
    stand.get("X-API-Key: K1\r\n", Then::Forwarded("/api/v1/x"));
    let before = stand.gate().memory_kib();
    let mut h2 = connect(stand);
    let sent = until_ended(&mut h2, make);
    let grown = stand.gate().highest_memory_kib().saturating_sub(before);
    stand.holds(sent <= most, || format!("{what}: {sent} were taken"));
    stand.holds(grown < 2 * MOST_KIB, || format!("{what}: {grown} KiB more"));
    stand.get("X-API-Key: K1\r\n", Then::Forwarded("/api/v1/x"));
}

fn odd(number: usize) -> u32 {
    u32::try_from(2 * number + 1).expect("a stream")
}

pub(super) fn continuations(stand: &mut Stand) {
    let start = frame(HEADERS, END_STREAM, 1, &block(&keyed_get(&[])));
    let empty = frame(CONTINUATION, NONE, 1, b"");
    let full = frame(CONTINUATION, NONE, 1, &raw_block([(&b"x"[..], &[b'x'; 16_000][..])]));
    for more in [empty, full] {
        flood(stand, "pieces of a header block", 1000, |number| match number {
            0 => start.clone(),
            _ => more.clone(),
        });
    }
}

pub(super) fn rapid_resets(stand: &mut Stand) {
    // With the key each may have gone upstream; the origin never sees the answer taken.
    for fields in [at("/api/v1/reset", &[("x-api-key", K1)]), at("/api/v1/reset", &[])] {
        stand.may_reach("/api/v1/reset");
        let block = block(&fields);
        let before = stand.origin().count();
        flood(stand, "resets", 5000, |number| {
            let stream = odd(number);
            let headers = frame(HEADERS, END_STREAM | END_HEADERS, stream, &block);
            [headers, frame(RST_STREAM, NONE, stream, &CANCEL.to_be_bytes())].concat()
        });
        let reached = stand.origin().count() - before;
        stand.holds(reached < 400, || format!("{reached} requests reached the origin"));
    }
}

/// Streams that are opened, and at once misused in this way.
fn misuse(number: usize) -> Vec<u8> {
    let stream = odd(number);
    let open = frame(HEADERS, END_HEADERS, stream, &block(&request("POST", "/public/x", &[])));
    [open, frame(WINDOW_UPDATE, NONE, stream, &[0; 4])].concat()
}

pub(super) fn made_you_reset(stand: &mut Stand) {
    stand.may_reach("/public/x");
    flood(stand, "streams with a window of nothing", 5000, misuse);
    flood(stand, "bodies behind their end", 5000, |number| {
        let stream = odd(number);
        let get = block(&request("GET", "/api/v1/x", &[]));
        let open = frame(HEADERS, END_STREAM | END_HEADERS, stream, &get);
        [open, frame(DATA, NONE, stream, b"more")].concat()
    });
}

pub(super) fn unread_resets(stand: &mut Stand) {
    stand.may_reach("/public/x");
    let before = stand.gate().memory_kib();
    let mut h2 = connect(stand);
    let mut sent = 0;
    while sent < OFTEN {
        let bytes: Vec<_> = (sent..sent + 100).flat_map(misuse).collect();
        if !h2.client().sends_within(Duration::from_secs(2), &bytes) {
            break;
        }
        sent += 100;
    }
    stand.holds(sent < OFTEN, || "all were taken".to_owned());
    let grown = stand.gate().highest_memory_kib().saturating_sub(before);
    stand.holds(grown < 2 * MOST_KIB, || format!("{grown} KiB more"));
}

pub(super) fn empty_data(stand: &mut Stand) {
    stand.may_reach("/public/x");
    let open = frame(HEADERS, END_HEADERS, 1, &block(&request("POST", "/public/x", &[])));
    flood(stand, "empty pieces", 20_000, |number| match number {
        0 => open.clone(),
        _ => frame(DATA, NONE, 1, b""),
    });
}

pub(super) fn idle_frames(stand: &mut Stand) {
    let kinds: [(&str, Vec<u8>); 6] = [
        ("settings", frame(SETTINGS, NONE, 0, b"")),
        ("pings", frame(PING, NONE, 0, &[0; 8])),
        ("answers to pings", frame(PING, ACK, 0, &[0; 8])),
        ("priorities", frame(PRIORITY, NONE, 1, &[0, 0, 0, 3, 1])),
        ("unknown frames", frame(0x77, NONE, 0, b"?")),
        ("windows", frame(WINDOW_UPDATE, NONE, 0, &[0, 0, 0, 1])),
    ];
    for (what, bytes) in kinds {
        flood(stand, what, 20_000, |_| bytes.clone());
    }
}

pub(super) fn references(stand: &mut Stand) {
    // An entry of the table with 4,000 bytes, and then a byte for each time that it comes again.
    let value = "x".repeat(3900);
    let mut entry = block(&[("x-bomb", &value)]);
    entry[0] = 0x40;
    let start = block(&keyed_get(&[]));
    let before = stand.gate().memory_kib();
    let mut h2 = connect(stand);
    let payload = [start, entry, vec![0xbe; 10_000]].concat();
    h2.frame(HEADERS, END_STREAM | END_HEADERS, 1, &payload);
    let answer = h2.answer(1);
    stand.holds(answer.status == 431 || !answer.complete, || format!("{}", answer.status));
    let grown = stand.gate().highest_memory_kib().saturating_sub(before);
    stand.holds(grown < 2 * MOST_KIB, || format!("{grown} KiB more"));
}

/// Connections that each fill all their streams with as many small fields as there may be.
const BOMBS: u64 = 10;

pub(super) fn bomb(stand: &mut Stand) {
    stand.server("client_body_timeout = \"2s\"\n").script(|exchange| {
        if exchange.request.second_word() != "/api/v1/bomb" {
            return exchange.reply(200, b"/api/v1/x");
        }
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        exchange.writes_within(DEADLINE, &[b'x'; 1_000_000]);
        exchange.close();
    });
    stand.may_reach("/api/v1/bomb");
    let names: Vec<_> = (0..90).map(|number| format!("x-{number}")).collect();
    let key = ("x-api-key", K1);
    let named: Vec<_> = names.iter().map(|name| (name.as_str(), "")).chain([key]).collect();
    let crumbs: Vec<_> = std::iter::repeat_n(("cookie", ""), 800).chain([key]).collect();
    for fields in [&named, &crumbs, &crumbs[..800].to_vec()] {
        let (before, arrived) = (stand.gate().memory_kib(), stand.origin().count());
        let mut bombs: Vec<_> = (0..BOMBS).map(|_| light(stand, fields)).collect();
        if fields.contains(&key) {
            stand.origin().wait_for(arrived + 100 * bombs.len());
        }
        // However little of the window is given back, the streams end.
        let ended = holds_within(Duration::from_secs(30), || {
            bombs.iter_mut().for_each(|h2| {
                h2.window(1, 1);
            });
            stand.origin().open_connections() <= 1
        });
        stand.holds(ended, || format!("{} streams go on", stand.origin().open_connections()));
        let grown = stand.gate().highest_memory_kib().saturating_sub(before);
        stand.holds(grown <= BOMBS * MOST_KIB, || format!("{grown} KiB more"));
    }
}

fn light(stand: &Stand, more: &[Field<'_>]) -> H2 {
    let mut h2 = connect(stand);
    h2.setting(INITIAL_WINDOW_SIZE, 0);
    let fields = at("/api/v1/bomb", more);
    for _ in 0..100 {
        h2.open(END_STREAM, &fields);
    }
    h2
}

/// A request with these fields in addition.
fn at<'a>(target: &'a str, more: &[Field<'a>]) -> Vec<Field<'a>> {
    request("GET", target, more)
}
