//! What the rows of ST share: fields of requests and responses, requests that fail, and ways to
//! look at what came of them.

use super::super::Stand;
use crate::support::reference::{K1, K2, LOCATIONS};
use crate::support::{Canaries, DEADLINE, Head, Response, holds_within};

/// The head of a request with a valid key in its header, up to the fields of a row.
pub(super) const KEY: (&str, &str) =
    ("/api/v1/x", "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n");
/// The same with the key in the query.
pub(super) const QUERY: (&str, &str) = ("/q/x", "GET /q/x?api_key=K1 HTTP/1.1\r\nHost: a.test\r\n");

/// A body in chunks.
pub(super) const HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";

/// Field lines that must arrive as they are, in this order.
pub(super) const OTHERS: [&str; 20] = [
    "Accept: text/html, */*;q=0.1",
    "Accept-Language: de",
    "X-Empty:",
    "Cookie: a=b; X-API-Key=c",
    "X-Many: 1",
    "X-API-Keys: not the key",
    "X-API: k",
    "Authorization: Basic Zm9vOmJhcg==",
    "User-Agent: curl/8",
    "Origin: https://b.test",
    "Referer: https://b.test/?q=1",
    "If-None-Match: \"a\"",
    "X-Quotes: \"a, b\", c",
    "X-Inner: a  b\tc",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "Range: bytes=0-9",
    "X-Semicolons: a;b;;c",
    "DNT: 1",
    "X-Many: 2",
    "X-Last: z",
];

/// Hop-by-hop fields of a request, and the names that must not arrive.
pub(super) const HOPS: &[(&str, &[&str])] = &[
    ("Keep-Alive: timeout=5\r\n", &["keep-alive"]),
    ("Proxy-Connection: keep-alive\r\n", &["proxy-connection"]),
    ("Proxy-Authorization: Basic x\r\n", &["proxy-authorization"]),
    ("TE: gzip\r\nConnection: TE\r\n", &["te", "connection"]),
    ("TE: trailers;q=0\r\n", &["te"]),
    ("Trailer: X-Sum\r\n", &["trailer"]),
    ("Upgrade: foo\r\nConnection: Upgrade\r\n", &["upgrade", "connection"]),
    (
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\
         Connection: Upgrade, HTTP2-Settings\r\n",
        &["upgrade", "http2-settings", "connection"],
    ),
    ("Connection: X-A\r\nX-A: 1\r\nX-B: 2\r\n", &["x-a", "connection"]),
    (
        "Connection: X-A,\tX-B\r\nconnection: close, x-c\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n",
        &["x-a", "x-b", "x-c", "connection"],
    ),
    ("Connection: , ,X-A\r\nX-A: 1\r\n", &["x-a"]),
    ("Connection: keep-alive\r\n", &["keep-alive", "connection"]),
];

/// Fields of an upstream's response, and whether the client may see one.
pub(super) const RESPONSES: [(&str, &str, bool); 9] = [
    ("Connection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: x\r\n", "x-secret", false),
    ("Connection: close, x-secret\r\nX-Secret: 1\r\n", "x-secret", false),
    ("Keep-Alive: timeout=5\r\n", "keep-alive", false),
    ("Proxy-Authenticate: Basic\r\n", "proxy-authenticate", false),
    ("Upgrade: h2c\r\nConnection: Upgrade\r\n", "upgrade", false),
    ("Proxy-Connection: close\r\n", "proxy-connection", false),
    ("Server: origin/1\r\n", "server", true),
    ("Set-Cookie: a=b\r\n", "set-cookie", true),
    ("WWW-Authenticate: Basic\r\n", "www-authenticate", true),
];

/// An upstream that is not there, with the key in the query.
pub(super) const DEAD: &str = r#"
[upstreams.dead]
addrs = ["127.0.0.1:1"]
[locations.dead]
path = "/dead/"
upstream = "dead"
plugins = ["kq"]
"#;

/// An upstream that is too slow.
pub(super) const SLOW: &str = r#"
[upstreams.slow]
addrs = ["{origin}"]
response_timeout = "200ms"
[locations.slow]
path = "/slow/"
upstream = "slow"
plugins = ["kh"]
"#;

/// The locations of the reference configuration, with answers in this format and a small limit.
pub(super) fn strict(format: &str) -> String {
    let hide = "hide_credentials = true";
    let path = "path = \"/api/v1\"";
    LOCATIONS
        .replace(hide, &format!("{hide}\nerrors = \"{format}\""))
        .replace(path, &format!("{path}\nclient_max_body_size = \"1KiB\""))
}

/// Requests that fail at [`strict`], [`SLOW`] and [`DEAD`] locations, and the status of each. All
/// of them hold a word that no answer may repeat.
pub(super) const ERRORS: &[(&str, u16)] = &[
    ("GET /api/v1/x?canary-query HTTP/1.1\r\nHost: a.test\r\n\r\n", 401),
    (
        "GET /api/v1/x?canary-query HTTP/1.1\r\nHost: a.test\r\nX-API-Key: wrong-2f8a61c07be9\r\n\r\n",
        401,
    ),
    ("GET /dead/x?canary-query&api_key=wrong-2f8a61c07be9 HTTP/1.1\r\nHost: a.test\r\n\r\n", 401),
    ("GET /nowhere?canary-query HTTP/1.1\r\nHost: a.test\r\n\r\n", 404),
    ("GET /api/v1/x?canary-query HTTP/1.1\r\nHost: canary-query,b\r\n\r\n", 400),
    ("TRACE /api/v1/x?canary-query HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n", 405),
    (
        "POST /api/v1/x?canary-query HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\
         Content-Length: 2000\r\n\r\n",
        413,
    ),
    ("GET /dead/x?canary-query&api_key=K1 HTTP/1.1\r\nHost: a.test\r\n\r\n", 502),
    ("GET /slow/x?canary-query HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n", 504),
];

/// The second key as a table of a file that a reload may change.
pub(super) const EXTRA: &str = r#"
[plugins.extra]
category = "key-auth"
header = "X-Extra-Key"
keys = ["K2"]
hide_credentials = true
[locations.extra]
path = "/extra/"
upstream = "rec"
plugins = ["extra"]
"#;

/// Sends a request with a key and these further fields, and returns the head that arrived.
pub(super) fn forwarded(stand: &Stand, (target, start): (&str, &str), lines: &str) -> Head {
    let request = format!("{start}{lines}\r\n");
    stand.allow(target, &request);
    let status = stand.ask(request).status;
    stand.holds(status == 200, || format!("{lines:?}: {status}"));
    stand.origin().last().head
}

/// Sends a request with these fields, and holds what arrived to what only the gate may say.
pub(super) fn said_in_spite_of(stand: &Stand, lines: &str) -> Head {
    let head = forwarded(stand, KEY, lines);
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.test"),
        ("host", "a.test"),
    ] {
        let values = head.values(name);
        stand.holds(values == [value], || format!("{lines:?}: {name} is {values:?}"));
    }
    stand.holds(head.has("x-request-id"), || format!("{lines:?}: no request id"));
    head
}

/// What an answer tells although it must not: of the request, the upstream or the program.
pub(super) fn tells(stand: &Stand, answer: &Response) -> Option<String> {
    let raw = String::from_utf8_lossy(&answer.head.raw).into_owned() + &answer.text();
    let origin = stand.origin().address.to_string();
    let version = env!("CARGO_PKG_VERSION");
    let words = ["canary-query", "127.0.0.1", &origin, version, "hyper", "\r\nserver:"];
    words.into_iter().find(|word| raw.to_ascii_lowercase().contains(word)).map(str::to_owned)
}

/// Waits until no memory of the gate holds a key of its configuration.
pub(super) fn no_key_in_memory(stand: &Stand) {
    let known = in_memory(stand, &Canaries::of(&["x-extra-key"]));
    stand.holds(known.is_some(), || "the header's name is not found in memory".to_owned());
    let mut found = None;
    let gone = holds_within(DEADLINE, || {
        found = in_memory(stand, &Canaries::of(&[K1, K2]));
        found.is_none()
    });
    stand.holds(gone, || format!("a key is in memory: {found:?}"));
}

/// The first piece of a key in the gate's memory, with the bytes around it.
fn in_memory(stand: &Stand, canaries: &Canaries) -> Option<String> {
    stand.gate().memory().iter().find_map(|part| canaries.found_in(part))
}
