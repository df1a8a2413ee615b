//! What is no answer: resets before it, junk in its place, heads that no head may be.

use super::rows::{
    BAD_GATEWAY, Fault, Seen, bad, both, cut, finish, get, number, play, sees, upstream,
};
use crate::catalogue::Stand;
use crate::support::fault::End::{Closes, Resets, Stays};
use crate::support::{DEADLINE, Exchange};
use crate::websocket::SWITCHING;

/// How far an origin reads and writes before it ends the connection.
const PLACES: [fn(&mut Exchange); 5] = [
    |_| {},
    |exchange| {
        exchange.bytes(exchange.request.value("content-length").map_or(0, |_| 2));
    },
    |exchange| {
        exchange.read_body();
    },
    |exchange| exchange.write("HTTP/1.1 200 OK\r\nContent-"),
    |exchange| exchange.write("HTTP/1.1 100 Continue\r\n\r\n"),
];

/// At how many of them it has said nothing whole yet.
const SILENT_PLACES: usize = 4;

pub(super) fn reset(stand: &mut Stand) {
    upstream(stand, "max_idle = 0").script(|exchange| {
        let number = number(exchange);
        PLACES[number / 2](exchange);
        finish(exchange, [Resets, Closes][number % 2]);
    });
    for index in 0..PLACES.len() * 2 {
        let target = format!("/api/v1/{index}");
        // A GET that nothing whole was said to is sent once more, and nothing else is.
        let gets = if index / 2 < SILENT_PLACES { 2 } else { 1 };
        stand.repeats().allow_any(&target, gets + 1);
        let [get, post] = both(&target);
        for (request, sent) in [(get, gets), (post, 1)] {
            let before = stand.arrived().len();
            let status = stand.ask(&request).status;
            stand.holds(status == 502, || format!("place {index}: {status}"));
            let arrived = stand.arrived().len() - before;
            stand.holds(arrived == sent, || format!("place {index}: sent {arrived} times"));
        }
    }
}

/// An origin that says nothing, or half a head, is one of [`PLACES`].
const JUNK: &[Fault] = &[
    ("a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Closes, BAD_GATEWAY),
    bad("a TLS handshake that goes on", b"\x16\x03\x01\x02\x00\x01\x00"),
    bad("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n"),
    bad("another protocol", b"SSH-2.0-OpenSSH_9.6\r\n"),
    bad("a greeting", b"220 mail.test ESMTP\r\n"),
    bad("settings of HTTP/2", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    bad("a request", b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    bad("zeros", &[0; 4096]),
    bad("empty lines", &[b'\n'; 100_000]),
];

pub(super) fn junk(stand: &mut Stand) {
    play(stand, "", JUNK);
    // Whoever answers junk has got the request, and does not get it once more.
    let stand = stand.anew();
    upstream(stand, "").script(|exchange| {
        exchange.read_body();
        match exchange.number {
            1 => exchange.reply(200, b"first"),
            _ => exchange.write("220 mail.test ESMTP\r\n"),
        }
    });
    for request in [get("/api/v1/x"), get("/api/v1/x")] {
        stand.allow("/api/v1/x", &request);
        stand.ask(request);
    }
    let connections = stand.origin().connections();
    stand.holds(connections == 1, || format!("{connections} connections"));
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

const FRAMINGS: &[Fault] = &[
    (
        "a length and chunks",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Stays,
        Seen::Whole(200, "hi"),
    ),
    (
        "chunks and a length",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Stays,
        Seen::Whole(200, "hi"),
    ),
    bad("two lengths", b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!"),
    bad("two lengths in one", b"Content-Length: 2, 3\r\n\r\nhi!"),
    (
        "equal lengths",
        b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        Stays,
        Seen::Whole(200, "hi"),
    ),
    bad("a length with a plus", b"Content-Length: +2\r\n\r\nhi"),
    bad("a length below zero", b"Content-Length: -2\r\n\r\nhi"),
    bad("a length in hexadecimal", b"Content-Length: 0x2\r\n\r\nhi"),
    bad("no length", b"Content-Length:\r\n\r\nhi"),
    bad("a length beyond all", b"Content-Length: 18446744073709551618\r\n\r\nhi"),
    ("another coding", b"Transfer-Encoding: gzip\r\n\r\nhi", Closes, BAD_GATEWAY),
    bad("a coding before chunks", b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    bad("a coding after chunks", b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    bad("chunks twice", b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    bad("two codings", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    bad("nearly chunks", b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    bad("a space before the colon", b"Content-Length : 2\r\n\r\nhi"),
];

const CHUNKS: &[Fault] = &[
    cut("no size", b"g\r\nhi\r\n0\r\n\r\n", Stays),
    cut("a size beyond all", b"fffffffffffffffff\r\nhi", Stays),
    cut("a size below zero", b"-2\r\nhi\r\n0\r\n\r\n", Stays),
    cut("more than its size", b"1\r\nhi\r\n0\r\n\r\n", Stays),
    cut("a bare LF behind the size", b"2\nhi\r\n0\r\n\r\n", Stays),
];

pub(super) fn framing(stand: &mut Stand) {
    play(stand, OK, FRAMINGS);
    play(stand.anew(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNKS);
    // Who frames an answer twice is not asked for another one on the same connection.
    let stand = stand.anew();
    upstream(stand, "").answer([OK.as_bytes(), FRAMINGS[0].1].concat());
    sees(stand, "a length and chunks", "/api/v1/x", FRAMINGS[0].3);
    let connections = stand.origin().connections();
    stand.holds(connections == 2, || format!("{connections} connections"));
}

const STATUS_LINES: &[Fault] = &[
    ("a body only", b"<html>hello</html>", Closes, BAD_GATEWAY),
    ("HTTP/0.9", b"hello\r\n", Closes, BAD_GATEWAY),
    bad("HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    bad("HTTP/1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"),
    bad("HTTP in small letters", b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    bad("two digits", b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n"),
    bad("four digits", b"HTTP/1.1 1000 OK\r\nContent-Length: 0\r\n\r\n"),
    bad("zeros", b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"),
    bad("letters", b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
    bad("a sign", b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"),
    bad("no status", b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    bad("a NUL in the reason", b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n"),
    bad("chunks in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (
        "an unknown status",
        b"HTTP/1.1 799 Well\r\nContent-Length: 2\r\n\r\nhi",
        Stays,
        Seen::Whole(799, "hi"),
    ),
];

pub(super) fn status_line(stand: &mut Stand) {
    play(stand, "", STATUS_LINES);
}

const HEADS: &[Fault] = &[
    bad("a NUL in a value", b"A: b\x00c\r\nContent-Length: 0\r\n\r\n"),
    bad("a NUL in a name", b"A\x00: b\r\nContent-Length: 0\r\n\r\n"),
    bad("a bare CR", b"A: b\rc\r\nContent-Length: 0\r\n\r\n"),
    bad("a fold", b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    bad("a fold with a tab", b"A: b\r\n\tc\r\nContent-Length: 0\r\n\r\n"),
    bad("a fold first", b" A: b\r\nContent-Length: 0\r\n\r\n"),
    bad("a line without a colon", b"A\r\nContent-Length: 0\r\n\r\n"),
    bad("an empty name", b": b\r\nContent-Length: 0\r\n\r\n"),
    bad("a control character", b"A: b\x01c\r\nContent-Length: 0\r\n\r\n"),
];

/// How much more memory a head of any size may cost.
const BOUND_KIB: u64 = 4 * 1024;

/// Heads of 1 MiB: in one field, and in 10,000 and more.
fn large_head(number: usize) -> Vec<u8> {
    let fields = match number {
        0 => format!("A: {}\r\n", "x".repeat(1024 * 1024)),
        _ => (0..12_000).map(|field| format!("A-{field}: {}\r\n", "x".repeat(80))).collect(),
    };
    format!("{OK}{fields}Content-Length: 0\r\n\r\n").into_bytes()
}

pub(super) fn head(stand: &mut Stand) {
    play(stand, OK, HEADS);
    let stand = stand.anew();
    upstream(stand, "").script(|exchange| {
        exchange.read_body();
        let head = large_head(number(exchange));
        exchange.writes_within(DEADLINE, &head);
        exchange.close();
    });
    let before = stand.gate().highest_memory_kib();
    for target in ["/api/v1/0", "/api/v1/1"] {
        sees(stand, "a large head", target, BAD_GATEWAY);
    }
    let after = stand.gate().highest_memory_kib();
    stand.holds(after <= before + BOUND_KIB, || format!("from {before} to {after} KiB"));
}

/// What an application that puts a parameter into a field writes when the parameter holds line
/// ends: with CRLF these are further fields, and nobody can tell; any other is refused.
const SPLIT: &[Fault] = &[
    bad("a bare CR", b"Location: /\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"),
    bad("a NUL", b"Location: /\x00Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"),
    bad("a bare LF", b"Location: /\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"),
    (
        "two bare LF",
        b"Location: /\n\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        Closes,
        BAD_GATEWAY,
    ),
    bad("CR twice", b"Location: /\r\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"),
];

const BARE: &[Fault] = &[
    ("LF only", b"Content-Length: 2\n\nhi", Stays, Seen::Whole(200, "hi")),
    bad("LF, and then CRLF", b"A: b\r\nContent-Length: 2\n\nhi"),
];

pub(super) fn splitting(stand: &mut Stand) {
    play(stand, "HTTP/1.1 302 Found\r\n", SPLIT);
    // An upstream that ends every line with LF is odd, but nobody else's voice is in it.
    play(stand.anew(), "HTTP/1.1 200 OK\n", BARE);
}

pub(super) fn switching(stand: &mut Stand) {
    upstream(stand, "").script(|exchange| {
        exchange.read_body();
        exchange.write(SWITCHING);
        // Otherwise the gate has gone on with it in some way.
        if exchange.ends_within(DEADLINE) {
            exchange.close();
        }
    });
    sees(stand, "a switch", "/api/v1/x", BAD_GATEWAY);
}
