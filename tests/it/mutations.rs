//! Thousands of requests that no one would write, and what must hold for each of them.

use std::thread;

use fastrand::Rng;

use crate::support::reference::{K1, half_open, keyed, simple};
use crate::support::{Client, Gate, Origin, Place};

/// What is put into requests at random places.
const PIECES: [&str; 34] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "\r\n\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "/",
    "..",
    "%2f",
    "%00",
    "?",
    "#",
    "@",
    "\\",
    "\u{e9}",
    "chunked",
    "HTTP/1.1",
    "HTTP/1.0",
    "Host: b.test\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Connection: X-API-Key\r\n",
    "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    "X-API-Key: wrong\r\n",
    "X-API-Key:\r\n",
    "Expect: 100-continue\r\n",
];

/// Changes a request at one to four places.
fn mutate(rng: &mut Rng, request: &str) -> Vec<u8> {
    let mut bytes = request.as_bytes().to_vec();
    for _ in 0..rng.usize(1..=4) {
        let at = rng.usize(0..bytes.len());
        match rng.u8(0..6) {
            0 => bytes[at] = rng.u8(..),
            1 => bytes[at] ^= 1 << rng.u8(0..8),
            2 => {
                let end = (at + rng.usize(1..8)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let end = (at + rng.usize(1..40)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = rng.usize(0..=bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                let piece = PIECES[rng.usize(0..PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
        }
        if bytes.is_empty() {
            bytes.push(b'G');
        }
    }
    bytes
}

/// Requests to mutate, each followed by one that the first must not hide.
const KEYLESS: [&str; 4] = [
    "GET /x HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\n\r\nGET /y HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhelloGET /y HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
     GET /y HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET http://a.test/x?a=b HTTP/1.1\r\nHost: a.test\r\nX-API-Key: wrong\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
];

/// How many requests each thread sends; a run takes a few seconds.
const ROUNDS: usize = 1500;
const THREADS: u64 = 3;

/// Sends what `make` makes, each on a connection of its own, from several threads.
fn storm(gate: &Gate, make: fn(&mut Rng) -> Vec<u8>) {
    let address = gate.address;
    let threads: Vec<_> = (0..THREADS)
        .map(|seed| {
            thread::spawn(move || {
                let mut rng = Rng::with_seed(seed);
                for _ in 0..ROUNDS {
                    Client::connect(address).send(make(&mut rng)).finish().rest();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("every connection ends in time");
    }
}

#[test]
fn without_the_key_no_mutation_reaches_the_origin() {
    let origin = Origin::echo();
    let gate = simple(&origin, "");
    storm(&gate, |rng| {
        let request = KEYLESS[rng.usize(0..KEYLESS.len())];
        mutate(rng, request)
    });
    assert_eq!(origin.requests().iter().map(|one| &one.head.start).next(), None);
    alive(&gate, &origin);
}

/// Requests with the key, and in their bodies another one that never has it.
const HIDING: [&str; 3] = [
    "POST /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\nContent-Length: 42\r\n\r\n\
     GET /evil HTTP/1.1\r\nHost: a.test\r\nA: b\r\n\r\nGET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\nTransfer-Encoding: chunked\r\n\r\n24\r\n\
     GET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\nContent-Length: 5\r\n\
     Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n",
];

/// Whether the key still stands before the hidden request: behind its start it would be its own.
fn key_stays_first(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request);
    let hidden = request.find("/evil").unwrap_or(request.len());
    request.rfind(K1).is_none_or(|key| key < hidden)
}

#[test]
fn with_the_key_no_mutation_lets_a_hidden_request_through() {
    let origin = Origin::echo();
    let mut gate = simple(&origin, "");
    // A mutation may put a piece of the key into the path.
    gate.shows(&[Place::Logs]);
    storm(&gate, |rng| {
        loop {
            let request = HIDING[rng.usize(0..HIDING.len())];
            let mutated = mutate(rng, &keyed(request));
            if key_stays_first(&mutated) {
                return mutated;
            }
        }
    });
    for one in origin.requests() {
        // What reached the origin began as the first request; a fragment would have no such start.
        let start = &one.head.start;
        assert!(start.ends_with(" HTTP/1.1") && !one.target().contains("/evil"), "{one:?}");
        assert!(!one.head.has("x-api-key"), "{:?}", one.head);
    }
    assert!(origin.count() > 100, "hardly anything was forwarded");
    alive(&gate, &origin);
}

/// After all that it still serves.
#[track_caller]
fn alive(gate: &Gate, origin: &Origin) {
    let before = origin.count();
    let request = keyed("GET /last HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n");
    assert_eq!(gate.send(request).text(), "/last");
    assert_eq!(origin.count(), before + 1);
    assert!(!gate.has_panicked(), "{}", gate.stderr.text());
}

/// What random paths are made of.
const SEGMENTS: [&str; 26] = [
    "/", "//", "\\", "%2f", "%2F", "%5c", "..", ".", "%2e", "%2E%2e", ".%2e", "admin", "ADMIN",
    "aDmin", "%61dmin", "adm%49n", "public", "Public", "x", ";", ";a=b", "%3b", "%3B..", "api",
    "v1", "%25",
];

/// A path of up to nine pieces.
fn random_path(rng: &mut Rng) -> String {
    let pieces = (0..rng.usize(1..9)).map(|_| SEGMENTS[rng.usize(0..SEGMENTS.len())]);
    "/".to_owned() + &pieces.collect::<String>()
}

/// Ways in which servers behind a gate read a path, each on its own; a server does any of them, in
/// this order.
const READINGS: [fn(&str) -> String; 6] =
    [decode, slashes, parameters, merge, dots, str::to_ascii_lowercase];

fn decode(path: &str) -> String {
    let mut bytes = path.as_bytes().iter();
    let mut decoded = Vec::new();
    while let Some(&byte) = bytes.next() {
        let rest = bytes.as_slice();
        let hex = (byte == b'%').then(|| rest.get(..2)).flatten();
        let value = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        decoded.push(value.unwrap_or(byte));
        if value.is_some() {
            bytes.nth(1);
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn slashes(path: &str) -> String {
    path.replace('\\', "/")
}

fn parameters(path: &str) -> String {
    let cut = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
    path.split('/').map(cut).collect::<Vec<_>>().join("/")
}

fn merge(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
}

fn dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Whether any server could take the path for one below a guarded location.
fn may_be_guarded(path: &str) -> bool {
    (0..1_u32 << READINGS.len()).any(|chosen| {
        let mut read = path.to_owned();
        for (number, reading) in READINGS.iter().enumerate() {
            if chosen >> number & 1 == 1 {
                read = reading(&read);
            }
        }
        ["/admin/", "/api/v1/", "/q/"]
            .iter()
            .any(|guarded| (read.clone() + "/").starts_with(guarded))
    })
}

#[test]
fn no_random_path_that_a_server_could_take_for_a_guarded_one_is_open() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let mut rng = Rng::with_seed(7);
    let (mut open, mut refused) = (0, 0);
    let mut client = gate.client();
    for _ in 0..6000 {
        let path = random_path(&mut rng);
        let response =
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).response();
        match response.status {
            200 => {
                assert!(!may_be_guarded(&path), "{path} is open");
                assert_eq!(response.text(), path, "what was matched is not what was sent");
                open += 1;
            }
            400 | 401 => refused += 1,
            other => panic!("{other} for {path}"),
        }
        if response.value("connection").eq_ignore_ascii_case("close") {
            client = gate.client();
        }
    }
    assert!(open > 500 && refused > 500, "{open} open, {refused} refused");
}
