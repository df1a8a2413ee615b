//! Whatever is asked, it is decided alike, over whichever version of HTTP, with TLS and without, as
//! the upgrade to a WebSocket or not; and the same goes upstream.

mod ways;

use std::thread;

use ways::{Request, Stand, Way};

use crate::support::reference::{ROOT, reference};
use crate::support::{Failures, Origin, visible};

/// Asks the same in every way, of a gate whose rest is closed and of one whose rest is open.
fn compare(requests: &[Request]) {
    let failures: Vec<_> = thread::scope(|scope| {
        let parts = requests.chunks(requests.len().div_ceil(4));
        let parts: Vec<_> = parts.map(|part| scope.spawn(move || compare_part(part))).collect();
        parts.into_iter().map(|part| part.join().expect("no part panics")).collect()
    });
    let mut all = Failures::new();
    failures.into_iter().for_each(|part| all.join(part));
    all.report();
}

fn compare_part(requests: &[Request]) -> Failures {
    let mut failures = Failures::new();
    for rest in ["", ROOT] {
        let stand = Stand::new(|origin: &Origin| reference(origin) + rest);
        let [mut first, mut others @ ..] = Way::ALL.map(|way| stand.asker(way));
        for request in requests {
            let expected = first.ask(request);
            for other in &mut others {
                let found = other.ask(request);
                failures.row(found == expected, || {
                    let (target, fields) = request;
                    let way = other.way();
                    format!("{} {fields:?}: {expected:?}, {way:?} {found:?}", visible(target))
                });
            }
        }
    }
    failures
}

/// The ways in which a key may be given.
fn keys() -> Vec<Vec<(&'static str, Vec<u8>)>> {
    let field = |value: &str| ("X-API-Key", value.as_bytes().to_vec());
    let bearer = ("Authorization", b"Bearer K1".to_vec());
    vec![
        vec![],
        vec![field("K1")],
        vec![field("K2")],
        vec![field("K1"), field("K1")],
        vec![field("K2"), field("K1")],
        vec![field("no key")],
        vec![field(""), bearer],
    ]
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
