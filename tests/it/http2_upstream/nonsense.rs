//! What no upstream should say: the request that it is said to is a 502, and nobody else suffers.

use super::{before, request};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PING, PUSH_PROMISE, SETTINGS,
    WINDOW_UPDATE, block, field,
};
use crate::support::{Failures, FrameOrigin, Link};

/// What an upstream says to the request on a stream, and then ends nothing.
type Says = fn(u32) -> Vec<Frame>;

/// Fields of a response that are none.
const FIELDS: &[(&str, &str, &str)] = &[
    ("a name in capitals", "X-Up", "x"),
    ("a name with a blank", "x y", "x"),
    ("a name with a colon in it", "x:y", "x"),
    ("a name with a quotation mark", "x\"y", "x"),
    ("no name", "", "x"),
    ("a line feed in a value", "x", "a\nset-cookie: b"),
    ("two lines in a value", "x", "a\r\nset-cookie: b"),
    ("a NUL in a value", "x", "a\0b"),
    ("a field of the connection", "connection", "close"),
    ("another", "keep-alive", "timeout=5"),
    ("another", "proxy-connection", "close"),
    ("a framing of its own", "transfer-encoding", "chunked"),
    ("an upgrade", "upgrade", "websocket"),
    ("a pseudo-header behind a field", ":status", "200"),
    ("an unknown pseudo-header", ":up", "x"),
    ("a length that is no number", "content-length", "x"),
    ("a negative length", "content-length", "-1"),
    ("a length with a sign", "content-length", "+2"),
    ("two lengths in one", "content-length", "2, 2"),
];

fn head(stream: u32, status: &str) -> Frame {
    Frame::headers(stream, 0, &[(":status", status)])
}

fn ends(stream: u32, fields: &[(&str, &str)]) -> Vec<Frame> {
    vec![Frame::headers(stream, END_STREAM, fields)]
}

/// A response behind one that comes before it, in which a field is none.
fn interim(stream: u32, status: &str) -> Vec<Frame> {
    let begun = Frame::headers(stream, 0, &[(":status", status), ("x\"y", "x")]);
    [vec![begun], ends(stream, &[(":status", "200")])].into_iter().flatten().collect()
}

/// Messages that are none.
const MESSAGES: &[(&str, Says)] = &[
    ("no status", |stream| ends(stream, &[("x", "y")])),
    ("nothing at all", |stream| ends(stream, &[])),
    ("two statuses", |stream| ends(stream, &[(":status", "200"), (":status", "200")])),
    ("a status of two digits", |stream| ends(stream, &[(":status", "20")])),
    ("a status below all", |stream| ends(stream, &[(":status", "099")])),
    ("a status that is no number", |stream| ends(stream, &[(":status", "abc")])),
    ("an empty status", |stream| ends(stream, &[(":status", "")])),
    ("a switch of protocols", |stream| vec![head(stream, "101")]),
    ("an end that is none", |stream| ends(stream, &[(":status", "103")])),
    ("a field that is none, of what is told nobody", |stream| interim(stream, "102")),
    ("a field that is none, of what has none to pass on", |stream| interim(stream, "100")),
    ("a body without a head", |stream| vec![Frame::data(stream, END_STREAM, "hi")]),
    ("a length without a body", |stream| {
        ends(stream, &[(":status", "200"), ("content-length", "2")])
    }),
    ("two lengths", |stream| {
        let fields = [(":status", "200"), ("content-length", "2"), ("content-length", "3")];
        vec![Frame::headers(stream, 0, &fields), Frame::data(stream, END_STREAM, "hi")]
    }),
    ("a head that is too long", |stream| {
        let long = "x".repeat(10_000);
        let fields = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| (name, &*long));
        let mut frames = continued(stream, &block(&fields));
        frames[0].payload.splice(0..0, block(&[(":status", "200")]));
        frames
    }),
    ("more fields than a head has", |stream| {
        let mut fields = vec![(":status", "200")];
        fields.resize(102, ("x", "y"));
        ends(stream, &fields)
    }),
    ("a head that is small and grows", |stream| {
        // A field of 4,000 bytes is put into the table, and then named again and again.
        let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000]].concat();
        let block = [block(&[(":status", "200")]), entry, vec![0xbe; 8000]].concat();
        vec![Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, block)]
    }),
    ("a promise", |stream| {
        let promised = [&[0, 0, 0, 2][..], &block(&[(":method", "GET"), (":path", "/")])].concat();
        vec![Frame::new(PUSH_PROMISE, END_HEADERS, stream, promised)]
    }),
    ("a head that is no compressed one", |stream| {
        vec![Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, [0xff, 0xff, 0xff])]
    }),
    ("something between the frames of a head", |stream| {
        let begun = Frame::new(HEADERS, 0, stream, block(&[(":status", "200")]));
        vec![begun, Frame::new(PING, 0, 0, [0; 8])]
    }),
    ("a window that grows by nothing", |stream| vec![Frame::window_update(stream, 0)]),
    ("a window without end", |_| vec![Frame::window_update(0, u32::MAX >> 1); 2]),
    ("a setting that cannot be", |_| vec![Frame::settings(&[(2, 2)])]),
    ("settings of a length that cannot be", |_| vec![Frame::new(SETTINGS, 0, 0, [0; 5])]),
    ("a frame that is too long", |stream| vec![Frame::data(stream, 0, vec![0; 100_000])]),
    ("a stream that nobody opened", |stream| vec![Frame::data(stream + 100, 0, "x")]),
    ("a window of a stream that nobody opened", |stream| {
        vec![Frame::new(WINDOW_UPDATE, 0, stream + 100, [0, 0, 0, 1])]
    }),
    ("a head that goes on for ever", |stream| continued(stream, &[0; 4 * 1024 * 1024])),
];

/// A block in as many frames as it needs.
fn continued(stream: u32, block: &[u8]) -> Vec<Frame> {
    let pieces: Vec<_> = block.chunks(16_000).collect();
    let mut frames: Vec<_> =
        pieces.iter().map(|piece| Frame::new(CONTINUATION, 0, stream, *piece)).collect();
    frames[0].kind = HEADERS;
    let last = frames.len() - 1;
    frames[last].flags = END_HEADERS;
    frames
}

/// An upstream that says this to its first request, and serves the others.
fn saying(frames: impl Fn(u32) -> Vec<Frame> + Send + Sync + 'static) -> FrameOrigin {
    FrameOrigin::scripted(move |link| {
        link.settle(&[]);
        if link.number == 1 {
            let Some((stream, _)) = link.request() else { return };
            link.send(&frames(stream));
        }
        link.serve();
    })
}

fn check(failures: &mut Failures, what: &str, origin: &FrameOrigin) {
    let gate = before(origin.address, "");
    let answer = gate.send(request("GET /x"));
    let seen = (answer.status, answer.text());
    failures.row(seen == (502, "Bad gateway".to_owned()), || format!("{what}: {seen:?}"));
    let next = gate.send(request("GET /x"));
    let seen = (next.status, next.text(), origin.requests());
    let right = (200, "2".to_owned(), 2);
    failures.row(seen == right, || format!("after {what}: {seen:?}"));
    failures.row(!gate.has_panicked(), || format!("{what}: a panic"));
}

#[test]
fn a_response_that_is_none_is_a_bad_gateway() {
    let mut failures = Failures::new();
    for &(what, name, value) in FIELDS {
        let origin = saying(move |stream| {
            let block = [block(&[(":status", "200")]), field(name.as_bytes(), value.as_bytes())];
            let head = Frame::new(HEADERS, END_HEADERS, stream, block.concat());
            vec![head, Frame::data(stream, END_STREAM, "hi")]
        });
        check(&mut failures, &format!("{what} ({name}: {value})"), &origin);
    }
    for &(what, says) in MESSAGES {
        check(&mut failures, what, &saying(says));
    }
    failures.report();
}

#[test]
fn who_speaks_something_else_is_a_bad_gateway() {
    let mut failures = Failures::new();
    for said in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x0a",
    ] {
        let origin = FrameOrigin::scripted(move |link: &mut Link| {
            link.send_raw(said);
            link.listen();
        });
        let status = before(origin.address, "").send(request("POST /x")).status;
        let seen = (status, origin.requests());
        failures.row(seen == (502, 0), || format!("{seen:?} after {}", said.escape_ascii()));
    }
    failures.report();
}

/// Bodies that are cut off, or are not what was said: the client sees that it was not all.
#[test]
fn a_body_that_lies_is_cut_off() {
    const BODIES: &[(&str, Says)] = &[
        ("too short", |stream| vec![Frame::data(stream, END_STREAM, "x")]),
        ("too long", |stream| vec![Frame::data(stream, END_STREAM, "xyz")]),
        ("too long in two frames", |stream| {
            vec![Frame::data(stream, 0, "x"), Frame::data(stream, END_STREAM, "xyz")]
        }),
        ("reset", |stream| vec![Frame::data(stream, 0, "x"), Frame::reset(stream, 0)]),
        ("with trailers too early", |stream| {
            vec![Frame::data(stream, 0, "x"), Frame::headers(stream, END_STREAM, &[("a", "b")])]
        }),
        ("with a head in it", |stream| vec![Frame::data(stream, 0, "x"), head(stream, "200")]),
    ];
    let mut failures = Failures::new();
    for &(what, says) in BODIES {
        for length in ["2", ""] {
            if length.is_empty() && (what.contains("too") || what.contains("short")) {
                continue;
            }
            let origin = saying(move |stream| {
                let mut fields = vec![(":status", "200"), ("content-length", length)];
                fields.retain(|(_, value)| !value.is_empty());
                [vec![Frame::headers(stream, 0, &fields)], says(stream)].concat()
            });
            let gate = before(origin.address, "");
            let answer = gate.client().send(request("GET /x")).answer();
            let whole = answer.filter(|answer| answer.status == 200).map(|answer| answer.text());
            failures.row(whole.is_none(), || format!("{what} {length}: {whole:?}"));
            let next = gate.send(request("GET /x")).status;
            failures.row(next == 200, || format!("after {what}: {next}"));
        }
    }
    failures.report();
}

/// How much memory a process has, in KiB.
fn resident_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("a size")
}

#[test]
fn a_flood_takes_no_memory_and_holds_nobody_up() {
    const FRAMES: usize = 200_000;
    const KIB: usize = 16 * 1024;
    let floods: [(&str, Says); 5] = [
        ("pings", |_| vec![Frame::new(PING, 0, 0, [0; 8])]),
        ("settings", |_| vec![Frame::settings(&[])]),
        ("hints", |stream| vec![head(stream, "103")]),
        ("empty pieces", |stream| vec![Frame::data(stream, 0, "")]),
        ("frames of an unknown kind", |stream| vec![Frame::new(0x4f, 0, stream, [0; 20])]),
    ];
    let mut failures = Failures::new();
    for (what, flood) in floods {
        let origin = saying(move |stream| {
            let begun = flood(stream)[0].kind == DATA;
            let mut frames: Vec<_> = begun.then(|| head(stream, "200")).into_iter().collect();
            frames.extend(std::iter::repeat_n(flood(stream), FRAMES).flatten());
            frames
        });
        let gate = before(origin.address, "");
        assert_eq!(gate.send(request("GET /none-without-a-key").replace("X-API", "X")).status, 401);
        let before = resident_kib(gate.pid());
        let mut client = gate.client();
        client.send(request("GET /x"));
        origin.wait_for(what, |frame| frame.kind == HEADERS);
        for _ in 0..20 {
            assert_eq!(gate.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").status, 401);
        }
        let more = resident_kib(gate.pid()).saturating_sub(before);
        failures.row(more < KIB, || format!("{what} take {more} KiB"));
    }
    failures.report();
}
