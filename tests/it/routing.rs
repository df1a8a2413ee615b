//! Which location a request leads to.

use crate::support::reference::{half_open, keyed, upstream};
use crate::support::{BAD, Failures, Gate, MISSING, Origin, Row, Then};

/// Targets without a key, where `/admin/`, `/api/v1` and `/q/` are guarded and all else is open;
/// the catalogue (`catalogue/pm.rs`) has those that are refused.
const OPEN: &[Row] = &[
    ("a shorter prefix", b"/api/", Then::Forwarded("/api/")),
    ("the root", b"/", Then::Forwarded("/")),
    ("an open folder", b"/public/a", Then::Forwarded("/public/a")),
    ("escapes that change nothing", b"/public/%7Ea%20b", Then::Forwarded("/public/%7Ea%20b")),
    ("a slash encoded", b"/public/a%2Fb", Then::Forwarded("/public/a%2Fb")),
    ("dots inside", b"/public/a/../b", Then::Forwarded("/public/a/../b")),
    ("slashes inside", b"/public//a///b", Then::Forwarded("/public//a///b")),
    ("case inside", b"/public/ABC", Then::Forwarded("/public/ABC")),
    ("parameters inside", b"/public/a;v=1/b;w", Then::Forwarded("/public/a;v=1/b;w")),
    ("a backslash inside", b"/public/a\\b", Then::Forwarded("/public/a\\b")),
    ("no escape inside", b"/public/%zz%", Then::Forwarded("/public/%zz%")),
    ("dots in names", b"/public/...a/..b", Then::Forwarded("/public/...a/..b")),
    (
        "every mark",
        b"/public/!$&'()*+,=:@-._~|{}[]^",
        Then::Forwarded("/public/!$&'()*+,=:@-._~|{}[]^"),
    ),
];

#[test]
fn a_path_on_whose_guard_all_readings_agree_is_sent_as_it_came() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let after = " HTTP/1.1\r\nHost: a.test\r\n\r\n";
    Failures::new().play(&gate, &origin, ("GET ", OPEN, after)).report();
}

/// Whoever sent it may hold what follows for something else.
#[test]
fn a_path_that_is_read_in_two_ways_ends_its_connection() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let rows: &[Row] = &[("dots", b"/public/../admin/x", BAD), ("case", b"/ADMIN/x", BAD)];
    let after = " HTTP/1.1\r\nHost: a.test\r\n\r\n";
    Failures::new().play(&gate, &origin, ("GET ", rows, after)).report();
}

/// A path costs no more than it may, however many readings it has: what has too many is refused.
#[test]
fn a_path_with_more_readings_than_an_honest_one_is_refused() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let status = |path: &str| gate.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).status;
    let many = "%c0%af%25%25%20%3ba%u002f%5ca";
    for start in ["/api/v1/", "/public/", "/"] {
        for length in [1, 100, 600, 6_000] {
            let path = format!("{start}{}/{many}", "a".repeat(length));
            assert_eq!(status(&path), 400, "{path:.20} ({length})");
        }
    }
    assert_eq!(origin.count(), 0);
    let honest = format!("/public/{}/%C3%A9t%C3%A9%20(1).txt;v=1", "a".repeat(600));
    assert_eq!(status(&honest), 200);
}

/// Locations on several hosts; each upstream target tells which one was chosen by its key.
const HOSTS: &str = r#"
[plugins.key-auth]
header = "X-API-Key"
keys = ["K1"]
[locations.named]
path = "/"
host = "a.test, www.a.test"
upstream = "rec"
plugins = ["key-auth"]
[locations.below]
path = "/"
host = "*.b.test"
upstream = "rec"
public = true
[locations.any-open]
path = "/any/"
upstream = "rec"
public = true
"#;

const NOT_FOUND: Then = Then::Says(404, "Not found");
const PASSES: Then = Then::Forwarded("/x");

/// `Host` lines of `GET /x`.
const HOST_LINES: &[Row] = &[
    ("the host", b"Host: a.test\r\n", MISSING),
    ("the second of the list", b"Host: www.a.test\r\n", MISSING),
    ("below", b"Host: x.b.test\r\n", PASSES),
    ("below, in upper case", b"Host: X.B.Test\r\n", PASSES),
    ("two levels below", b"Host: y.x.b.test\r\n", PASSES),
    ("the name above", b"Host: b.test\r\n", NOT_FOUND),
    ("a name that ends like it", b"Host: xb.test\r\n", NOT_FOUND),
];

#[test]
fn a_host_is_matched_in_full_or_below_a_star() {
    let origin = Origin::echo();
    let gate = Gate::on(&(upstream(&origin) + &keyed(HOSTS)));
    let start = "GET /x HTTP/1.1\r\n";
    Failures::new().play(&gate, &origin, (start, HOST_LINES, "\r\n")).report();
}

/// Locations of every kind of path, told apart by the upstream that each leads to.
const KINDS: &str = r#"
[locations.regex-first]
path = "~^/r/\\d+$"
upstream = "one"
public = true
[locations.regex-second]
path = "~^/r/"
upstream = "two"
public = true
[locations.short]
path = "/p/"
upstream = "three"
public = true
[locations.long]
path = "/p/long/"
upstream = "four"
public = true
[locations.exact]
path = "=/p/long/exact"
upstream = "five"
public = true
[locations.hosted]
path = "/p/"
host = "h.test"
upstream = "six"
public = true
[locations.reading]
path = "/m/"
methods = ["GET", "HEAD"]
upstream = "seven"
public = true
[locations.writing]
path = "/m/"
methods = ["POST"]
upstream = "eight"
public = true
"#;

/// The upstreams of [`KINDS`].
const NAMES: [&str; 8] = ["one", "two", "three", "four", "five", "six", "seven", "eight"];

/// Method, host, target, and the upstream that answers; none where there is no location.
const CHOICES: [(&str, &str, &str, Option<&str>); 26] = [
    ("GET", "a.test", "/r/1", Some("one")),
    ("GET", "a.test", "/r/x", Some("two")),
    ("GET", "a.test", "/r/1/x", Some("two")),
    ("GET", "a.test", "/xr/1", None),
    ("GET", "a.test", "/p/x", Some("three")),
    ("GET", "a.test", "/p/longer", Some("three")),
    ("GET", "a.test", "/p/long/x", Some("four")),
    ("GET", "a.test", "/p/long/exact", Some("five")),
    ("GET", "a.test", "/p/long/exact?q", Some("five")),
    ("GET", "a.test", "/p/long/exact/", Some("four")),
    ("GET", "a.test", "/p/long/exactly", Some("four")),
    ("GET", "h.test", "/p/x", Some("six")),
    ("GET", "h.test", "/p/long/exact", Some("six")),
    ("GET", "h.test", "/p/long/x", Some("six")),
    ("GET", "h.test", "/r/1", Some("one")),
    ("GET", "a.test", "/m/x", Some("seven")),
    ("HEAD", "a.test", "/m/x", Some("seven")),
    ("POST", "a.test", "/m/x", Some("eight")),
    ("PUT", "a.test", "/m/x", None),
    ("get", "a.test", "/m/x", None),
    ("OPTIONS", "a.test", "/m/x", None),
    ("DELETE", "a.test", "/p/x", Some("three")),
    ("GET", "a.test", "/", None),
    ("GET", "a.test", "/px", None),
    ("GET", "a.test", "/elsewhere", None),
    ("GET", "a.test", "/r", None),
];

#[test]
fn exact_goes_before_prefix_before_regex_and_the_longest_prefix_first() {
    let origins: Vec<_> = NAMES
        .iter()
        .map(|name| Origin::scripted(move |exchange| reply_with(exchange, name)))
        .collect();
    let mut config = KINDS.to_owned();
    for (name, origin) in NAMES.iter().zip(&origins) {
        config += &format!("[upstreams.{name}]\naddrs = [\"{}\"]\n", origin.address);
    }
    let gate = Gate::on(&config);
    let mut failures = Failures::new();
    for (method, host, target, expected) in CHOICES {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let response = gate.client().send(request).response_head();
        let got = response.head.value("which");
        let right = got == expected && (expected.is_some() || response.status == 404);
        failures.row(right, || format!("{method} {host} {target}: {} {got:?}", response.status));
    }
    failures.report();
    let found = CHOICES.iter().filter(|choice| choice.3.is_some()).count();
    assert_eq!(origins.iter().map(Origin::count).sum::<usize>(), found);
}

fn reply_with(exchange: &mut crate::support::Exchange, name: &str) {
    exchange.write(format!("HTTP/1.1 200 OK\r\nWhich: {name}\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn an_unknown_location_touches_no_upstream() {
    let origin = Origin::echo();
    let gate = crate::support::reference::guarded(&origin);
    let key = keyed("X-API-Key: K1\r\n");
    for target in ["/", "/nowhere", "/api/v2/x", "/api/v1x", "/administrator"] {
        let response = gate.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{key}\r\n"));
        assert_eq!((response.status, response.text().as_str()), (404, "Not found"), "{target}");
    }
    assert_eq!(origin.connections(), 0);
}

/// Some origins obey a header field that asks for another method.
#[test]
fn a_method_override_leads_around_no_guard() {
    let origin = Origin::echo();
    let config = keyed(
        "[plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\n\
         [locations.read]\npath = \"/\"\nmethods = [\"GET\"]\nupstream = \"rec\"\npublic = true\n\
         [locations.write]\npath = \"/\"\nmethods = [\"POST\"]\nupstream = \"rec\"\n\
         plugins = [\"key-auth\"]\n",
    );
    let gate = Gate::on(&(upstream(&origin) + &config));
    let rows: &[Row] = &[
        ("as it is", b"POST /x HTTP/1.1\r\n", MISSING),
        ("to the open one", b"POST /x HTTP/1.1\r\nX-HTTP-Method-Override: GET\r\n", BAD),
        ("with a key", b"POST /x HTTP/1.1\r\nX-API-Key: K1\r\nX-HTTP-Method: GET\r\n", BAD),
        ("to the guarded one", b"GET /x HTTP/1.1\r\nX-HTTP-Method-Override: POST\r\n", BAD),
        ("in lower case", b"GET /x HTTP/1.1\r\nX-HTTP-Method-Override: post\r\n", BAD),
        ("under an alias", b"GET /x HTTP/1.1\r\nX_Method_Override: POST\r\n", BAD),
        ("the second", b"GET /x HTTP/1.1\r\nX-HTTP-Method: GET\r\nX-HTTP-Method: POST\r\n", BAD),
        ("to none", b"GET /x HTTP/1.1\r\nX-HTTP-Method-Override: PUT\r\n", BAD),
        ("no method", b"GET /x HTTP/1.1\r\nX-HTTP-Method-Override: a b\r\n", BAD),
        ("to the same", b"GET /x HTTP/1.1\r\nX-HTTP-Method-Override: GET\r\n", PASSES),
        ("in the query", b"POST /x?_method=GET HTTP/1.1\r\n", MISSING),
        ("a method of neither", b"PUT /x HTTP/1.1\r\n", NOT_FOUND),
        ("the open one", b"GET /x HTTP/1.1\r\n", PASSES),
    ];
    let after = "Host: a.test\r\nContent-Length: 0\r\n\r\n";
    Failures::new().play(&gate, &origin, ("", rows, after)).report();
}
