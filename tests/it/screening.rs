//! What two parsers could read differently: 400, the end of the connection, nothing upstream.

use crate::support::reference::half_open;
use crate::support::{BAD, Failures, MISSING, Origin, Row, Then};

const PASSES: Then = Then::Forwarded("/x");

/// Field lines of `GET /x`, which is open.
const HOST: &[Row] = &[
    ("a host", b"Host: a.test\r\n", PASSES),
    ("a host and a port", b"Host: a.test:8080\r\n", PASSES),
    ("an address", b"Host: 127.0.0.1:80\r\n", PASSES),
    ("an IPv6 address", b"Host: [::1]:80\r\n", PASSES),
    ("an underscore", b"Host: my_service\r\n", PASSES),
    ("a folded line", b"Host: a.test\r\n b.test\r\n", BAD),
    ("a blank before the colon", b"Host : a.test\r\n", BAD),
    ("a blank before the name", b" Host: a.test\r\n", BAD),
];

#[test]
fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    Failures::new().play(&gate, &origin, ("GET /x HTTP/1.1\r\n", HOST, "\r\n")).report();
}

/// Whole request lines; `Host: a.test` follows.
const LINES: &[Row] = &[
    ("a host only", b"GET a.test HTTP/1.1", BAD),
    ("a tab for a blank", b"GET\t/x\tHTTP/1.1", BAD),
    ("a version of the future", b"GET /x HTTP/1.2", BAD),
    ("a version in lower case", b"GET /x http/1.1", BAD),
    ("another protocol", b"GET /x HTTPS/1.1", BAD),
    ("no version", b"GET /x", BAD),
    ("an empty method", b" /x HTTP/1.1", BAD),
    ("a NUL in the target", b"GET /x\x00 HTTP/1.1", BAD),
    ("a control in the target", b"GET /x\x01 HTTP/1.1", BAD),
    ("a DEL in the target", b"GET /x\x7f HTTP/1.1", BAD),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
    ("another protocol's hello", b"SSH-2.0-OpenSSH_9.6", BAD),
];

#[test]
fn a_request_line_that_can_be_read_in_two_ways_is_refused() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let after = "\r\nHost: a.test\r\n\r\n";
    Failures::new().play(&gate, &origin, ("", LINES, after)).report();
}

/// Field lines of `GET /x` that are no fields.
const FIELDS: &[Row] = &[
    ("a fold", b"A: b\r\n c\r\n", BAD),
    ("a fold with a tab", b"A: b\r\n\tc\r\n", BAD),
    ("a blank before the colon", b"A : b\r\n", BAD),
    ("no colon", b"A b\r\n", BAD),
    ("an empty name", b": b\r\n", BAD),
    ("a NUL in the value", b"A: b\x00c\r\n", BAD),
    ("a NUL in the name", b"A\x00: b\r\n", BAD),
    ("a bare CR", b"A: b\rc\r\n", BAD),
    ("a control", b"A: b\x08c\r\n", BAD),
    ("a blank in the name", b"A b: c\r\n", BAD),
    ("a bracket in the name", b"A(b): c\r\n", BAD),
    ("a name beyond ASCII", b"\xc3\xa4: c\r\n", BAD),
    ("a value beyond ASCII is only bytes", b"A: \xc3\xa4\r\n", PASSES),
];

#[test]
fn a_line_that_is_no_field_is_refused() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let start = "GET /x HTTP/1.1\r\nHost: a.test\r\n";
    Failures::new().play(&gate, &origin, (start, FIELDS, "\r\n")).report();
}

/// Whole requests of the version before.
const OLD: &[Row] = &[
    ("open", b"GET /x HTTP/1.0\r\n\r\n", PASSES),
    ("open, with a host", b"GET /x HTTP/1.0\r\nHost: a.test\r\n\r\n", PASSES),
    ("guarded", b"GET /admin/x HTTP/1.0\r\n\r\n", MISSING),
    ("two hosts", b"GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
];

#[test]
fn http_1_0_is_served_and_screened() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    Failures::new().play(&gate, &origin, ("", OLD, "")).report();
}

#[test]
fn heads_past_the_limit_are_refused() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let start = "GET /x HTTP/1.1\r\nHost: a.test\r\n";
    let lines: String = (0..2000).map(|number| format!("X-{number}: {number}\r\n")).collect();
    let mut failures = Failures::new();
    let too_long = Then::Ends(&[400, 414, 431]);
    let one = format!("{start}A: {}\r\n\r\n", "b".repeat(40 * 1024));
    failures.one(&gate, &origin, "one long field", one.as_bytes(), too_long);
    let many = format!("{start}{lines}\r\n");
    failures.one(&gate, &origin, "many fields", many.as_bytes(), too_long);
    let path = format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "p".repeat(70 * 1024));
    failures.one(&gate, &origin, "a long target", path.as_bytes(), too_long);
    failures.report();
}
