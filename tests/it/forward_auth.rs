//! Locations without an upstream: what a proxy that asks is told, and who is believed.
//! `examples/forward_auth.rs` has the real proxies.

use crate::key_records::{key, record};
use crate::support::{Gate, Response, run};

/// Locations for each kind of proxy, a public one, and one that belongs to nobody.
const CONFIG: &str = r#"
[plugins.key-auth]
sources = ["header:X-Api-Key", "query:api_key"]
keys = ["a-key-without-a-name-4711"]
keys_file = "keys.toml"
hide_credentials = true
[locations.nginx]
path = "=/nginx"
forward_auth = "nginx"
plugins = ["key-auth"]
[locations.traefik]
path = "=/traefik"
forward_auth = "traefik"
plugins = ["key-auth"]
[locations.envoy]
path = "/envoy/"
forward_auth = "envoy"
plugins = ["key-auth"]
[locations.plain]
path = "=/plain"
plugins = ["key-auth"]
[locations.open]
path = "=/open"
forward_auth = "envoy"
public = true
"#;

const TRUSTING: &str = "[server]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n";

/// The records of `reader`, who may only read, and of `once`, who may ask once an hour.
fn records() -> String {
    record("reader", "consumer = \"anna\"\nmethods = [\"GET\"]")
        + &record("once", "limits = { rate = \"1/1h\" }")
}

fn gate() -> Gate {
    let files = [("a.toml", CONFIG), ("server.toml", TRUSTING), ("keys.toml", &records())];
    let mut gate = Gate::with(&files);
    gate.secret(key("reader"));
    gate.secret(key("once"));
    gate
}

/// Asks for these lines, a request line and fields.
fn ask(gate: &Gate, lines: &str) -> Response {
    let lines = lines.replace("READER", &key("reader")).replace("ONCE", &key("once"));
    gate.send(lines.replace('\n', "\r\n") + "\r\nHost: api.test\r\n\r\n")
}

#[track_caller]
fn names(response: &Response) -> [Option<&str>; 2] {
    ["x-consumer-username", "x-credential-identifier"].map(|name| response.head.value(name))
}

#[test]
fn whoever_has_a_key_gets_leave_and_is_named() {
    let gate = gate();
    let original = "X-Original-Method: GET\nX-Original-URI: /v1/users";
    let forwarded = "X-Forwarded-Method: GET\nX-Forwarded-Uri: /v1/users?api_key=READER";
    for (lines, status) in [
        (format!("GET /nginx HTTP/1.1\nX-Api-Key: READER\n{original}"), 204),
        (format!("GET /traefik HTTP/1.1\n{forwarded}"), 204),
        ("GET /envoy/v1/users?api_key=READER HTTP/1.1".to_owned(), 200),
        ("GET /plain HTTP/1.1\nX-Api-Key: READER".to_owned(), 204),
    ] {
        let spoofed = "X-Consumer-Username: bob\nX_Credential_Identifier: bob";
        let response = ask(&gate, &format!("{lines}\n{spoofed}"));
        assert_eq!(response.status, status, "{lines}");
        assert_eq!(names(&response), [Some("anna"), Some("reader")], "{lines}");
        assert_eq!(response.body, b"", "{lines}");
        assert_eq!(response.head.value("cache-control"), Some("no-store"), "{lines}");
    }
}

#[test]
fn who_has_no_name_gets_empty_ones_so_that_the_clients_own_go() {
    let gate = gate();
    for lines in [
        "GET /envoy/ HTTP/1.1\nX-Api-Key: a-key-without-a-name-4711",
        "GET /open HTTP/1.1\nX-Consumer-Username: bob",
    ] {
        let response = ask(&gate, lines);
        assert_eq!((response.status, names(&response)), (200, [Some(""), Some("")]), "{lines}");
    }
}

#[test]
fn what_is_judged_is_what_the_proxy_was_asked() {
    let gate = gate();
    let nginx = |method: &str, uri: &str| {
        let said = format!("X-Original-Method: {method}\nX-Original-URI: {uri}");
        ask(&gate, &format!("GET /nginx HTTP/1.1\nX-Api-Key: READER\n{said}")).status
    };
    assert_eq!(nginx("GET", "/v1"), 204);
    assert_eq!(nginx("POST", "/v1"), 403);
    assert_eq!(nginx("GET /", "/v1"), 400);
    assert_eq!(nginx("TRACE", "/v1"), 405);
    assert_eq!(nginx("GET", "v1"), 400);
    // Its own key does not count for the request that it asks about.
    let own = "GET /nginx?api_key=READER HTTP/1.1\nX-Original-Method: GET\nX-Original-URI: /";
    assert_eq!(ask(&gate, own).status, 401);
    ask(&gate, "GET /nginx HTTP/1.1\nX-Original-Method: GET\nX-Original-URI: /v1?api_key=READER");
    crate::support::wait_until("the log names the path that was asked for", || {
        gate.output().contains(" GET /v1?api_key=*** 204 ")
    });
}

#[test]
fn who_does_not_say_what_was_asked_or_is_not_trusted_is_refused() {
    let trusting = gate();
    let wary = Gate::with(&[
        ("a.toml", CONFIG),
        ("server.toml", &TRUSTING.replace("127.0.0.1\"]", "192.0.2.1\"]")),
        ("keys.toml", &records()),
    ]);
    let original = "X-Original-Method: GET\nX-Original-URI: /";
    let forwarded = "X-Forwarded-Method: GET\nX-Forwarded-Uri: /";
    for (path, said, other) in [("/nginx", original, forwarded), ("/traefik", forwarded, original)]
    {
        let line = format!("GET {path} HTTP/1.1\nX-Api-Key: READER");
        assert_eq!(ask(&trusting, &format!("{line}\n{said}")).status, 204);
        assert_eq!(ask(&trusting, &format!("{line}\n{other}")).status, 400);
        assert_eq!(ask(&trusting, &line).status, 400);
        assert_eq!(ask(&trusting, &format!("{line}\n{said}\n{said}")).status, 400);
        assert_eq!(ask(&wary, &format!("{line}\n{said}")).status, 400);
    }
}

#[test]
fn no_refusal_looks_like_leave_to_a_proxy() {
    let gate = gate();
    for grpc in ["", "\nContent-Type: application/grpc", "\ncontent-type: Application/gRPC+proto"] {
        for (lines, status) in [
            ("POST /envoy/v1 HTTP/1.1", 401),
            ("POST /envoy/v1 HTTP/1.1\nX-Api-Key: wrong", 401),
            ("POST /envoy/v1 HTTP/1.1\nX-Api-Key: READER", 403),
            ("POST /nowhere HTTP/1.1\nX-Api-Key: READER", 404),
            ("POST /envoy/%2e%2e/open HTTP/1.1\nX-Api-Key: READER", 400),
            ("POST /nginx HTTP/1.1\nX-Api-Key: READER", 400),
            ("TRACE /envoy/ HTTP/1.1\nX-Api-Key: READER", 405),
            ("OPTIONS /envoy/ HTTP/1.1\nOrigin: a\nAccess-Control-Request-Method: GET", 401),
        ] {
            assert_eq!(ask(&gate, &format!("{lines}{grpc}")).status, status, "{lines}{grpc}");
        }
    }
    assert_eq!(ask(&gate, "GET /envoy/ HTTP/1.1\nX-Api-Key: ONCE").status, 200);
    let limited = ask(&gate, "GET /envoy/ HTTP/1.1\nX-Api-Key: ONCE");
    assert_eq!(limited.status, 429);
    assert!(limited.head.has("retry-after") && limited.head.has("ratelimit"));
}

#[test]
fn explain_and_check_say_that_nothing_is_forwarded() {
    let gate = gate();
    let told = run(&["explain", "GET", "/open", "-H", "Host: a"], gate.folder(), &[]);
    assert!(told.stdout.contains("answered  200"), "{told:?}");
    assert!(told.stdout.contains("there is no upstream"), "{told:?}");
    let table = run(&["check"], gate.folder(), &[]).stdout;
    assert!(table.contains("none: a verdict"), "{table}");
    assert!(table.contains("location `plain` has no upstream"), "{table}");
    assert!(!table.contains("location `nginx` has no upstream"), "{table}");
}
