//! What an upstream of HTTP/2 gets to see of a request, and a client of its response.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, Version};

use super::{before, gate, post, request};
use crate::support::frames::HEADERS;
use crate::support::reference::keyed;
use crate::support::{Failures, FrameOrigin, Http2Origin};

#[test]
fn a_request_is_the_same_in_the_other_version() {
    let origin = Http2Origin::echo();
    let gate = before(origin.address, "");
    for target in ["/x", "/a%2fb/?q=%41&x=1;2", "/?", "/a//b/", "/~a'()*!$,:@"] {
        assert_eq!(gate.send(request(&format!("GET {target}"))).status, 200, "{target}");
        let asked = origin.last();
        assert_eq!(asked.head.uri.path_and_query().map(|path| path.as_str()), Some(target));
        assert_eq!((asked.head.method.as_str(), asked.head.version), ("GET", Version::HTTP_2));
        assert_eq!(asked.head.uri.scheme_str(), Some("http"));
        assert_eq!(asked.head.uri.authority().map(|host| host.as_str()), Some("a.test"));
    }
    let line = keyed("GET http://b.test?a HTTP/1.1\r\nHost: b.test\r\nX-API-Key: K1\r\n\r\n");
    assert_eq!(gate.send(line).status, 200);
    assert_eq!(origin.last().head.uri, "http://b.test/?a");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn the_authority_follows_the_rule_for_the_host() {
    for (rule, expected) in
        [("client", "a.test"), ("upstream", ""), ("api.internal", "api.internal")]
    {
        let origin = Http2Origin::echo();
        let own = origin.address.to_string();
        let gate = before(origin.address, &format!("host = \"{rule}\""));
        assert_eq!(gate.send(request("GET /x")).status, 200);
        let asked = origin.last();
        let expected = if expected.is_empty() { &own } else { expected };
        assert_eq!(asked.head.uri.authority().map(|host| host.as_str()), Some(expected));
        assert!(asked.values("host").is_empty());
        assert_eq!(asked.values("x-forwarded-host"), ["a.test"]);
    }
}

#[test]
fn fields_for_the_next_hop_do_not_pass_and_the_others_do() {
    let origin = Http2Origin::echo();
    let gate = before(origin.address, "");
    let lines = "Connection: X-Drop, keep-alive, TE\r\nX-Drop: 1\r\nKeep-Alive: timeout=5\r\n\
                 Proxy-Connection: close\r\nTE: gzip, trailers\r\nUpgrade: h2c\r\n\
                 Cookie: a=1; b=2\r\nX-Twice: 1\r\nX-Twice: 2\r\nContent-Length: 2\r\n";
    let asked =
        keyed(&format!("POST /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n{lines}\r\nhi"));
    assert_eq!(gate.send(asked).text(), "hi");
    let asked = origin.last();
    for gone in ["connection", "x-drop", "keep-alive", "proxy-connection", "upgrade", "x-api-key"] {
        assert!(asked.values(gone).is_empty(), "{gone}");
    }
    assert_eq!(asked.values("te"), ["trailers"]);
    assert_eq!(asked.values("cookie"), ["a=1; b=2"]);
    assert_eq!(asked.values("x-twice"), ["1", "2"]);
    assert_eq!(asked.values("content-length"), ["2"]);
    assert_eq!(asked.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(asked.values("x-forwarded-proto"), ["http"]);
}

#[test]
fn what_may_be_a_credential_stands_in_no_table_that_requests_share() {
    let origin = FrameOrigin::scripted(|link| {
        link.settle(&[]);
        link.serve();
    });
    let config = "[plugins.key-auth]\nsources = [\"header:X-API-Key\", \"header:X-Other\"]\n\
                  keys = [\"K1\"]\n[locations.all]\npath = \"/\"\nupstream = \"rec\"\n\
                  plugins = [\"key-auth\"]\n";
    let gate = gate(origin.address, "", &keyed(config));
    // How long the head is when the same comes again.
    let again = |field: &str| {
        let head = format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n{field}\r\n");
        for _ in 0..2 {
            assert_eq!(gate.send(keyed(&head)).status, 200);
        }
        let frames = origin.frames();
        let last = frames.iter().rfind(|(_, frame)| frame.kind == HEADERS);
        last.map_or(0, |(_, frame)| frame.payload.len())
    };
    let value = "0123456789".repeat(10);
    let without = again("");
    let takes_less = |name: &str| again(&format!("{name}: {value}\r\n")) < without + 20;
    for name in ["X-Other", "Cookie", "Authorization"] {
        assert!(!takes_less(name), "{name}");
    }
    assert!(takes_less("X-Plain"));
}

/// A request whose body comes in chunks, with these trailers.
fn chunked(trailers: &str) -> String {
    keyed(&format!(
        "POST /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\nConnection: te\r\nTE: trailers\r\n\
         Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{trailers}\r\n"
    ))
}

#[test]
fn trailers_pass_both_ways_but_for_those_that_must_not_come_last() {
    let answer = |_: &_| {
        let head = Response::builder().header("trailer", "x-sum, grpc-status, set-cookie");
        let mut trailers = HeaderMap::new();
        for (name, value) in [("x-sum", "2"), ("grpc-status", "0"), ("set-cookie", "a=b")] {
            trailers.insert(name, HeaderValue::from_static(value));
        }
        (head.body(()).expect("a head"), b"hi".to_vec(), trailers)
    };
    let origin = Http2Origin::answering(answer);
    let gate = before(origin.address, "");
    let answer = gate.send(chunked("X-Sum: 1\r\nX-API-Key: K1\r\nCookie: a=b\r\n"));
    let passed = [("x-sum", "2"), ("grpc-status", "0")];
    let passed = passed.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!((answer.text(), answer.trailers), ("hi".to_owned(), passed.to_vec()));
    let trailers = origin.last().trailers;
    assert_eq!(trailers.len(), 1, "{trailers:?}");
    assert_eq!(trailers["x-sum"], "1");
}

#[test]
fn large_bodies_pass_both_ways() {
    let origin = Http2Origin::echo();
    let gate = before(origin.address, "");
    let body: String = (0..500_000).map(|number| format!("{number:06} ")).collect();
    let answer = gate.send(post(&body));
    assert!(answer.complete && answer.text() == body);
    assert!(origin.last().body == body.as_bytes());
}

#[test]
fn a_body_that_breaks_off_is_no_whole_one_upstream() {
    let origin = Http2Origin::echo();
    let gate = before(origin.address, "");
    let start = "POST /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n";
    for rest in ["Content-Length: 5\r\n\r\nhi", "Transfer-Encoding: chunked\r\n\r\n5\r\nhi"] {
        gate.client().send(keyed(&format!("{start}{rest}"))).finish();
    }
    let bad = format!("{start}Transfer-Encoding: chunked\r\n\r\nx\r\n");
    assert_eq!(gate.send(keyed(&bad)).status, 400);
    assert_eq!(gate.send(request("GET /x")).status, 200);
    assert_eq!((origin.count(), origin.connections()), (1, 1));
}

#[test]
fn a_response_without_a_body_has_none() {
    let mut failures = Failures::new();
    for (status, method, length) in [
        (204, "GET", ""),
        (304, "GET", "5"),
        (200, "HEAD", "5"),
        (200, "HEAD", ""),
        (200, "GET", "0"),
    ] {
        let origin = Http2Origin::answering(move |_| {
            let mut head = Response::builder().status(status);
            if !length.is_empty() {
                head = head.header("content-length", length);
            }
            (head.body(()).expect("a head"), Vec::new(), HeaderMap::new())
        });
        let gate = before(origin.address, "");
        let mut client = gate.client();
        for _ in 0..2 {
            client.send(request(&format!("{method} /x")));
            let answer = match method {
                "HEAD" => client.response_to_head(),
                _ => client.response(),
            };
            let seen = (answer.status, answer.body.len());
            failures.row(seen == (status, 0), || format!("{status} {method} {length}: {seen:?}"));
        }
    }
    failures.report();
}

#[test]
fn a_websocket_finds_no_way() {
    let origin = Http2Origin::echo();
    let gate = before(origin.address, "");
    let asked = keyed(
        "GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let answer = gate.send(asked);
    assert_eq!((answer.status, &*answer.text()), (502, "Bad gateway"));
    gate.stderr.wait_for("the reason", |line| line.contains("a WebSocket cannot go"));
    assert_eq!(origin.count(), 0);
}

#[test]
fn timeouts_hold_and_leave_the_connection_to_others() {
    let origin = FrameOrigin::scripted(|link| {
        link.settle(&[]);
        let mut begun = false;
        while let Some((stream, _)) = link.request() {
            if std::mem::replace(&mut begun, true) {
                link.begin(stream);
            }
        }
    });
    let gate = before(origin.address, "response_timeout = \"500ms\"\nread_timeout = \"500ms\"");
    let answer = gate.send(request("GET /x"));
    assert_eq!((answer.status, &*answer.text()), (504, "Upstream timed out"));
    let mut client = gate.client();
    let answer = client.send(request("GET /x")).response_head();
    assert_eq!(answer.status, 200);
    assert!(client.closes_within(Duration::from_secs(5)));
    assert_eq!((origin.requests(), origin.connections()), (2, 1));
}
