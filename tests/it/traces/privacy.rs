//! That no key is in a span, and nothing of what the collector wants to be told in a log. That the
//! keys of all tests are in no span is seen whenever a [`Collector`] is dropped.

use super::collector::Collector;
use super::{get, traceparent};
use crate::support::reference::{K1, K2, one_location, reference, upstream};
use crate::support::{Origin, Place};

/// What a collector wants to be told.
const TOKEN: &str = "tok_5b1f0c77e2a94d3cb8d6";

#[test]
fn no_key_is_in_a_span() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    // The log masks a key in parameters that may hold one; a span has none of them.
    let mut gate = collector.gate(&(reference(&origin) + "[log]\naccess = false\n"));
    // The origin repeats what is no credential where it was sent.
    gate.shows(&[Place::Answers]);
    for key in [K1, K2] {
        for (path, fields) in [
            (&*format!("/q/x?api_key={key}"), String::new()),
            (&*format!("/q/x?api%5Fkey={key}&a=1"), String::new()),
            (&*format!("/public/x?token={key}"), String::new()),
            (&*format!("/nowhere?{key}"), String::new()),
            ("/api/v1/x", format!("X-API-Key: {key}\r\n")),
            ("/api/v1/x", format!("X-API-Key: {key}\r\nX-API-Key: {key}\r\n")),
            ("/api/v1/x", format!("Authorization: Bearer {key}\r\n")),
            ("/public/x", format!("Cookie: key={key}\r\nReferer: /?api_key={key}\r\n")),
            ("/public/x", format!("tracestate: a={key}\r\n{}", traceparent("01"))),
            ("/public/x", format!("traceparent: {key}\r\nbaggage: key={key}\r\n")),
            ("/public/x", format!("X-Request-Id: {key}\r\nX-Forwarded-For: {key}\r\n")),
        ] {
            gate.send(get(path, &fields));
        }
        gate.send(format!("GET /public/x HTTP/1.1\r\nHost: {key}@a.test\r\n\r\n"));
        gate.send(format!("GET http://{key}@a.test/public/x HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    }
    gate.send(get("/public/last", ""));
    let _last = collector.of("/public/last");
    assert!(collector.spans(26).len() >= 26);
}

#[test]
fn a_field_that_carries_a_key_is_never_told() {
    for header in ["User-Agent", "traceparent", "tracestate"] {
        let (origin, collector) = (Origin::echo(), Collector::taking());
        let source = format!("header = \"{header}\"\n");
        let mut gate = collector.gate(&(upstream(&origin) + &one_location(&source, "")));
        gate.shows(&[Place::Answers]);
        for (key, status) in [(K1, 200), (K2, 401)] {
            let response = gate.send(get(&format!("/{status}"), &format!("{header}: {key}\r\n")));
            assert_eq!(response.status, status, "{header}");
            let (server, _) = collector.of(&format!("/{status}"));
            assert!(server.text("user_agent.original").is_empty(), "{header}");
        }
        let head = origin.last().head;
        let link = head.has("traceparent");
        assert_eq!(link, header == "User-Agent", "what may be a key is not written either");
    }
}

#[test]
fn what_the_collector_is_told_is_in_no_log() {
    for status in [200, 401] {
        let collector = Collector::scripted(move |exchange| exchange.reply(status, b""));
        let origin = Origin::echo();
        let headers = format!("x-token={TOKEN},authorization=Bearer%20{TOKEN},bad name={TOKEN}");
        let url = format!("{}/{TOKEN}", collector.url());
        let more =
            [("OTEL_EXPORTER_OTLP_HEADERS", &*headers), ("OTEL_EXPORTER_OTLP_ENDPOINT", &url)];
        let mut gate = collector.gate_with(&reference(&origin), &more);
        gate.secret(TOKEN);
        gate.shows(&[Place::Process]);
        assert_eq!(gate.send(get("/public/x", "")).status, 200);
        collector.origin().wait_for(1);
        let head = collector.origin().last().head;
        assert_eq!(head.value("x-token"), Some(TOKEN));
        assert_eq!(head.value("authorization"), Some(&*format!("Bearer {TOKEN}")));
        assert_eq!(head.second_word(), format!("/{TOKEN}/v1/traces"));
        gate.stderr.wait_for("the wrong header", |line| line.contains("HEADERS"));
        if status == 401 {
            gate.stderr.wait_for("the refusal", |line| line.contains("status 401"));
        }
    }
}

#[test]
fn a_long_value_is_cut() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = collector.gate(&reference(&origin));
    let path = format!("/public/{}", "x".repeat(5000));
    let agent = format!("User-Agent: {}\r\n", "y".repeat(5000));
    assert_eq!(gate.send(get(&path, &agent)).status, 200);
    let (server, _) = collector.of(&path[..1024]);
    assert_eq!(server.text("user_agent.original"), "y".repeat(1024));
}
