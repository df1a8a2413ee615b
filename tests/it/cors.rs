//! `cors`: which pages may use the API, and that no other may.

use crate::support::reference::{K1, keyed, plugged};
use crate::support::{Failures, Gate, Origin, Response};

const CORS: &str = "[plugins.cors]\n\
    allow_origins = [\"https://app.example\", \"http://localhost:5173\", \"https://[::1]:8443\"]\n\
    allow_methods = [\"GET\", \"DELETE\"]\nallow_headers = [\"X-Api-Key\", \"Content-Type\"]\n\
    expose_headers = [\"X-Request-Id\"]\nallow_credentials = true\nmax_age = \"10m\"\n\
    [plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\nhide_credentials = true\n\
    [plugins.rate-limit]\nrate = \"100/1h\"\n";

/// An origin that has an opinion of its own.
fn origin() -> Origin {
    Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: Server\r\n\
         Vary: Accept\r\n\r\nok",
    )
}

fn gate(origin: &Origin) -> Gate {
    Gate::on(&plugged(origin, &["cors", "key-auth", "rate-limit"], CORS))
}

fn ask(gate: &Gate, method: &str, fields: &str) -> Response {
    gate.send(format!("{method} /x HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"))
}

/// What an answer allows whom.
fn allowed(response: &Response) -> (Vec<&str>, &str) {
    let head = &response.head;
    (head.values("access-control-allow-origin"), response.value("access-control-allow-credentials"))
}

#[test]
fn a_preflight_is_answered_before_a_key_is_asked_for() {
    let origin = origin();
    let gate = gate(&origin);
    let fields = "Origin: https://app.example\r\nAccess-Control-Request-Method: DELETE\r\n\
                  Access-Control-Request-Headers: x-api-key\r\n";
    let mut client = gate.client();
    let request = format!("OPTIONS /x HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    for _ in 0..2 {
        let response = client.send(&request).response();
        assert_eq!((response.status, response.body.len()), (204, 0));
        assert_eq!(allowed(&response), (vec!["https://app.example"], "true"));
        assert_eq!(response.value("access-control-allow-methods"), "GET, DELETE");
        assert_eq!(response.value("access-control-allow-headers"), "x-api-key, content-type");
        assert_eq!(response.value("access-control-max-age"), "600");
        assert_eq!(response.value("vary"), "origin");
        assert!(!response.head.has("content-length") && !response.head.has("content-type"));
        assert!(!response.head.has("access-control-expose-headers"));
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn what_is_no_preflight_needs_the_key() {
    let origin = origin();
    let gate = gate(&origin);
    let asked = "Access-Control-Request-Method: GET\r\n";
    for (method, fields) in [
        ("OPTIONS", String::new()),
        ("OPTIONS", "Origin: https://app.example\r\n".into()),
        ("OPTIONS", asked.into()),
        ("GET", format!("Origin: https://app.example\r\n{asked}")),
        ("OPTIONS", format!("Origin: https://app.example\r\n{asked}Content-Length: 1\r\n")),
    ] {
        let response = ask(&gate, method, &fields);
        assert_eq!(response.status, 401, "{method} {fields}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn every_answer_says_whether_the_page_may_read_it() {
    let origin = origin();
    let gate = gate(&origin);
    let key = format!("X-API-Key: {K1}\r\n");
    for (fields, status) in [(&*key, 200), ("", 401), ("X-API-Key: wrong\r\n", 401)] {
        let ours = ask(&gate, "GET", &format!("Origin: https://app.example\r\n{fields}"));
        assert_eq!(ours.status, status);
        assert_eq!(allowed(&ours), (vec!["https://app.example"], "true"), "{status}");
        assert_eq!(ours.head.values("access-control-expose-headers"), ["x-request-id"]);
        assert!(ours.head.values("vary").contains(&"origin"), "{status}");
        let other = ask(&gate, "GET", &format!("Origin: https://evil.example\r\n{fields}"));
        assert_eq!((other.status, allowed(&other)), (status, (vec![], "")));
        assert!(other.head.values("vary").contains(&"origin"), "{status}");
        let none = ask(&gate, "GET", fields);
        assert_eq!((none.status, allowed(&none)), (status, (vec![], "")));
    }
}

#[test]
fn a_429_and_a_502_can_be_read_by_the_page_too() {
    let origin = Origin::scripted(crate::support::Exchange::close);
    let tables = CORS.replace("100/1h", "1/1h");
    let gate = Gate::on(&plugged(&origin, &["key-auth", "rate-limit", "cors"], &tables));
    for status in [502, 429] {
        let fields = format!("Origin: https://app.example\r\nX-API-Key: {K1}\r\n");
        let response = ask(&gate, "GET", &fields);
        assert_eq!(response.status, status);
        assert_eq!(allowed(&response), (vec!["https://app.example"], "true"), "{status}");
    }
}

/// Origins that look like one that is allowed.
const OTHERS: &[&str] = &[
    "null",
    "",
    "*",
    "https://app.example.evil",
    "https://evil-app.example",
    "https://app.example:443",
    "https://app.example:8443",
    "http://app.example",
    "https://app.example/",
    "https://APP.example",
    "HTTPS://app.example",
    "https://app.example.",
    "https://sub.app.example",
    "https://app.example@evil.example",
    "https://app.example https://evil.example",
    "https://app.example, https://evil.example",
    "https://evil.example https://app.example",
    "https://appXexample",
    "http://localhost",
    "http://localhost:51730",
    "http://localhost:5173.evil.example",
    "https://[::1]",
    "https://app.example\r\nOrigin: https://evil.example",
    "https://app.example\r\nOrigin: https://app.example",
];

#[test]
fn an_origin_that_looks_like_an_allowed_one_is_not_allowed() {
    let origin = origin();
    let gate = gate(&origin);
    let mut failures = Failures::new();
    for other in OTHERS {
        for (method, asked) in [("OPTIONS", "Access-Control-Request-Method: GET\r\n"), ("GET", "")]
        {
            let fields = format!("Origin: {other}\r\nX-API-Key: {K1}\r\n{asked}");
            let response = ask(&gate, method, &fields);
            let names = response.head.fields.iter().map(|(name, _)| name.to_ascii_lowercase());
            let silent = names.into_iter().all(|name| !name.starts_with("access-control-"));
            failures.row(silent && [200, 204].contains(&response.status), || {
                format!("{method} {other:?}: {:?}", response.head)
            });
        }
    }
    failures.report();
    for ours in ["https://app.example", "http://localhost:5173", "https://[::1]:8443"] {
        let response = ask(&gate, "GET", &keyed(&format!("Origin: {ours}\r\nX-API-Key: K1\r\n")));
        assert_eq!(allowed(&response), (vec![ours], "true"));
    }
}

#[test]
fn where_every_page_may_read_nothing_is_said_of_one() {
    let origin = origin();
    let tables = "[plugins.cors]\nallow_origins = [\"*\"]\n\
                  [plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\nhide_credentials = true\n";
    let gate = Gate::on(&plugged(&origin, &["cors", "key-auth"], tables));
    for fields in ["Origin: https://any.example\r\n", "Origin: null\r\n", ""] {
        let response = ask(&gate, "GET", &keyed(&format!("{fields}X-API-Key: K1\r\n")));
        assert_eq!(allowed(&response), (vec!["*"], ""), "{fields}");
        assert_eq!(response.head.values("vary"), ["Accept"]);
    }
    let preflight = "Origin: https://any.example\r\nAccess-Control-Request-Method: PUT\r\n";
    let response = ask(&gate, "OPTIONS", preflight);
    assert_eq!((response.status, allowed(&response)), (204, (vec!["*"], "")));
    assert_eq!(response.value("access-control-allow-methods"), "GET, HEAD, POST");
    assert_eq!(origin.count(), 3);
}
