//! Whatever is asked, it is decided alike over HTTP/1.1 and HTTP/2, and the same goes upstream.

use std::thread;

use crate::support::h2::{END_HEADERS, END_STREAM, H2, HEADERS, raw_block};
use crate::support::reference::{guarded, half_open, with_keys};
use crate::support::{Failures, Gate, Origin, visible};

/// What came of a request: the status, 400 for any refusal as malformed, and the target upstream.
type Outcome = (u16, Option<String>);

/// A target, and fields besides.
type Request = (Vec<u8>, Vec<(&'static str, Vec<u8>)>);

fn outcome(origin: &Origin, before: usize, status: u16) -> Outcome {
    let arrived = origin.requests().split_off(before);
    (status, arrived.first().map(|one| one.target().to_owned()))
}

fn over_1(gate: &Gate, origin: &Origin, target: &[u8], fields: &[(&str, &[u8])]) -> Outcome {
    let before = origin.count();
    let mut bytes = [b"GET ", target, b" HTTP/1.1\r\nHost: a.test\r\n"].concat();
    for (name, value) in fields {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    let status = gate.client().send(with_keys(&bytes)).response().status;
    outcome(origin, before, status)
}

fn over_2(gate: &Gate, origin: &Origin, target: &[u8], fields: &[(&str, &[u8])]) -> Outcome {
    let before = origin.count();
    let pseudo: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", target),
        (b":authority", b"a.test"),
    ];
    let lower: Vec<_> =
        fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value)).collect();
    let more = lower.iter().map(|(name, value)| (name.as_bytes(), *value));
    let all: Vec<_> = pseudo
        .into_iter()
        .chain(more)
        .map(|(name, value)| (with_keys(name), with_keys(value)))
        .collect();
    let block = raw_block(all.iter().map(|(name, value)| (&name[..], &value[..])));
    let mut h2 = H2::over(gate.client());
    h2.frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    let answer = h2.answer(1);
    let malformed = !answer.complete && answer.error.is_some();
    outcome(origin, before, if malformed { 400 } else { answer.status })
}

/// Asks the same in both ways, of a gate whose rest is closed and of one whose rest is open.
fn compare(requests: &[Request]) {
    let failures: Vec<_> = thread::scope(|scope| {
        let parts = requests.chunks(requests.len().div_ceil(4));
        let check = |part: &[Request]| {
            let mut failures = Failures::new();
            for start in [guarded, half_open] {
                // It tells no target: a key may stand in one that is no parameter of a location.
                let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                let gate = start(&origin);
                for (target, fields) in part {
                    let fields: Vec<_> =
                        fields.iter().map(|(name, value)| (*name, &value[..])).collect();
                    let old = over_1(&gate, &origin, target, &fields);
                    let new = over_2(&gate, &origin, target, &fields);
                    failures.row(old == new, || {
                        format!("{} {fields:?}: {old:?}, {new:?}", visible(target))
                    });
                }
            }
            failures
        };
        let parts: Vec<_> = parts.map(|part| scope.spawn(move || check(part))).collect();
        parts.into_iter().map(|part| part.join().expect("no part panics")).collect()
    });
    let mut all = Failures::new();
    failures.into_iter().for_each(|part| all.join(part));
    all.report();
}

/// The ways in which a key may be given.
fn keys() -> Vec<Vec<(&'static str, Vec<u8>)>> {
    let field = |value: &str| ("X-API-Key", value.as_bytes().to_vec());
    vec![vec![], vec![field("K1")], vec![field("K2")], vec![field("K1"), field("K1")]]
}

#[test]
fn every_way_to_write_a_path() {
    let starts = ["", "/public", "/api/v1", "/admin", "/q", "/API/v1"];
    let joins = [
        "/",
        "//",
        "/./",
        "/../",
        "/%2e%2e/",
        "/%2E./",
        "/..%2f",
        "%2f",
        "\\",
        "/..\\",
        "%5c..%5c",
        ";/",
        "/;a=b/",
        "/..;/",
        "%00/",
        "/%zz/",
        "%",
        "/%25%32%65/",
        "?",
        "/x?api_key=K1&a=",
        "/x?api_key=K1&api_key=K1&a=",
        "/\"",
        "/{}|^`<>",
        "/x//../",
    ];
    let ends = ["", "x", "admin/x", "api/v1/x", "public/x", "../admin/x"];
    let mut targets = Vec::new();
    for (start, join) in starts.iter().flat_map(|start| joins.map(|join| (start, join))) {
        targets.extend(ends.map(|end| format!("{start}{join}{end}")));
    }
    // Each key in turn: so each kind of target meets each key.
    let keys = keys();
    let requests: Vec<_> = targets
        .into_iter()
        .enumerate()
        .map(|(place, target)| (target.into_bytes(), keys[place % keys.len()].clone()))
        .collect();
    compare(&requests);
}

#[test]
fn every_byte_in_a_target_and_in_a_value() {
    // A fragment is cut off by the `h2` crate; blanks around a value are its own over HTTP/1 and
    // malformed over HTTP/2, and an end of line is no byte of it.
    let target = |byte: u8| ([b"/public/a", &[byte][..], b"b"].concat(), vec![]);
    let query = |byte: u8| ([b"/public/a?a", &[byte][..], b"b"].concat(), vec![]);
    let targets = (0..=255).filter(|byte| !b"#\r\n".contains(byte));
    let value = |byte: u8| {
        let value = [b"K", &[byte][..], b"1"].concat();
        (b"/api/v1/x".to_vec(), vec![("X-API-Key", value)])
    };
    let values = (0..=255).filter(|byte| !b"\r\n".contains(byte)).map(value);
    let targets = targets.flat_map(|byte| [target(byte), query(byte)]);
    compare(&targets.chain(values).collect::<Vec<_>>());
}

#[test]
fn fields_that_only_others_may_set() {
    let names = [
        "Host",
        "Content-Length",
        "X-Forwarded-For",
        "X-Original-URL",
        "X-Consumer-Username",
        "X_API_Key",
        "X-HTTP-Method-Override",
        "Authorization",
        "Cookie",
        "Expect",
        "Range",
        "X-Real-IP",
        "Forwarded",
        "Trailer",
    ];
    let values = ["", "a.test", "0", "5", "K1", "/admin/x", "100-continue", "DELETE", "a=b"];
    let keys = keys();
    let pairs = names.iter().flat_map(|name| values.iter().map(move |value| (*name, *value)));
    // A second `Host` is one too many over HTTP/1, and over HTTP/2 only if it is another.
    let pairs = pairs.filter(|pair| *pair != ("Host", "a.test"));
    // A length without its body is waited for over HTTP/1.
    let pairs = pairs.filter(|pair| *pair != ("Content-Length", "5"));
    let requests: Vec<_> = pairs
        .enumerate()
        .map(|(place, (name, value))| {
            let mut fields = keys[place % keys.len()].clone();
            fields.push((name, value.as_bytes().to_vec()));
            (b"/api/v1/x".to_vec(), fields)
        })
        .collect();
    compare(&requests);
}
