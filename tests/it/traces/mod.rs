//! Traces: each request is a span that a collector gets, and a link between who sent it and the
//! origin.

pub(crate) mod collector;
mod delivery;
mod privacy;
mod sampling;

use std::process::Command;

use serde_json::{Value, json};

use self::collector::{Collector, Span};
use crate::metrics::{keys_file, with_keys_file_and};
use crate::support::reference::{guarded, keyed, plugged, reference};
use crate::support::{Gate, Origin, Signal, run, wait_until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A request with these fields, where `K1` stands for a key.
fn get(path: &str, fields: &str) -> String {
    keyed(&format!("GET {path} HTTP/1.1\r\nHost: a.test:81\r\n{fields}\r\n"))
}

/// A field that says which trace a request is part of, with these flags.
fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\n")
}

#[test]
fn a_request_is_a_span_between_its_sender_and_the_origin() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = collector.gate(&(reference(&origin) + "[log]\nformat = \"json\"\n"));
    let fields = "X-API-Key: K1\r\nUser-Agent: tester/1\r\ntracestate: a=1,b=2\r\n";
    let request = get("/api/v1/one?a=1", &(fields.to_owned() + &traceparent("01")));
    assert_eq!(gate.send(request).status, 200);
    let (server, client) = collector.of("/api/v1/one");
    let client = client.expect("the origin was asked");
    let head = origin.last().head;
    let id = client.field("id");
    assert_eq!(head.value("traceparent"), Some(&*format!("00-{TRACE}-{id}-01")));
    assert_eq!(head.value("tracestate"), Some("a=1,b=2"));
    let told = |span: &Span| {
        let fields = ["trace", "parent", "name", "kind", "status"];
        fields.map(|name| span.0[name].clone()).to_vec()
    };
    let (kinds, none) = (["SPAN_KIND_SERVER", "SPAN_KIND_CLIENT"], 0);
    let expected = json!([TRACE, PARENT, "GET hdr", kinds[0], none]);
    assert_eq!(json!(told(&server)), expected);
    let expected = json!([TRACE, server.field("id"), "GET", kinds[1], none]);
    assert_eq!(json!(told(&client)), expected);
    assert_eq!([&server.0["flags"], &client.0["flags"]], [0x301, 0x101], "whose parent is where");
    assert!(client.length() > 0 && client.length() <= server.length());
    let request_id = head.value("x-request-id");
    let attributes = json!({
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/api/v1/one",
        "network.protocol.version": "1.1",
        "server.address": "a.test",
        "server.port": 81,
        "client.address": "127.0.0.1",
        "user_agent.original": "tester/1",
        "http.response.status_code": 200,
        "http.route": "hdr",
        "keygate.result": "allowed",
        "keygate.request_id": request_id,
    });
    assert_eq!(server.0["attributes"], attributes);
    let attributes = json!({
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": origin.address.port(),
        "keygate.upstream": "rec",
        "http.response.status_code": 200,
    });
    assert_eq!(client.0["attributes"], attributes);
    let line = gate.stdout.wait_for("the request", |line| line.contains("/api/v1/one"));
    let line: Value = serde_json::from_str(&line).expect("it is JSON");
    assert_eq!(line["trace_id"], TRACE);
}

#[test]
fn what_says_no_trace_begins_one() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = collector.gate(&reference(&origin));
    let twice = traceparent("01") + &traceparent("01");
    for (path, fields) in [
        ("/public/none", ""),
        ("/public/state", "tracestate: a=1\r\n"),
        ("/public/malformed", "traceparent: 00-1-2-01\r\ntracestate: a=1\r\n"),
        ("/public/twice", &twice),
    ] {
        assert_eq!(gate.send(get(path, fields)).status, 200);
        let (server, client) = collector.of(path);
        let client = client.expect("the origin was asked");
        let (trace, id) = (server.field("trace"), client.field("id"));
        assert!(trace.len() == 32 && trace != TRACE && id.len() == 16, "{server:?} {client:?}");
        assert_eq!((server.field("parent"), client.field("trace")), ("", trace));
        let head = origin.last().head;
        assert_eq!(head.values("traceparent"), [format!("00-{trace}-{id}-01")], "{path}");
        assert!(!head.has("tracestate"), "{path}");
    }
}

#[test]
fn a_client_cannot_have_the_link_removed() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = collector.gate(&reference(&origin));
    let fields = "Connection: keep-alive, TraceParent, x-other\r\nx-other: 1\r\n";
    assert_eq!(gate.send(get("/public/x", fields)).status, 200);
    let head = origin.last().head;
    assert!(head.has("traceparent") && !head.has("x-other"));
}

#[test]
fn an_operator_can_keep_the_link_from_an_upstream() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let tables = "[plugins.request-headers]\nremove = [\"traceparent\", \"tracestate\"]\n";
    let gate = collector.gate(&plugged(&origin, &["request-headers"], tables));
    for fields in ["", &traceparent("01")] {
        assert_eq!(gate.send(get("/x", fields)).status, 200);
        assert!(!origin.last().head.has("traceparent"), "{fields}");
    }
    assert_eq!(collector.spans(4).len(), 4);
}

/// Requests that are refused, or fail: the status, what came of them, and the location.
const ENDS: [(&str, &str, u64, &str, &str); 7] = [
    ("/api/v1/missing", "", 401, "missing_api_key", "hdr"),
    ("/api/v1/wrong", "X-API-Key: wrong\r\n", 401, "invalid_api_key", "hdr"),
    ("/admin/other", "X-API-Key: K1\r\n", 401, "invalid_api_key", "admin"),
    ("/nowhere", "", 404, "not_found", ""),
    ("/public/%2e%2e/q/way", "", 400, "bad_request", ""),
    ("/public/down", "", 502, "bad_gateway", "open"),
    ("/public/500", "", 500, "allowed", "open"),
];

#[test]
fn every_end_of_a_request_is_told() {
    let origin = Origin::scripted(|exchange| match exchange.request.second_word() {
        "/public/500" => exchange.reply(500, b""),
        _ => exchange.close(),
    });
    let collector = Collector::taking();
    let gate = collector.gate(&reference(&origin));
    for (path, fields, status, result, route) in ENDS {
        assert_eq!(u64::from(gate.send(get(path, fields)).status), status, "{path}");
        let (server, client) = collector.of(path);
        let told = (server.number("http.response.status_code"), server.text("keygate.result"));
        assert_eq!((told, server.text("http.route")), ((Some(status), result), route), "{path}");
        assert_eq!(client.is_some(), status >= 500, "{path}");
        let error = match status {
            500 => "500",
            502 => result,
            _ => "",
        };
        let code = if error.is_empty() { 0 } else { 2 };
        for span in [Some(server), client].into_iter().flatten() {
            assert_eq!((span.text("error.type"), &span.0["status"]), (error, &json!(code)));
        }
    }
    gate.send("\u{1}\r\n\r\n");
    let spans = collector.spans(ENDS.len() + 3);
    let unread = spans.iter().find(|span| span.field("name") == "HTTP").expect("it is a span");
    assert_eq!(unread.text("http.request.method"), "_OTHER");
    assert!(unread.text("url.path").is_empty(), "{unread:?}");
}

#[test]
fn a_key_is_told_by_its_public_name() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let env =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let gate = with_keys_file_and(&origin, &keys_file(1), "", &env);
    assert_eq!(gate.send(get("/x", "X-API-Key: K1\r\n")).status, 200);
    let (server, _) = collector.of("/x");
    let names = (server.text("keygate.consumer"), server.text("keygate.key_id"));
    assert_eq!(names, ("team-0", "key-0"));
}

#[test]
fn a_request_over_http2_is_a_span_as_well() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = collector.gate(&reference(&origin));
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--http2-prior-knowledge", "--header"]);
    let url = format!("http://{}/public/h2?a=1", gate.address);
    let output = curl.args([traceparent("01").trim(), &url]).output().expect("curl is there");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/public/h2?a=1");
    let (server, client) = collector.of("/public/h2");
    assert_eq!((server.field("trace"), server.field("parent")), (TRACE, PARENT));
    assert_eq!(server.text("network.protocol.version"), "2");
    assert_eq!(server.text("server.address"), "127.0.0.1");
    let id = client.expect("the origin was asked").field("id").to_owned();
    let head = origin.last().head;
    assert_eq!(head.value("traceparent"), Some(&*format!("00-{TRACE}-{id}-01")));
}

#[test]
fn a_span_ends_with_the_stream() {
    let go = Signal::new();
    let step = go.clone();
    let origin = Origin::scripted(move |exchange| {
        if exchange.request.second_word() == "/public/other" {
            return exchange.reply(200, b"");
        }
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        exchange.chunk(b"first");
        step.wait();
        exchange.write("0\r\n\r\n");
    });
    let collector = Collector::taking();
    let gate = collector.gate(&reference(&origin));
    let mut client = gate.client();
    let mut response = client.send(get("/public/stream", "")).response_head();
    assert!(client.chunk(&mut response));
    // What ended meanwhile is told; this is not.
    assert_eq!(gate.send(get("/public/other", "")).status, 200);
    assert_eq!(collector.spans(2).len(), 2);
    let (other, _) = collector.of("/public/other");
    go.give();
    assert!(!client.chunk(&mut response) && response.complete);
    let (stream, upstream) = collector.of("/public/stream");
    let end = |span: &Span| span.0["end"].as_u64().expect("a time is a number");
    assert!(end(&stream) > end(&other) && stream.length() > other.length());
    assert!(end(&upstream.expect("the origin was asked")) > end(&other));
}

#[test]
fn a_tunnel_is_one_span() {
    let origin = Origin::scripted(|exchange| {
        exchange.write(crate::websocket::SWITCHING);
        let bytes = exchange.bytes(5);
        exchange.write(&bytes);
        exchange.close();
    });
    let collector = Collector::taking();
    let gate = collector.gate(&reference(&origin));
    let mut client = gate.client();
    client.send(get("/public/ws", crate::websocket::HANDSHAKE));
    assert_eq!(client.response_head().status, 101);
    assert_eq!(client.send("hello").bytes(5), b"hello");
    drop(client);
    let (server, _) = collector.of("/public/ws");
    assert_eq!(server.number("http.response.status_code"), Some(101));
}

/// Variables with which nothing is traced.
const OFF: [(&str, &str); 4] = [
    ("OTEL_SDK_DISABLED", "true"),
    ("OTEL_TRACES_EXPORTER", "none"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "nonsense"),
];

#[test]
fn where_nothing_is_traced_the_fields_pass_as_they_came() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let fields = "traceparent: 00-x\r\ntracestate: a=1\r\n";
    let passes = |gate: &Gate| {
        assert_eq!(gate.send(get("/public/x", fields)).status, 200);
        let head = origin.last().head;
        assert_eq!(head.value("traceparent"), Some("00-x"));
        assert_eq!(head.value("tracestate"), Some("a=1"));
        assert_eq!(gate.send(get("/public/x", "")).status, 200);
        assert!(!origin.last().head.has("traceparent"));
    };
    passes(&guarded(&origin));
    for off in OFF {
        let gate = collector.gate_with(&reference(&origin), &[off]);
        passes(&gate);
        let warns = off.0.contains("OTLP");
        assert_eq!(gate.stderr.text().contains(off.0), warns, "{off:?}");
        assert!(!gate.stderr.text().contains("sending traces"), "{off:?}");
    }
    assert_eq!(collector.origin().count(), 0);
}

#[test]
fn a_check_tells_what_is_wrong_with_the_variables() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let config = plugged(&Origin::echo(), &[], "");
    std::fs::write(folder.path().join("keygate.toml"), config).expect("the folder can be written");
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    let check = ["check", "--config", "keygate.toml"];
    let output = run(&check, folder.path(), &env);
    let warns = output.stdout.contains("warning: OTEL_EXPORTER_OTLP_PROTOCOL asks for");
    assert!(output.code == Some(0) && warns, "{output:?}");
    assert!(!run(&check, folder.path(), &env[..1]).stdout.contains("OTEL"));
}

#[test]
fn wrong_values_are_told_and_stop_nothing() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let wrong = [
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=edge,nonsense"),
    ];
    let gate = collector.gate_with(&reference(&origin), &wrong);
    for (name, value) in wrong {
        let line = gate.stderr.wait_for(name, |line| line.contains("WARN") && line.contains(name));
        assert!(!line.contains(value), "{line}");
    }
    assert_eq!(gate.send(get("/public/x", "")).status, 200);
    wait_until("spans come", || !collector.requests().is_empty());
    let told = &collector::decode(&collector.requests())[0];
    assert_eq!(told["resource"]["service.name"], "edge");
    assert_eq!(told["scope"], json!(["keygate", env!("CARGO_PKG_VERSION")]));
}
