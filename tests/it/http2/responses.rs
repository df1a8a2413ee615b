//! What a client of HTTP/2 is answered.

use super::{connect, keyed};
use crate::support::h2::{END_STREAM, NONE, request};
use crate::support::reference::{K1, guarded};
use crate::support::{Origin, wait_until};

#[test]
fn a_request_is_served_and_its_key_goes_no_further() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let answer = connect(&gate).ask(&keyed("GET", &[("accept", "*/*")]));
    assert_eq!((answer.status, answer.text().as_str()), (200, "/api/v1/x"));
    assert_eq!(answer.value("content-length"), "9");
    let head = origin.last().head;
    assert_eq!(head.start, "GET /api/v1/x HTTP/1.1");
    assert_eq!(head.values("host"), ["a.test"]);
    assert_eq!(head.values("x-forwarded-proto"), ["http"]);
    assert_eq!(head.values("x-forwarded-host"), ["a.test"]);
    assert_eq!(head.values("x-forwarded-for"), ["127.0.0.1"]);
    assert!(!head.has("x-api-key") && !head.has("transfer-encoding"), "{head:?}");
}

#[test]
fn what_keygate_answers_itself_is_what_it_answers_over_http_1() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    let answer = h2.ask(&request("GET", "/api/v1/x", &[]));
    assert_eq!((answer.status, answer.text().as_str()), (401, "Key missing"));
    assert_eq!(answer.value("www-authenticate"), "ApiKey realm=\"keygate\"");
    assert_eq!(answer.value("cache-control"), "no-store");
    assert_eq!(answer.value("content-length"), "11");
    for name in ["connection", "keep-alive", "transfer-encoding"] {
        assert_eq!(answer.value(name), "");
    }
    let answer = h2.ask(&request("HEAD", "/api/v1/x", &[]));
    assert_eq!((answer.status, answer.text().as_str(), answer.complete), (401, "", true));
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_call_of_grpc_is_refused_in_one_frame_of_fields() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    let fields =
        request("POST", "/api/v1/x", &[("content-type", "application/grpc"), ("te", "trailers")]);
    let stream = h2.open(NONE, &fields);
    h2.data(stream, END_STREAM, b"\0\0\0\0\0");
    let answer = h2.answer(stream);
    assert_eq!((answer.status, answer.value("grpc-status")), (200, "16"));
    assert_eq!(answer.value("grpc-message"), "Key missing");
    assert!(answer.complete && answer.body.is_empty() && answer.trailers.is_empty(), "{answer:?}");
}

#[test]
fn responses_without_a_body_have_none() {
    let origin = Origin::scripted(|exchange| {
        exchange.read_body();
        exchange.write(match exchange.request.start.split(' ').next() {
            Some("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            Some("DELETE") => "HTTP/1.1 204 No Content\r\n\r\n",
            _ => "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
        });
    });
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    for (method, status, length) in [("HEAD", 200, "1000"), ("DELETE", 204, ""), ("GET", 304, "")] {
        let answer = h2.ask(&keyed(method, &[]));
        assert_eq!((answer.status, answer.body.len(), answer.complete), (status, 0, true));
        assert_eq!(answer.value("content-length"), length, "{method}");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn hints_and_100_continue_come_before_the_response() {
    let origin = Origin::scripted(|exchange| {
        exchange.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n");
        exchange.read_body();
        exchange.reply(200, b"here");
    });
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    let fields = keyed("POST", &[("expect", "100-continue"), ("content-length", "5")]);
    let stream = h2.open(NONE, &fields);
    origin.wait_for(1);
    h2.data(stream, END_STREAM, b"hello");
    let answer = h2.answer(stream);
    assert_eq!((answer.status, answer.text().as_str()), (200, "here"));
    assert_eq!(answer.interim, [103, 100]);
    assert_eq!(origin.last().body, b"hello");
}

#[test]
fn a_client_without_a_key_is_not_told_to_continue() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    let more = [("expect", "100-continue"), ("content-length", "5")];
    let stream = h2.open(NONE, &request("POST", "/api/v1/x", &more));
    let answer = h2.answer(stream);
    assert_eq!((answer.status, answer.interim.len()), (401, 0));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_response_that_breaks_off_is_no_whole_one() {
    let origin = Origin::scripted(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        exchange.close();
    });
    let gate = guarded(&origin);
    let answer = connect(&gate).ask(&keyed("GET", &[]));
    const INTERNAL_ERROR: u32 = 2;
    assert_eq!((answer.status, answer.complete), (200, false));
    assert_eq!((answer.text().as_str(), answer.error), ("hello", Some(INTERNAL_ERROR)));
}

#[test]
fn many_streams_share_a_connection() {
    let origin = Origin::scripted(|exchange| {
        exchange.read_body();
        let target = exchange.request.second_word().to_owned();
        exchange.reply(200, target.as_bytes());
    });
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    let targets: Vec<_> = (0..100).map(|number| format!("/public/{number}")).collect();
    for _ in 0..5 {
        let streams: Vec<_> = targets
            .iter()
            .map(|target| h2.open(END_STREAM, &request("GET", target, &[])))
            .collect();
        let answers = h2.answers(&streams);
        let bodies: Vec<_> = answers.iter().map(|answer| answer.text()).collect();
        assert_eq!(bodies, targets);
    }
    assert_eq!(origin.count(), 500);
}

/// The gate logs all it can, and fails its test if a key comes out.
#[test]
fn no_log_tells_the_key_in_what_cannot_be_read() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let path = format!("/q/x?api_key={K1} ");
    let authority = format!("{K1} .test");
    for (name, value) in [(":path", &path), (":authority", &authority), (":scheme", &authority)] {
        let mut fields = request("GET", "/q/x", &[]);
        let field = fields.iter_mut().find(|(known, _)| *known == name);
        field.expect("it is there").1 = value;
        assert_ne!(connect(&gate).ask(&fields).status, 200);
    }
    // The crate for HTTP/2 has something to say of each.
    assert_eq!(origin.count(), 0);
}

#[test]
fn each_request_is_logged() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    h2.ask(&request("GET", "/q/x?api_key=nothing&a=b", &[]));
    h2.ask(&[(":method", "CONNECT"), (":authority", "a.test:80")]);
    for line in ["GET /q/x?api_key=***&a=b 401", "CONNECT", "405"] {
        wait_until("the line is written", || gate.output().contains(line));
    }
}
