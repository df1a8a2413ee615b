//! What hiding removes from a request, and what it leaves alone, as data.

use super::tests::{ALL, cx, head, lines, plugin};
use super::{hide, pass};

#[track_caller]
pub(super) fn check_hidden(settings: &str, request: &str, expected: &str) {
    let mut head = head(request);
    let verdict = plugin(settings).request(&mut head, &mut cx());
    assert!(verdict.is_continue(), "{request}: {verdict:?}");
    let expected: Vec<_> = expected.lines().map(str::trim_start).collect();
    assert_eq!(lines(&head), expected.join("\n"));
}

/// Removing from a query is tested where it is written.
#[test]
fn hiding_removes_the_credential_from_every_source_and_nothing_else() {
    check_hidden(ALL, "GET /?api_key=K1", "GET /");
    check_hidden(ALL, "GET /?a=%2f&api%5fkey=K1&b=+", "GET /?a=%2f&b=+");
    check_hidden(ALL, "GET http://a.test/p?api_key=K1", "GET http://a.test/p");
    check_hidden(
        ALL,
        "GET /?api_key=K2&z=1&api_key
         X-API-Key: K1
         Authorization: Bearer K3
         Cookie: key=K4; a=1
         X_Api_Key: evil
         x.api.key: evil
         Accept: */*",
        "GET /?z=1
         cookie: a=1
         accept: */*",
    );
    check_hidden(
        ALL,
        "GET /
         X-API-Key: K1
         Authorization: Basic dTpw
         X-Api-Keys: other
         Referer: https://a.test/p?a=1&api_key=K1&z=1",
        "GET /
         authorization: Basic dTpw
         x-api-keys: other
         referer: https://a.test/p?a=1&z=1",
    );
}

#[test]
fn hiding_removes_the_credential_from_urls_in_fields() {
    for name in ["referer", "x-forwarded-uri", "x-original-uri", "x-original-url", "x-rewrite-url"]
    {
        check_hidden(
            ALL,
            &format!("GET /\nX-API-Key: K1\n{name}: /p?a=1&api%5fkey=K1&z=%31\nx-url: /?api_key=1"),
            &format!("GET /\n{name}: /p?a=1&z=%31\nx-url: /?api_key=1"),
        );
    }
}

#[test]
fn hiding_keeps_the_order_of_header_lines_wherever_the_key_stands() {
    for at in 0..=20 {
        let mut given: Vec<_> = (0..20).map(|n| format!("x-{n}: {n}")).collect();
        given.insert(7, "x-3: again".to_owned());
        let expected = given.clone();
        given.insert(at, "x-api-key: K1".to_owned());
        check_hidden(
            ALL,
            &format!("GET /\n{}", given.join("\n")),
            &format!("GET /\n{}", expected.join("\n")),
        );
    }
}

#[test]
fn cookies_other_than_the_key_keep_their_bytes() {
    for (given, expected) in [
        ("key=K1", None),
        ("key=K1; foo=bar", Some("foo=bar")),
        ("foo=bar; key=K1", Some("foo=bar")),
        ("a=1;key=K1;  b=2 ;c", Some("a=1;  b=2 ;c")),
        ("a=\"x;y\"; key=K1; b", Some("a=\"x;y\"; b")),
        ("a=1\nCookie: key=K1\nCookie: b=2", Some("a=1\ncookie: b=2")),
        ("a=1\nCookie: key=K1", Some("a=1")),
    ] {
        let expected = expected.map_or(String::new(), |cookie| format!("\ncookie: {cookie}"));
        check_hidden(ALL, &format!("GET /\nCookie: {given}"), &format!("GET /{expected}"));
    }
}

#[test]
fn what_the_credential_could_not_be_removed_from_is_not_forwarded() {
    assert!(pass(Ok(())).is_continue());
    assert!(pass(Err(hide::Stuck)).is_break());
}

#[test]
fn without_hiding_the_request_goes_on_as_it_came() {
    let settings = "sources = ['header:X-API-Key', 'query:api_key', 'cookie:k', 'websocket']";
    let request = "GET /?api_key=K1&b
        x-api-key: K1
        x_api_key: other
        cookie: k=K1
        sec-websocket-protocol: bearer, K1
        referer: /?api_key=K1";
    check_hidden(settings, request, request);
    let mut head = head(request);
    assert!(plugin(settings).request(&mut head, &mut cx()).is_continue());
    let sensitive = head.headers.iter().filter(|(_, value)| value.is_sensitive());
    let expected = ["x-api-key", "cookie", "sec-websocket-protocol"];
    assert!(sensitive.map(|(name, _)| name).eq(expected));
}
