//! A key in a header, behind a scheme, in the query or in a cookie: what is one and what is none.

use crate::support::reference::{guarded, keyed, one_location, upstream};
use crate::support::{BAD, Failures, Gate, INVALID, MISSING, Origin, Row, Then};

/// Answers of a server that takes the key's length for an attack.
const TOO_LONG: Then = Then::Ends(&[400, 431]);
const PASSES: Then = Then::Forwarded("/api/v1/x");

/// Header lines of `GET /api/v1/x`, whose key is in `X-API-Key`.
const HEADER: &[Row] = &[
    ("no key", b"", MISSING),
    ("a wrong key", b"X-API-Key: wrong\r\n", INVALID),
    ("the key", b"X-API-Key: K1\r\n", PASSES),
    ("an empty value", b"X-API-Key: \r\n", MISSING),
    ("no value", b"X-API-Key:\r\n", MISSING),
    ("a blank", b"X-API-Key:  \r\n", MISSING),
    ("a tab", b"X-API-Key: \t\r\n", MISSING),
    ("blanks around the key are not part of it", b"X-API-Key: \t K1 \t \r\n", PASSES),
    ("a word after the key", b"X-API-Key: K1 x\r\n", INVALID),
    ("a parameter after the key", b"X-API-Key: K1;x\r\n", INVALID),
    ("the key twice in a value", b"X-API-Key: K1 K1\r\n", INVALID),
    ("one byte too few", b"X-API-Key: k1_9f86d081884c7d659a2feaa0c55ad01\r\n", INVALID),
    ("one byte too many", b"X-API-Key: K1x\r\n", INVALID),
    ("the key and itself", b"X-API-Key: K1K1\r\n", INVALID),
    ("in upper case", b"X-API-Key: K1_9F86D081884C7D659A2FEAA0C55AD015\r\n", INVALID),
    ("another last byte", b"X-API-Key: k1_9f86d081884c7d659a2feaa0c55ad014\r\n", INVALID),
    ("another first byte", b"X-API-Key: j1_9f86d081884c7d659a2feaa0c55ad015\r\n", INVALID),
    ("the name in another case", b"x-api-KEY: K1\r\n", PASSES),
    ("the name with underscores", b"X_API_Key: K1\r\n", MISSING),
    ("the name without hyphens", b"XAPIKey: K1\r\n", MISSING),
    ("two lines, equal", b"X-API-Key: K1\r\nX-API-Key: K1\r\n", INVALID),
    ("two lines, the first wrong", b"X-API-Key: wrong\r\nX-API-Key: K1\r\n", INVALID),
    ("two lines, the second wrong", b"X-API-Key: K1\r\nX-API-Key: wrong\r\n", INVALID),
    ("two lines, in two cases", b"X-API-Key: K1\r\nx-api-key: K1\r\n", INVALID),
    ("two lines, the second empty", b"X-API-Key: K1\r\nX-API-Key:\r\n", INVALID),
    ("a list of keys", b"X-API-Key: K1, K2\r\n", INVALID),
    ("a list that repeats the key", b"X-API-Key: K1, K1\r\n", INVALID),
    ("a comma after the key", b"X-API-Key: K1,\r\n", INVALID),
    ("a comma before the key", b"X-API-Key: ,K1\r\n", INVALID),
    ("in quotes", b"X-API-Key: \"K1\"\r\n", INVALID),
    ("in single quotes", b"X-API-Key: 'K1'\r\n", INVALID),
    ("in brackets", b"X-API-Key: <K1>\r\n", INVALID),
    ("bytes that are no text", b"X-API-Key: \xff\xfe\x80\r\n", INVALID),
    ("a next-line control before it", b"X-API-Key: \x85K1\r\n", INVALID),
    ("a no-break space after it", b"X-API-Key: K1\xa0\r\n", INVALID),
    ("full-width digits", "X-API-Key: k\u{ff11}_9f86\r\n".as_bytes(), INVALID),
    ("the digest of the key", b"X-API-Key: sha256:0\r\n", INVALID),
    ("a reference to a variable", b"X-API-Key: ${HOME}\r\n", INVALID),
    ("another location's key", b"X-API-Key: K2\r\n", INVALID),
    ("a NUL after the key", b"X-API-Key: K1\x00\r\n", BAD),
    ("a NUL in the key", b"X-API-Key: K1\x00x\r\n", BAD),
    ("a vertical tab", b"X-API-Key: K1\x0b\r\n", BAD),
    ("a form feed", b"X-API-Key: K1\x0c\r\n", BAD),
    ("a unit separator", b"X-API-Key: \x1fK1\r\n", BAD),
    ("a DEL", b"X-API-Key: K1\x7f\r\n", BAD),
    ("a folded line", b"X-API-Key:\r\n K1\r\n", BAD),
    ("a blank before the colon", b"X-API-Key : K1\r\n", BAD),
    ("a tab before the colon", b"X-API-Key\t: K1\r\n", BAD),
    ("a blank before the name", b" X-API-Key: K1\r\n", BAD),
    ("a bare CR in the value", b"X-API-Key: K1\rFoo: x\r\n", BAD),
    ("a line with an empty name", b": K1\r\nX-API-Key: K1\r\n", BAD),
    ("a line without a colon", b"X-API-Key K1\r\n", BAD),
    ("a bearer token", b"Authorization: Bearer K1\r\n", MISSING),
    ("cookies", b"Cookie: X-API-Key=K1; api_key=K1\r\n", MISSING),
    ("a proxy's credential", b"Proxy-Authorization: Bearer K1\r\n", MISSING),
    ("any upgrade", b"Connection: Upgrade\r\nUpgrade: anything\r\n", MISSING),
    ("an original URL", b"X-Original-URL: /public/x\r\n", MISSING),
    ("a rewritten URL", b"X-Rewrite-URL: /public/x\r\n", MISSING),
    ("a forwarded URI", b"X-Forwarded-Uri: /public/x\r\n", MISSING),
    ("a forwarded host", b"X-Forwarded-Host: open.test\r\n", MISSING),
    ("a health check's agent", b"User-Agent: GoogleHC/1.0\r\n", MISSING),
    ("a probe's agent", b"User-Agent: kube-probe/1.30\r\n", MISSING),
    ("a local client by its word", b"X-Forwarded-For: 127.0.0.1\r\n", MISSING),
    ("a consumer by its word", b"X-Consumer-Username: admin\r\n", MISSING),
    ("Connection names the key", b"X-API-Key: K1\r\nConnection: X-API-Key\r\n", PASSES),
    ("Connection names a missing key", b"Connection: X-API-Key\r\n", MISSING),
];

#[test]
fn a_key_in_a_header() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let start = "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\n";
    let mut failures = Failures::new();
    failures.play(&gate, &origin, (start, HEADER, "\r\n"));
    for size in [64 * 1024, 1024 * 1024] {
        let request = format!("{start}X-API-Key: {}\r\n\r\n", "A".repeat(size));
        failures.one(&gate, &origin, "a long key", request.as_bytes(), TOO_LONG);
    }
    failures.report();
}

/// Whole requests that are no plain `GET` with the key in its header.
const ELSEWHERE: &[Row] = &[
    ("a form", b"POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 38\r\n\r\nX-API-Key=k1_9f86d081884c7d659a2feaa0c", MISSING),
    ("JSON", b"POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"api_key\":\"K\"} ", MISSING),
    ("a trailer", b"POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-API-Key\r\n\r\n0\r\nX-API-Key: K1\r\n\r\n", MISSING),
    ("the query", b"GET /api/v1/x?X-API-Key=K1&api_key=K1 HTTP/1.1\r\nHost: a.test\r\n\r\n", MISSING),
    ("userinfo", b"GET http://K1@a.test/api/v1/x HTTP/1.1\r\nHost: a.test\r\n\r\n", BAD),
    ("the header where the query is asked", b"GET /q/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n", MISSING),
    ("the wrong location", b"GET /admin/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n", INVALID),
    ("a HEAD without a key", b"OPTIONS /api/v1/x HTTP/1.1\r\nHost: a.test\r\n\r\n", MISSING),
    ("a preflight", b"OPTIONS /api/v1/x HTTP/1.1\r\nHost: a.test\r\nOrigin: https://b.test\r\nAccess-Control-Request-Method: GET\r\n\r\n", MISSING),
    ("an unknown method", b"FOOBAR /api/v1/x HTTP/1.1\r\nHost: a.test\r\n\r\n", MISSING),
    ("a method in lower case", b"get /api/v1/x HTTP/1.1\r\nHost: a.test\r\n\r\n", MISSING),
    ("TRACE", b"TRACE /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n", Then::Says(405, "Method not allowed")),
    ("HTTP/1.0 without a key", b"GET /api/v1/x HTTP/1.0\r\n\r\n", MISSING),
    ("HTTP/1.0 with the key", b"GET /api/v1/x HTTP/1.0\r\nX-API-Key: K1\r\n\r\n", Then::Forwarded("/api/v1/x")),
];

#[test]
fn a_key_is_found_nowhere_else() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    Failures::new().play(&gate, &origin, ("", ELSEWHERE, "")).report();
}

const Q: Then = Then::Forwarded("/q/x");

/// Targets at a location whose key is in the parameter `api_key`.
const QUERY: &[Row] = &[
    ("the key", b"/q/x?api_key=K1", Q),
    ("no query", b"/q/x", MISSING),
    ("an empty query", b"/q/x?", MISSING),
    ("a wrong key", b"/q/x?api_key=wrong", INVALID),
    ("an encoded name", b"/q/x?api%5Fkey=K1", Q),
    ("an encoded letter of the name", b"/q/x?%61pi_key=K1", Q),
    ("a name encoded whole", b"/q/x?%61%70%69_key=K1", Q),
    ("an encoded value", b"/q/x?api_key=k1%5F9f86d081884c7d659a2feaa0c55ad015", Q),
    ("a value encoded in lower case", b"/q/x?api_key=k1%5f9f86d081884c7d659a2feaa0c55ad015", Q),
    ("a value encoded twice", b"/q/x?api_key=k1%255F9f86d081884c7d659a2feaa0c55ad015", INVALID),
    ("a name encoded twice", b"/q/x?api%255Fkey=K1", MISSING),
    ("a percent at the end", b"/q/x?api_key=K1%", INVALID),
    ("half an escape", b"/q/x?api_key=K1%2", INVALID),
    ("no escape", b"/q/x?api_key=K1%zz", INVALID),
    ("a lone percent", b"/q/x?api_key=%", INVALID),
    ("an encoded NUL", b"/q/x?api_key=K1%00", INVALID),
    ("an encoded NUL before", b"/q/x?api_key=%00K1", INVALID),
    ("an encoded line end", b"/q/x?api_key=K1%0d%0a", INVALID),
    ("overlong UTF-8", b"/q/x?api_key=%C0%AFK1", INVALID),
    ("no UTF-8", b"/q/x?api_key=%ff", INVALID),
    ("a name without a value", b"/q/x?api_key", MISSING),
    ("a name with an empty value", b"/q/x?api_key=", MISSING),
    ("an empty name", b"/q/x?=K1", MISSING),
    ("twice, equal", b"/q/x?api_key=K1&api_key=K1", INVALID),
    ("twice, the first wrong", b"/q/x?api_key=bad&api_key=K1", INVALID),
    ("twice, the second wrong", b"/q/x?api_key=K1&api_key=bad", INVALID),
    ("twice, the second encoded", b"/q/x?api_key=K1&api%5Fkey=bad", INVALID),
    ("twice, the first encoded", b"/q/x?api%5Fkey=bad&api_key=K1", INVALID),
    ("twice, the second empty", b"/q/x?api_key=K1&api_key=", INVALID),
    ("twice, the second bare", b"/q/x?api_key=K1&api_key", INVALID),
    ("an array", b"/q/x?api_key[]=K1", MISSING),
    ("an indexed array", b"/q/x?api_key[0]=K1", MISSING),
    ("a member", b"/q/x?api_key.x=K1", MISSING),
    ("a semicolon before", b"/q/x?a=1;api_key=K1", MISSING),
    ("a semicolon after", b"/q/x?api_key=K1;a=1", INVALID),
    ("the name in upper case", b"/q/x?API_KEY=K1", MISSING),
    ("a longer name", b"/q/x?xapi_key=K1", MISSING),
    ("a name with a tail", b"/q/x?api_keyx=K1", MISSING),
    ("a blank after the name", b"/q/x?api_key%20=K1", MISSING),
    ("a blank before the name", b"/q/x?%20api_key=K1", MISSING),
    ("a plus in the name", b"/q/x?api_key+=K1", MISSING),
    ("empty pairs around", b"/q/x?&&api_key=K1&&", Then::Forwarded("/q/x?&&&")),
    ("in a parameter of the path", b"/q/x;api_key=K1", MISSING),
    ("after an encoded question mark", b"/q/x%3Fapi_key=K1", MISSING),
    ("in another parameter's value", b"/q/x?a=b?api_key=K1", MISSING),
    ("after an encoded ampersand", b"/q/x?a=b%26api_key=K1", MISSING),
    ("after an ampersand of HTML", b"/q/x?a=b&amp;api_key=K1", MISSING),
    ("in a fragment", b"/q/x#?api_key=K1", Then::Refused(&[400, 401])),
    ("in a fragment after a query", b"/q/x?a=1#api_key=K1", Then::Refused(&[400, 401])),
    ("an absolute target", b"http://a.test/q/x?api_key=K1", Q),
];

#[test]
fn a_key_in_the_query() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let after = " HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let mut failures = Failures::new();
    failures.play(&gate, &origin, ("GET ", QUERY, after));
    let many = "p=1&".repeat(4000);
    let response = gate.send(keyed(&format!("GET /q/x?{many}api_key=K1{after}")));
    let target = format!("/q/x?{}", many.trim_end_matches('&'));
    failures.row(response.text() == target, || format!("after 4000 others: {}", response.status));
    failures.report();
}

/// Targets at a location whose key holds bytes that mean something in a query.
const PLUS: &[Row] = &[
    ("raw", b"/?api_key=a+b/c=0123456789abcdef", Then::Forwarded("/")),
    ("encoded", b"/?api_key=a%2Bb%2Fc%3D0123456789abcdef", Then::Forwarded("/")),
    ("a blank for the plus", b"/?api_key=a%20b/c=0123456789abcdef", INVALID),
    ("encoded twice", b"/?api_key=a%252Bb/c=0123456789abcdef", INVALID),
];

#[test]
fn a_plus_in_a_key_is_itself() {
    let origin = Origin::echo();
    let config = one_location("query = \"api_key\"\n", "")
        .replace(crate::support::reference::K1, "a+b/c=0123456789abcdef");
    let gate = Gate::on(&(upstream(&origin) + &config));
    let after = " HTTP/1.1\r\nHost: a.test\r\n\r\n";
    Failures::new().play(&gate, &origin, ("GET ", PLUS, after)).report();
}

/// The SHA-256 of `K1`.
const K1_DIGEST: &str = "sha256:f7c3e450ec16bd8ff082509762e666a4d2fc9f9821425247b1a1a42b132f3a04";

const DIGESTED: &[Row] = &[
    ("the key", b"X-API-Key: K1\r\n", Then::Forwarded("/x")),
    ("a second key, in plain text", b"X-API-Key: K2\r\n", Then::Forwarded("/x")),
    (
        "the digest",
        b"X-API-Key: f7c3e450ec16bd8ff082509762e666a4d2fc9f9821425247b1a1a42b132f3a04\r\n",
        INVALID,
    ),
    (
        "the digest as it is written",
        b"X-API-Key: sha256:f7c3e450ec16bd8ff082509762e666a4d2fc9f9821425247b1a1a42b132f3a04\r\n",
        INVALID,
    ),
    ("both keys", b"X-API-Key: K1,K2\r\n", INVALID),
];

#[test]
fn a_key_may_be_configured_by_its_digest() {
    let origin = Origin::echo();
    let config = one_location("header = \"X-API-Key\"\n", "").replace(
        &format!("\"{}\"", crate::support::reference::K1),
        &format!("\"{K1_DIGEST}\", \"{}\"", crate::support::reference::K2),
    );
    let gate = Gate::on(&(upstream(&origin) + &config));
    let start = "GET /x HTTP/1.1\r\nHost: a.test\r\n";
    Failures::new().play(&gate, &origin, (start, DIGESTED, "\r\n")).report();
}

/// Two plugins on one location: `X-API-Key` with `K1`, then `X-Other` with `K2`.
const BOTH: &[Row] = &[
    ("both", b"X-API-Key: K1\r\nX-Other: K2\r\n", Then::Forwarded("/x")),
    ("the first only", b"X-API-Key: K1\r\n", MISSING),
    ("the second only", b"X-Other: K2\r\n", MISSING),
    ("neither", b"", MISSING),
    ("exchanged", b"X-API-Key: K2\r\nX-Other: K1\r\n", INVALID),
    ("the second wrong", b"X-API-Key: K1\r\nX-Other: K1\r\n", INVALID),
];

#[test]
fn two_plugins_ask_for_two_keys() {
    let origin = Origin::echo();
    let config = one_location("header = \"X-API-Key\"\n", "")
        .replace("plugins = [\"key-auth\"]", "plugins = [\"key-auth\", \"key-auth-other\"]");
    let other = keyed("[plugins.key-auth-other]\nheader = \"X-Other\"\nkeys = [\"K2\"]\n");
    let gate = Gate::on(&(upstream(&origin) + &config + &other));
    let start = "GET /x HTTP/1.1\r\nHost: a.test\r\n";
    Failures::new().play(&gate, &origin, (start, BOTH, "\r\n")).report();
}
