//! The gate's own answers, to the byte: challenges, error bodies in every form, gRPC.

use serde_json::{Value, json};

use crate::support::reference::{guarded, one_location, reference, simple, upstream};
use crate::support::{Gate, Origin, Response};

const NO_KEY: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";
const WRONG_KEY: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: wrong-canary\r\n\r\n";

fn with_source(source: &str, more: &str) -> (Origin, Gate) {
    let origin = Origin::echo();
    let gate = Gate::on(&(upstream(&origin) + &one_location(source, more)));
    (origin, gate)
}

#[track_caller]
fn check(response: &Response, fields: &[(&str, &str)], body: &str) {
    assert_eq!(response.status, 401);
    for (name, value) in fields {
        assert_eq!(response.head.values(name), [*value], "{name}");
    }
    assert_eq!(response.text(), body);
}

#[test]
fn a_401_names_the_challenge_and_forbids_storing() {
    let origin = Origin::echo();
    let gate = simple(&origin, "");
    let fields = [
        ("WWW-Authenticate", "ApiKey realm=\"keygate\""),
        ("Cache-Control", "no-store"),
        ("Content-Type", "text/plain; charset=utf-8"),
    ];
    check(&gate.send(NO_KEY), &fields, "Key missing");
    check(&gate.send(WRONG_KEY), &fields, "Key auth fail");
}

#[test]
fn where_a_bearer_token_is_a_source_the_challenge_is_bearers() {
    for source in ["sources = [\"header:X-API-Key\", \"bearer\"]\n", "sources = [\"bearer\"]\n"] {
        let (_origin, gate) = with_source(source, "");
        let field = [("WWW-Authenticate", "Bearer realm=\"keygate\"")];
        check(&gate.send(NO_KEY), &field, "Key missing");
    }
}

#[test]
fn the_realm_is_the_operators() {
    let (_origin, gate) = with_source("header = \"X-API-Key\"\nrealm = \"the models\"\n", "");
    let field = [("WWW-Authenticate", "ApiKey realm=\"the models\"")];
    check(&gate.send(NO_KEY), &field, "Key missing");
    check(&gate.send(WRONG_KEY), &field, "Key auth fail");
}

/// What every wrong key is answered, but for the request's id and the time.
#[test]
fn wrong_keys_are_told_apart_by_nothing() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let shape = |lines: &str| {
        let response = gate.send(format!("GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"));
        let mut fields = response.head.fields.clone();
        fields.retain(|(name, _)| {
            !name.eq_ignore_ascii_case("date") && !name.eq_ignore_ascii_case("x-request-id")
        });
        (response.status, fields, response.body)
    };
    let one = shape("X-API-Key: wrong\r\n");
    let others = [
        "X-API-Key: k2_2c26b46b68ffc68ff99b453c1d304134\r\n",
        "X-API-Key: a\r\nX-API-Key: a\r\n",
        "X-API-Key: \u{e9}\r\n",
        "X-API-Key: k1_9f86d081884c7d659a2feaa0c55ad01\r\n",
    ];
    for lines in others {
        assert_eq!(shape(lines), one, "{lines}");
    }
}

/// The one JSON body that every client reads, for a request with this id.
fn body(message: &str, code: &str, id: &str) -> Value {
    let kind = "invalid_request_error";
    json!({
        "detail": message,
        "error": { "message": message, "type": kind, "param": null, "code": code },
        "request_id": id,
    })
}

#[track_caller]
fn read(response: &Response) -> Value {
    serde_json::from_slice(&response.body).expect("the body is JSON")
}

#[test]
fn errors_as_json_serve_every_client_with_one_body() {
    let (_origin, gate) = with_source("header = \"X-API-Key\"\nerrors = \"json\"\n", "");
    let rows = [
        (NO_KEY, "Key missing", "missing_api_key"),
        (WRONG_KEY, "Key auth fail", "invalid_api_key"),
    ];
    for (request, message, code) in rows {
        let response = gate.send(request);
        assert_eq!((response.status, response.value("Content-Type")), (401, "application/json"));
        let id = read(&response)["request_id"].as_str().unwrap_or_default().to_owned();
        assert!(!id.is_empty(), "{}", response.text());
        assert_eq!(read(&response), body(message, code, &id));
    }
}

#[test]
fn a_client_that_accepts_problem_json_gets_the_members_of_rfc_9457() {
    let (_origin, gate) = with_source("header = \"X-API-Key\"\nerrors = \"json\"\n", "");
    let response = gate.send(
        "GET /x HTTP/1.1\r\nHost: a.test\r\nAccept: application/problem+json, */*;q=0.1\r\n\r\n",
    );
    assert_eq!(response.value("Content-Type"), "application/problem+json");
    let got = read(&response);
    assert_eq!(got["status"], 401);
    assert!(got["type"].is_string() && got["title"].is_string(), "{got}");
    assert_eq!(
        (got["detail"].as_str(), &got["error"]["code"]),
        (Some("Key missing"), &json!("missing_api_key"))
    );
}

#[test]
fn own_messages_replace_the_sentences() {
    let table = "header = \"X-API-Key\"\n\
        errors = { format = \"text\", missing = \"Where is your key?\", invalid = \"No.\" }\n";
    let (_origin, gate) = with_source(table, "");
    check(&gate.send(NO_KEY), &[], "Where is your key?");
    check(&gate.send(WRONG_KEY), &[], "No.");
}

#[test]
fn own_messages_stand_in_the_json_body_too() {
    let table =
        "header = \"X-API-Key\"\nerrors = { format = \"json\", invalid = \"A \\\"no\\\"\" }\n";
    let (_origin, gate) = with_source(table, "");
    assert_eq!(read(&gate.send(WRONG_KEY))["error"]["message"], "A \"no\"");
    assert_eq!(read(&gate.send(NO_KEY))["detail"], "Key missing");
}

#[test]
fn grpc_clients_get_a_grpc_status() {
    let origin = Origin::echo();
    let gate = simple(&origin, "");
    for media_type in ["application/grpc", "application/grpc+proto", "Application/gRPC-Web"] {
        for (key, status) in [("", "16"), ("X-API-Key: wrong\r\n", "16")] {
            let response = gate.send(format!(
                "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Type: {media_type}\r\n\
                 Content-Length: 0\r\n{key}\r\n"
            ));
            assert_eq!((response.status, response.value("grpc-status")), (200, status));
            assert_eq!(response.value("Content-Type"), "application/grpc");
            assert_eq!(response.text(), "");
        }
    }
}

#[test]
fn errors_of_the_upstream_take_the_locations_form_too() {
    let dead = Origin::echo().address;
    let config = one_location("header = \"X-API-Key\"\nerrors = \"json\"\n", "");
    let gate = Gate::on(&format!("[upstreams.rec]\naddrs = [\"{dead}\"]\n{config}"));
    let key = crate::support::reference::K1;
    wait_for_refusal(dead);
    let response =
        gate.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n"));
    assert_eq!(response.status, 502);
    assert_eq!(read(&response)["error"]["code"], "bad_gateway");
    assert!(!response.text().contains("127.0.0.1"), "{}", response.text());
}

/// Waits until an origin that was dropped has let go of its port.
fn wait_for_refusal(address: std::net::SocketAddr) {
    crate::support::wait_until("the port is closed", || {
        std::net::TcpStream::connect(address).is_err()
    });
}

#[test]
fn a_head_request_is_refused_without_a_body() {
    let origin = Origin::echo();
    let gate = simple(&origin, "");
    let mut client = gate.client();
    let head = "HEAD /x HTTP/1.1\r\nHost: a.test\r\n\r\n";
    assert_eq!(client.send(head).response_to_head().status, 401);
    assert_eq!(client.send(NO_KEY).response().text(), "Key missing");
}

#[test]
fn no_answer_repeats_what_was_sent_or_tells_what_answers() {
    let origin = Origin::echo();
    let gate = Gate::on(&reference(&origin));
    let requests = [
        "GET /api/v1/x?canary=1 HTTP/1.1\r\nHost: a.test\r\nX-API-Key: wrong-canary\r\n\r\n",
        "GET /q/x?api_key=wrong-canary HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /nowhere-canary HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: canary, canary\r\n\r\n",
    ];
    for request in requests {
        let response = gate.send(request);
        let all = String::from_utf8_lossy(&response.head.raw).into_owned() + &response.text();
        assert!(!all.contains("canary"), "{all}");
        assert!(!all.contains(env!("CARGO_PKG_VERSION")), "{all}");
        assert!(!response.head.has("Server"), "{all}");
    }
}
