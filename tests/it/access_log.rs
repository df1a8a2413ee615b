//! One line for each request, with everything but the credential.

use serde_json::Value;

use crate::support::reference::{K1, guarded, keyed, reference, upstream};
use crate::support::{Gate, Origin, Place};

/// What a client gave as a key and nobody may ever read.
const CANARY: &str = "canary-7d3f0a";

fn line_with(gate: &Gate, text: &str) -> String {
    gate.stdout.wait_for(text, |line| line.contains(text))
}

#[test]
fn a_line_tells_what_happened() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let response =
        gate.send(keyed("GET /api/v1/some?a=1 HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n"));
    assert_eq!(response.status, 200);
    let line = line_with(&gate, "/api/v1/some");
    let id = origin.last().head.value("x-request-id").unwrap_or_default().to_owned();
    let length = response.body.len().to_string();
    for part in ["127.0.0.1", "GET", "/api/v1/some?a=1", "200", "hdr", &id, &length] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert_eq!(gate.stdout.lines().len(), 1);
}

/// The line of one request, read as JSON.
fn json_line(gate: &Gate, text: &str) -> Value {
    serde_json::from_str(&line_with(gate, text)).expect("every line is one JSON object")
}

fn logging_json(origin: &Origin) -> Gate {
    Gate::on(&(reference(origin) + "[log]\nformat = \"json\"\n"))
}

#[test]
fn a_line_of_json_has_every_field() {
    let origin = Origin::echo();
    let gate = logging_json(&origin);
    gate.send(keyed("GET /api/v1/some HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n"));
    let line = json_line(&gate, "/api/v1/some");
    let expected: [(&str, Value); 6] = [
        ("client", "127.0.0.1".into()),
        ("method", "GET".into()),
        ("path", "/api/v1/some".into()),
        ("status", 200.into()),
        ("bytes", 12.into()),
        ("location", "hdr".into()),
    ];
    for (name, value) in expected {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    let id = origin.last().head.value("x-request-id").unwrap_or_default().to_owned();
    assert_eq!(line["request_id"], id.as_str(), "{line}");
    let numbers = line.as_object().into_iter().flatten().filter(|(_, value)| value.is_f64());
    assert!(line["time"].is_string(), "{line}");
    assert!(numbers.count() >= 2 || line.to_string().contains("ms"), "no durations in {line}");
}

/// Requests that end in every way, and the status of each.
const ENDINGS: [(&str, u64); 6] = [
    ("GET /api/v1/missing HTTP/1.1\r\nHost: a.test\r\n\r\n", 401),
    ("GET /api/v1/wrong HTTP/1.1\r\nHost: a.test\r\nX-API-Key: canary-7d3f0a\r\n\r\n", 401),
    ("GET /nowhere HTTP/1.1\r\nHost: a.test\r\n\r\n", 404),
    ("GET /public/fine HTTP/1.1\r\nHost: a.test\r\n\r\n", 200),
    ("TRACE /public/traced HTTP/1.1\r\nHost: a.test\r\n\r\n", 405),
    ("GET /public/%2e%2e/q/way HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
];

#[test]
fn every_ending_has_its_line() {
    let origin = Origin::echo();
    let gate = logging_json(&origin);
    for (request, status) in ENDINGS {
        gate.send(request);
        let target = request.split(' ').nth(1).unwrap_or_default();
        assert_eq!(json_line(&gate, target)["status"], status, "{request}");
    }
    assert_eq!(gate.stdout.lines().len(), ENDINGS.len());
}

/// Requests with a key in every place that some configuration asks for, right and wrong.
fn with_keys_everywhere(gate: &Gate) {
    for key in [K1, CANARY] {
        let mut client = gate.client();
        for request in [
            format!("GET /q/x?a=1&api_key={key}&b=2 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            format!("GET /q/x?api%5Fkey={key} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            format!("GET /q/x?api_key={key}&api_key={key} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            format!("GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n"),
            format!("GET /api/v1/x?api_key={key} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            format!("GET /public/x?api_key={key} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            format!("GET /nowhere?api_key={key} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            format!("GET /public/..%2fq/x?api_key={key} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            format!("GET /public/x HTTP/1.1\r\nHost: a.test\r\nReferer: /q/?api_key={key}\r\n\r\n"),
            format!("GET /admin/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n"),
        ] {
            client.send(request).response_head();
            client = gate.client();
        }
        client.send(format!("GET /q/x?api_key={key} HTTP/1.1\r\nHost: b, c\r\n\r\n")).rest();
        gate.client()
            .send(format!("TRACE /q/x?api_key={key} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .response_head();
    }
}

#[test]
fn no_output_ever_holds_a_key() {
    let origin = Origin::echo();
    for (format, level) in [("text", "info"), ("json", "trace"), ("text", "trace")] {
        let server = "[server]\nlisten = \"127.0.0.1:0\"\n";
        let config = format!("{}[log]\nformat = \"{format}\"\n", reference(&origin));
        let files = [("keygate.toml", config.as_str()), ("server.toml", server)];
        let mut gate = Gate::launch(&files, &["--config", "config"], &[("KEYGATE_LOG", level)]);
        // The origin repeats what is no credential where it was sent.
        gate.shows(&[Place::Answers]);
        gate.secret(CANARY);
        with_keys_everywhere(&gate);
        gate.signal("HUP");
        gate.send("GET /public/last HTTP/1.1\r\nHost: a.test\r\n\r\n");
        line_with(&gate, "/public/last");
        if level == "trace" {
            // What only this level says is said.
            gate.client().send(keyed("GET /api/v1/x HTTP/1.1\r\nX-API-Key: K1\r\n"));
            gate.stderr.wait_for("level DEBUG", |line| line.contains("DEBUG"));
        }
        let leak = gate.leak();
        assert!(leak.is_none(), "{format}, {level}: {}", leak.unwrap_or_default());
    }
}

#[test]
fn a_bad_upstream_tells_its_address_to_the_log_and_no_key() {
    let dead = Origin::echo();
    let config = reference(&dead);
    drop(dead);
    let gate = Gate::on(&config);
    let response = gate.send(keyed("GET /q/x?api_key=K1 HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    assert_eq!(response.status, 502);
    gate.stderr.wait_for("the upstream's name", |line| line.contains("rec"));
    line_with(&gate, "502");
    assert!(!gate.output().contains(K1), "{}", gate.output());
}

#[test]
fn the_path_keeps_everything_but_the_credential() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    gate.send(keyed("GET /q/%7Ex?b=%31&api_key=K1&c HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    let line = line_with(&gate, "/q/%7Ex");
    assert!(line.contains("b=%31") && line.contains("&c") && !line.contains("k1_"), "{line}");
}

#[test]
fn nothing_that_a_client_sends_starts_a_new_line() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    gate.send(
        "GET /public/a%0d%0ab?c=%0a HTTP/1.1\r\nHost: a.test\r\nUser-Agent: \x1b[31m\"\\\r\n\r\n",
    );
    gate.send("GET /public/\"x\\ HTTP/1.1\r\nHost: a.test\r\n\r\n");
    gate.send("GET /public/end HTTP/1.1\r\nHost: a.test\r\n\r\n");
    line_with(&gate, "/public/end");
    assert!(gate.stdout.lines().len() <= 3, "{}", gate.stdout.text());
    assert!(!gate.stdout.text().contains('\x1b'), "{}", gate.stdout.text());
}

#[test]
fn a_line_holds_printable_ascii_only_whatever_a_target_holds() {
    let origin = Origin::echo();
    // A new line and a command to the terminal for those who know them (NEL, LS, CSI).
    let request = "GET /public/\u{85}forged\u{2028}line\u{9b}31m HTTP/1.1\r\nHost: a\r\n\r\n";
    for gate in [guarded(&origin), logging_json(&origin)] {
        assert_eq!(gate.send(request).status, 400);
        assert_eq!(gate.send("GET /public/end HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
        line_with(&gate, "/public/end");
        let line = line_with(&gate, "forged");
        let printable = line.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        assert!(printable && line.contains("%C2%85forged%E2%80%A8line%C2%9B31m"), "{line:?}");
    }
}

#[test]
fn the_log_can_be_off() {
    let origin = Origin::echo();
    let gate = Gate::on(&(reference(&origin) + "[log]\naccess = false\n"));
    for _ in 0..3 {
        assert_eq!(gate.send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n").status, 200);
    }
    gate.signal("TERM");
    assert!(gate.ends_within(crate::support::DEADLINE).is_some());
    assert_eq!(gate.stdout.text(), "");
}

#[test]
fn a_switched_connection_and_one_that_was_left_have_their_lines() {
    let origin = Origin::scripted(|exchange| {
        if exchange.request.has("upgrade") {
            exchange.write("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        }
        exchange.ends_within(crate::support::DEADLINE);
        exchange.close();
    });
    let gate = logging_json(&origin);
    let mut client = gate.client();
    let switched = client.send(
        "GET /public/switched HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(switched.response().status, 101);
    drop(client);
    assert_eq!(json_line(&gate, "/public/switched")["status"], 101);
    let mut client = gate.client();
    client.send("GET /public/left HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_for(2);
    drop(client);
    json_line(&gate, "/public/left");
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A request that says which trace it is part of.
fn traced(path: &str, more: &str) -> String {
    let parent = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\ntracestate: a=1,b=2\r\n");
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{parent}{more}\r\n")
}

#[test]
fn the_trace_of_a_request_is_told_and_passed_on() {
    let origin = Origin::echo();
    let gate = logging_json(&origin);
    assert_eq!(gate.send(traced("/public/one", "")).status, 200);
    assert_eq!(json_line(&gate, "/public/one")["trace_id"], TRACE);
    let head = origin.last().head;
    assert_eq!(head.value("traceparent"), Some(&*format!("00-{TRACE}-00f067aa0ba902b7-01")));
    assert_eq!(head.value("tracestate"), Some("a=1,b=2"));
    // What keygate answers itself is part of it too.
    assert_eq!(gate.send(traced("/api/v1/two", "")).status, 401);
    assert_eq!(json_line(&gate, "/api/v1/two")["trace_id"], TRACE);
    assert_eq!(gate.send(traced("/public/three", "traceparent: x\r\n")).status, 200);
    assert_eq!(json_line(&gate, "/public/three")["trace_id"], Value::Null);
    let untold = "GET /public/four HTTP/1.1\r\nHost: a.test\r\ntraceparent: 00-x\r\n\r\n";
    assert_eq!(gate.send(untold).status, 200);
    assert_eq!(json_line(&gate, "/public/four")["trace_id"], Value::Null);
}

#[test]
fn a_key_that_looks_like_a_trace_is_not_told() {
    let origin = Origin::echo();
    let key = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let config = upstream(&origin)
        + &format!(
            "[log]\nformat = \"json\"\n[plugins.key-auth]\nheader = \"traceparent\"\n\
             keys = [\"{key}\"]\nhide_credentials = true\n\
             [locations.all]\npath = \"/\"\nupstream = \"rec\"\nplugins = [\"key-auth\"]\n"
        );
    let mut gate = Gate::on(&config);
    gate.secret(&key);
    assert_eq!(gate.send(traced("/five", "")).status, 200);
    assert_eq!(json_line(&gate, "/five")["trace_id"], Value::Null);
}
