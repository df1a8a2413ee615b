//! What two parsers could read differently: 400, the end of the connection, nothing upstream.

use crate::support::reference::{half_open, keyed};
use crate::support::{BAD, Failures, MISSING, Origin, Row, Then};

const PASSES: Then = Then::Forwarded("/x");
const NOT_ALLOWED: Then = Then::Refused(&[405]);

/// Field lines of `GET /x`, which is open.
const HOST: &[Row] = &[
    ("a host", b"Host: a.test\r\n", PASSES),
    ("a host and a port", b"Host: a.test:8080\r\n", PASSES),
    ("an address", b"Host: 127.0.0.1:80\r\n", PASSES),
    ("an IPv6 address", b"Host: [::1]:80\r\n", PASSES),
    ("an underscore", b"Host: my_service\r\n", PASSES),
    ("none", b"", BAD),
    ("two, equal", b"Host: a.test\r\nHost: a.test\r\n", BAD),
    ("two, different", b"Host: a.test\r\nHost: b.test\r\n", BAD),
    ("two, in two cases", b"Host: a.test\r\nhost: a.test\r\n", BAD),
    ("an empty one", b"Host:\r\n", BAD),
    ("a blank one", b"Host:  \r\n", BAD),
    ("userinfo", b"Host: u@a.test\r\n", BAD),
    ("userinfo with a password", b"Host: u:p@a.test\r\n", BAD),
    ("a path", b"Host: a.test/admin\r\n", BAD),
    ("a query", b"Host: a.test?x\r\n", BAD),
    ("a fragment", b"Host: a.test#x\r\n", BAD),
    ("a list", b"Host: a.test, b.test\r\n", BAD),
    ("a blank within", b"Host: a b\r\n", BAD),
    ("a port out of range", b"Host: a.test:99999\r\n", BAD),
    ("no port but a word", b"Host: a.test:http\r\n", BAD),
    ("two ports", b"Host: a.test:80:80\r\n", BAD),
    ("an open bracket", b"Host: [::1\r\n", BAD),
    ("a backslash", b"Host: a.test\\b\r\n", BAD),
    ("bytes beyond ASCII", b"Host: b\xc3\xbccher.test\r\n", BAD),
    ("a scheme", b"Host: http://a.test\r\n", BAD),
    ("a folded line", b"Host: a.test\r\n b.test\r\n", BAD),
    ("a blank before the colon", b"Host : a.test\r\n", BAD),
    ("a blank before the name", b" Host: a.test\r\n", BAD),
];

#[test]
fn a_request_has_exactly_one_host() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    Failures::new().play(&gate, &origin, ("GET /x HTTP/1.1\r\n", HOST, "\r\n")).report();
}

/// Field lines of `POST /x`, which is open.
const CODINGS: &[Row] = &[
    ("chunked", b"Transfer-Encoding: chunked\r\n", PASSES),
    ("in another case", b"Transfer-Encoding: Chunked\r\n", PASSES),
    ("identity", b"Transfer-Encoding: identity\r\n", BAD),
    ("gzip", b"Transfer-Encoding: gzip\r\n", BAD),
    ("gzip and chunked", b"Transfer-Encoding: gzip, chunked\r\n", BAD),
    ("chunked and gzip", b"Transfer-Encoding: chunked, gzip\r\n", BAD),
    ("chunked twice", b"Transfer-Encoding: chunked, chunked\r\n", BAD),
    ("two lines", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", BAD),
    ("two codings", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", BAD),
    ("identity first", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", BAD),
    ("a comma before", b"Transfer-Encoding: ,chunked\r\n", BAD),
    ("a comma and a blank before", b"Transfer-Encoding: , chunked\r\n", BAD),
    ("a comma after", b"Transfer-Encoding: chunked,\r\n", BAD),
    ("an unknown coding", b"Transfer-Encoding: xchunked\r\n", BAD),
    ("chunked doubled", b"Transfer-Encoding: chunkedchunked\r\n", BAD),
    ("cut short", b"Transfer-Encoding: chunk\r\n", BAD),
    ("in quotes", b"Transfer-Encoding: \"chunked\"\r\n", BAD),
    ("with a parameter", b"Transfer-Encoding: chunked;a=b\r\n", BAD),
    ("empty", b"Transfer-Encoding:\r\n", BAD),
    ("a vertical tab", b"Transfer-Encoding: \x0bchunked\r\n", BAD),
    ("a form feed", b"Transfer-Encoding: \x0cchunked\r\n", BAD),
    ("a no-break space", b"Transfer-Encoding: \xa0chunked\r\n", BAD),
    ("a NUL", b"Transfer-Encoding: chunked\x00\r\n", BAD),
    ("a folded line", b"Transfer-Encoding:\r\n chunked\r\n", BAD),
    ("a blank before the colon", b"Transfer-Encoding : chunked\r\n", BAD),
];

#[test]
fn the_only_transfer_coding_is_chunked() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let start = "POST /x HTTP/1.1\r\nHost: a.test\r\n";
    Failures::new().play(&gate, &origin, (start, CODINGS, "\r\n0\r\n\r\n")).report();
}

/// Field lines of `POST /x` with the body `hello`.
const LENGTHS: &[Row] = &[
    ("a length", b"Content-Length: 5\r\n", PASSES),
    ("two, different", b"Content-Length: 5\r\nContent-Length: 10\r\n", BAD),
    ("a list", b"Content-Length: 5, 10\r\n", BAD),
    ("a list of equals", b"Content-Length: 5, 5\r\n", BAD),
    ("a list with an end", b"Content-Length: 5,\r\n", BAD),
    ("a plus", b"Content-Length: +5\r\n", BAD),
    ("a minus", b"Content-Length: -1\r\n", BAD),
    ("minus nought", b"Content-Length: -0\r\n", BAD),
    ("hexadecimal", b"Content-Length: 0x5\r\n", BAD),
    ("octal", b"Content-Length: 0o5\r\n", BAD),
    ("an underscore", b"Content-Length: 1_0\r\n", BAD),
    ("a fraction", b"Content-Length: 5.0\r\n", BAD),
    ("an exponent", b"Content-Length: 1e1\r\n", BAD),
    ("empty", b"Content-Length:\r\n", BAD),
    ("empty and another", b"Content-Length:\r\nContent-Length: 5\r\n", BAD),
    ("a blank within", b"Content-Length: 1 0\r\n", BAD),
    ("a word after", b"Content-Length: 5 x\r\n", BAD),
    ("too long", b"Content-Length: 99999999999999999999\r\n", BAD),
    ("one past 64 bits", b"Content-Length: 18446744073709551616\r\n", BAD),
    ("a blank before the colon", b"Content-Length : 5\r\n", BAD),
    ("a tab in the name", b"Content\tLength: 5\r\n", BAD),
    ("a coding with a blank too", b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", BAD),
];

#[test]
fn a_length_is_digits() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let start = "POST /x HTTP/1.1\r\nHost: a.test\r\n";
    Failures::new().play(&gate, &origin, (start, LENGTHS, "\r\nhello")).report();
}

/// Whole request lines; `Host: a.test` follows.
const LINES: &[Row] = &[
    ("CONNECT to a host", b"CONNECT a.test:443 HTTP/1.1", NOT_ALLOWED),
    ("CONNECT to a path", b"CONNECT / HTTP/1.1", Then::Refused(&[400, 405])),
    ("TRACE", b"TRACE /x HTTP/1.1", NOT_ALLOWED),
    ("TRACE of a guarded path", b"TRACE /admin/x HTTP/1.1", NOT_ALLOWED),
    ("a star", b"GET * HTTP/1.1", BAD),
    ("a star and more", b"OPTIONS */x HTTP/1.1", BAD),
    ("OPTIONS of the whole server", b"OPTIONS * HTTP/1.1", Then::Refused(&[200, 204, 400, 404])),
    ("a path without its slash", b"GET admin/x HTTP/1.1", BAD),
    ("a host only", b"GET a.test HTTP/1.1", BAD),
    ("a host and a port only", b"GET a.test:80 HTTP/1.1", BAD),
    ("another host than the field's", b"GET http://b.test/x HTTP/1.1", BAD),
    ("another host, guarded path", b"GET http://b.test/admin/x HTTP/1.1", BAD),
    ("another port than the field's", b"GET http://a.test:81/x HTTP/1.1", BAD),
    ("userinfo", b"GET http://u:p@a.test/x HTTP/1.1", BAD),
    ("userinfo that looks like the host", b"GET http://a.test@b.test/x HTTP/1.1", BAD),
    ("no host", b"GET http:///x HTTP/1.1", BAD),
    ("the same host", b"GET http://a.test/x HTTP/1.1", PASSES),
    ("the same host in upper case", b"GET http://A.TEST/x HTTP/1.1", PASSES),
    ("a scheme that is no HTTP, open", b"GET ftp://a.test/x HTTP/1.1", BAD),
    ("a scheme that is no HTTP", b"GET ftp://a.test/admin/x HTTP/1.1", Then::Refused(&[400, 401])),
    ("a script", b"GET javascript:x HTTP/1.1", BAD),
    ("two versions", b"GET /x HTTP/1.1 HTTP/1.1", BAD),
    ("a blank in the target", b"GET /x y HTTP/1.1", BAD),
    ("a tab for a blank", b"GET\t/x\tHTTP/1.1", BAD),
    ("two blanks", b"GET  /x HTTP/1.1", BAD),
    ("a version of the future", b"GET /x HTTP/1.2", BAD),
    ("a version in lower case", b"GET /x http/1.1", BAD),
    ("another protocol", b"GET /x HTTPS/1.1", BAD),
    ("no version", b"GET /x", BAD),
    ("an empty method", b" /x HTTP/1.1", BAD),
    ("a method of marks", b"G=\":<>(e),[T];?\" /x HTTP/1.1", BAD),
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
    ("a coding", b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    (
        "a coding and a length",
        b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        BAD,
    ),
    ("two hosts", b"GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
];

#[test]
fn http_1_0_is_served_and_screened() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    Failures::new().play(&gate, &origin, ("", OLD, "")).report();
}

#[test]
fn a_good_request_is_answered_before_the_garbage_after_it() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let mut client = gate.client();
    client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n\x01\x02\x03 garbage\r\n\r\n");
    assert_eq!(client.response().text(), "/x");
    let rest = String::from_utf8_lossy(&client.rest()).into_owned();
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{rest}");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let mut client = gate.client();
    let request = keyed("GET /admin/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K2\r\n\r\n");
    for byte in request.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.response().text(), "/admin/x");
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    assert_eq!(gate.send("\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").text(), "/x");
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
