//! A hidden credential is gone upstream, and every other byte is as it came.

use crate::support::reference::{K1, guarded, keyed, one_location, upstream};
use crate::support::{Failures, Gate, Head, Origin, Place, Row, Then};

/// Targets at a location that hides the parameter `api_key`, and what must be left of them.
const QUERY: &[Row] = &[
    ("alone", b"/q/x?api_key=K1", Then::Forwarded("/q/x")),
    ("in the middle", b"/q/x?a=1&api_key=K1&b=2", Then::Forwarded("/q/x?a=1&b=2")),
    ("first", b"/q/x?api_key=K1&a=1", Then::Forwarded("/q/x?a=1")),
    ("last", b"/q/x?a=1&api_key=K1", Then::Forwarded("/q/x?a=1")),
    ("order", b"/q/x?c=1&b=2&api_key=K1&a=3", Then::Forwarded("/q/x?c=1&b=2&a=3")),
    ("brackets", b"/q/x?time[0:1:0]&api_key=K1", Then::Forwarded("/q/x?time[0:1:0]")),
    (
        "needless escapes",
        b"/q/x?c=valu%651&api_key=K1&a=valu%653",
        Then::Forwarded("/q/x?c=valu%651&a=valu%653"),
    ),
    (
        "escapes, pluses, empties, repeats, no escapes",
        b"/q/x?z=%2F%2f+%20&a=&b&=&%zz=1&api_key=K1&z=2",
        Then::Forwarded("/q/x?z=%2F%2f+%20&a=&b&=&%zz=1&z=2"),
    ),
    ("empty pairs", b"/q/x?&&a=1&api_key=K1&&b=2&", Then::Forwarded("/q/x?&&a=1&&b=2&")),
    ("an empty pair after", b"/q/x?api_key=K1&", Then::Forwarded("/q/x")),
    ("an empty pair before", b"/q/x?&api_key=K1", Then::Forwarded("/q/x")),
    ("an encoded name", b"/q/x?a=1&api%5Fkey=K1", Then::Forwarded("/q/x?a=1")),
    ("the key as a value", b"/q/x?note=K1&api_key=K1", Then::Forwarded("/q/x?note=K1")),
    (
        "a name like it",
        b"/q/x?API_KEY=1&api_key=K1&api_keys=2",
        Then::Forwarded("/q/x?API_KEY=1&api_keys=2"),
    ),
    ("a question mark", b"/q/x?a=b?c&api_key=K1", Then::Forwarded("/q/x?a=b?c")),
    ("semicolons", b"/q/x?a;b&api_key=K1&c;d", Then::Forwarded("/q/x?a;b&c;d")),
    ("quotes", b"/q/x?a='b'&api_key=K1", Then::Forwarded("/q/x?a='b'")),
    ("a JSON value", b"/q/x?j={a:[1]}&api_key=K1", Then::Forwarded("/q/x?j={a:[1]}")),
    ("a pipe", b"/q/x?a|b&api_key=K1", Then::Forwarded("/q/x?a|b")),
    (
        "bytes that are no text, encoded",
        b"/q/x?a=%ff%00&api_key=K1",
        Then::Forwarded("/q/x?a=%ff%00"),
    ),
    ("the path stays", b"/q/a%20b/%2F/c;d=1/?api_key=K1", Then::Forwarded("/q/a%20b/%2F/c;d=1/")),
];

#[test]
fn the_parameter_is_removed_and_no_other_byte() {
    let origin = Origin::echo();
    let mut gate = guarded(&origin);
    // One row has the key as a value that is no credential, and the origin repeats the target.
    gate.shows(&[Place::Answers]);
    let after = " HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let mut failures = Failures::new();
    failures.play(&gate, &origin, ("GET ", QUERY, after));
    failures.report();
    assert!(origin.requests().iter().all(|one| !one.head.start.contains("api_key=k1")));
}

#[test]
fn a_location_without_a_key_keeps_a_parameter_of_that_name() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let request = "GET /public/x?b=1&api_key=mine&%61=2 HTTP/1.1\r\nHost: a.test\r\n\r\n";
    assert_eq!(gate.send(request).text(), "/public/x?b=1&api_key=mine&%61=2");
    let header =
        keyed("GET /api/v1/x?api_key=mine HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n");
    assert_eq!(gate.send(header).text(), "/api/v1/x?api_key=mine");
}

/// Field lines that must arrive as they are, in this order.
const OTHERS: [(&str, &str); 20] = [
    ("accept", "text/html, */*;q=0.1"),
    ("accept-language", "de"),
    ("x-empty", ""),
    ("cookie", "a=b; X-API-Key=c"),
    ("x-many", "1"),
    ("x-api-keys", "not the key"),
    ("x-api", "k"),
    ("authorization", "Basic Zm9vOmJhcg=="),
    ("user-agent", "curl/8"),
    ("origin", "https://b.test"),
    ("referer", "https://b.test/?q=1"),
    ("if-none-match", "\"a\""),
    ("x-quotes", "\"a, b\", c"),
    ("x-inner", "a  b\tc"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("range", "bytes=0-9"),
    ("x-semicolons", "a;b;;c"),
    ("dnt", "1"),
    ("content-language", "en"),
    ("x-last", "z"),
];

/// The fields of a head that are among [`OTHERS`], in order, their names in lower case.
fn others(head: &Head) -> Vec<(String, String)> {
    let lower = head.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    lower.filter(|(name, _)| OTHERS.iter().any(|(other, _)| other == name)).collect()
}

#[test]
fn twenty_other_fields_arrive_in_order_wherever_the_key_stood() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let expected: Vec<_> =
        OTHERS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut failures = Failures::new();
    for place in [0, 1, 10, 19, 20] {
        let mut lines: Vec<_> =
            OTHERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        lines.insert(place, format!("X-API-Key: {K1}\r\n"));
        let lines = lines.concat();
        gate.send(format!("GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"));
        let head = origin.last().head;
        let right = others(&head) == expected && !head.has("x-api-key");
        failures.row(right, || format!("key at {place}: {:?}", head.fields));
    }
    failures.report();
}

#[test]
fn repeated_fields_keep_their_values_and_order() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    gate.send(keyed(
        "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-Many: 1\r\nX-API-Key: K1\r\nX-Many: 2\r\n\
         Accept: b\r\nX-Many: 1\r\n\r\n",
    ));
    assert_eq!(origin.last().head.values("x-many"), ["1", "2", "1"]);
}

/// `Cookie` lines at a location that hides the cookie `key`, and what must be left of them.
const COOKIES: [(&str, &[&str]); 9] = [
    ("Cookie: key=K1\r\n", &[]),
    ("Cookie: key=K1; a=b\r\n", &["a=b"]),
    ("Cookie: a=b; key=K1\r\n", &["a=b"]),
    ("Cookie: a=b; key=K1; c=d\r\n", &["a=b; c=d"]),
    ("Cookie: a=b; key=K1; c=d; e=f\r\n", &["a=b; c=d; e=f"]),
    ("Cookie: a=\"x y\"; key=K1; c==\r\n", &["a=\"x y\"; c=="]),
    ("Cookie: keys=1; key=K1; xkey=2\r\n", &["keys=1; xkey=2"]),
    ("Cookie: KEY=1; key=K1\r\n", &["KEY=1"]),
    ("Cookie: key=K1\r\nX-Other: 1\r\n", &[]),
];

#[test]
fn the_cookie_is_removed_and_the_others_stay() {
    let origin = Origin::echo();
    let gate = Gate::on(&(upstream(&origin) + &one_location("sources = [\"cookie:key\"]\n", "")));
    let mut failures = Failures::new();
    for (lines, left) in COOKIES {
        let request = keyed(&format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"));
        let status = gate.send(request).status;
        let head = origin.last().head;
        let right = status == 200 && head.values("cookie") == left;
        failures.row(right, || format!("{lines:?}: {status} {:?}", head.values("cookie")));
    }
    failures.report();
}

#[test]
fn the_credential_is_removed_from_every_configured_source() {
    let origin = Origin::echo();
    let sources =
        "sources = [\"header:X-API-Key\", \"bearer\", \"query:api_key\", \"cookie:key\"]\n";
    let gate = Gate::on(&(upstream(&origin) + &one_location(sources, "")));
    let request = keyed(
        "GET /x?a=1&api_key=K1 HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\
         Authorization: Bearer K1\r\nCookie: key=K1; a=b\r\n\r\n",
    );
    assert_eq!(gate.send(request).status, 200);
    let seen = origin.last().head;
    let raw = String::from_utf8_lossy(&seen.raw).into_owned();
    assert!(!raw.contains(K1), "{raw}");
    assert_eq!((seen.second_word(), seen.value("cookie")), ("/x?a=1", Some("a=b")));
    assert!(!seen.has("authorization") && !seen.has("x-api-key"), "{raw}");
}

/// What a client sends beside a valid bearer token, and whether `Authorization` is a credential.
#[test]
fn wrong_copies_in_other_sources_are_removed_too() {
    let origin = Origin::echo();
    let sources = "sources = [\"bearer\", \"header:X-API-Key\", \"query:api_key\"]\n";
    let gate = Gate::on(&(upstream(&origin) + &one_location(sources, "")));
    let request = keyed(
        "GET /x?api_key=canary-1&api%5fkey=canary-2&b=1 HTTP/1.1\r\nHost: a.test\r\n\
         Authorization: Bearer K1\r\nX-API-Key: canary-3\r\nX-API-Key: canary-4\r\n\r\n",
    );
    assert_eq!(gate.send(request).text(), "/x?b=1");
    let raw = String::from_utf8_lossy(&origin.last().head.raw).into_owned();
    assert!(!raw.contains("canary") && !raw.contains(K1), "{raw}");
}

#[test]
fn the_key_leaves_the_referer_too() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    gate.send(keyed(
        "GET /q/x?api_key=K1 HTTP/1.1\r\nHost: a.test\r\n\
         Referer: https://a.test/q/p?y=1&api_key=K1&z=%31\r\n\r\n",
    ));
    let seen = origin.last().head;
    assert_eq!(seen.value("referer"), Some("https://a.test/q/p?y=1&z=%31"));
}

#[test]
fn without_hiding_the_key_is_forwarded_exactly_once() {
    let origin = Origin::echo();
    for (source, start) in [
        ("header = \"X-API-Key\"\n", "GET /x?a=1 HTTP/1.1\r\nX-API-Key: K1\r\n"),
        ("query = \"api_key\"\n", "GET /x?c=%31&api_key=K1&a=3 HTTP/1.1\r\n"),
        ("sources = [\"cookie:key\"]\n", "GET /x HTTP/1.1\r\nCookie: b=1; key=K1; a=2\r\n"),
    ] {
        let config = one_location(source, "").replace("hide_credentials = true\n", "");
        let mut gate = Gate::on(&(upstream(&origin) + &config));
        gate.shows(&[Place::Answers]);
        assert_eq!(gate.send(keyed(&format!("{start}Host: a.test\r\n\r\n"))).status, 200);
        let raw = String::from_utf8_lossy(&origin.last().head.raw).into_owned();
        assert_eq!(raw.matches(K1).count(), 1, "{raw}");
        assert!(raw.starts_with(&keyed(start.split(" HTTP").next().unwrap_or(start))), "{raw}");
    }
}

#[test]
fn an_upstream_that_repeats_everything_repeats_no_key() {
    let origin = Origin::scripted(|exchange| {
        let raw = exchange.request.raw.clone();
        exchange.reply(200, &raw);
    });
    let gate = guarded(&origin);
    for request in [
        "GET /q/x?api_key=K1 HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n",
    ] {
        let text = gate.send(keyed(request)).text();
        assert!(text.starts_with("GET /") && !text.contains(K1), "{text}");
    }
}
