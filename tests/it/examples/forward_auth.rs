//! `examples/forward-auth`, and what strangers try at a proxy that asks keygate.

use super::Example;
use crate::support::Origin;

/// Where nginx, Traefik, Caddy and Envoy listen.
const PROXIES: [&str; 4] = ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083", "127.0.0.1:8084"];

#[test]
fn four_proxies_ask() {
    let mut example = Example::of("forward-auth");
    example.follow_readme();
    let wrote = example.servers_wrote();
    assert!(!wrote.contains("key-for-alice"), "{wrote}");
}

/// Requests that each proxy must refuse, and the status that it answers.
const REFUSED: [(&str, &str); 9] = [
    ("", "401"),
    ("-H 'X-Api-Key: nobodys'", "401"),
    ("-H 'X-Api-Key: key-for-alice' -H 'X-Api-Key: key-for-alice'", "401"),
    ("-X DELETE -H 'X-Api-Key: key-for-alice'", "403"),
    ("-d hello -H 'X-Api-Key: key-for-alice' -H 'X-Forwarded-Method: GET'", "403"),
    ("-d hello -H 'X-Api-Key: key-for-alice' -H 'X-Original-Method: GET'", "403"),
    ("-H 'X-Forwarded-Uri: /?api_key=key-for-alice'", "401"),
    ("-H 'X-Original-URI: /?api_key=key-for-alice'", "401"),
    ("-H 'X-Consumer-Username: alice' -H 'X-Credential-Identifier: alice-laptop'", "401"),
];

/// Starts the proxies and keygate, and plays the API.
fn started(example: &mut Example) -> Origin {
    let origin = Origin::on(&example.address("127.0.0.1:8000"), |exchange| {
        exchange.read_body();
        exchange.reply(200, b"hello");
    });
    example.follow_where(|command| !command.contains("origin.py") && !command.contains("curl"));
    origin
}

#[test]
fn what_is_refused_reaches_no_api_behind_any_of_them() {
    let mut example = Example::of("forward-auth");
    let origin = started(&mut example);
    let ask = |example: &mut Example, proxy: &str, how: &str| {
        let url = format!("http://{}/v1/users", example.address(proxy));
        let shown =
            example.paste(&format!("curl -sS -o /dev/null -w '%{{http_code}}' {how} {url}"));
        shown.trim().to_owned()
    };
    for proxy in PROXIES {
        for (how, status) in REFUSED {
            assert_eq!(ask(&mut example, proxy, how), status, "{proxy} {how}");
        }
        // That a call is gRPC makes no leave of a refusal, whatever status says so to the client.
        ask(&mut example, proxy, "-H 'Content-Type: application/grpc'");
        assert_eq!(origin.count(), 0, "{proxy}");
    }
    for proxy in PROXIES {
        let key = "-H 'X-Api-Key: key-for-alice' -H 'x-consumer-username: bob'";
        assert_eq!(ask(&mut example, proxy, key), "200", "{proxy}");
        let head = origin.last().head;
        let names = head.values("x-consumer-username");
        assert_eq!(names, ["alice"], "{proxy}");
        assert_eq!(head.value("x-credential-identifier"), Some("alice-laptop"), "{proxy}");
        assert!(!head.has("x-api-key"), "{proxy}: {head:?}");
    }
    assert_eq!(origin.count(), PROXIES.len());
}

#[test]
fn nothing_passes_while_keygate_is_not_there() {
    let mut example = Example::of("forward-auth");
    let origin =
        Origin::on(&example.address("127.0.0.1:8000"), |exchange| exchange.reply(200, b""));
    let proxies = ["nginx -p", "traefik", "caddy run", "envoy -c"];
    example.follow_where(|command| proxies.iter().any(|proxy| command.contains(proxy)));
    for proxy in PROXIES {
        let url = format!("http://{}/", example.address(proxy));
        example.paste(&format!("curl -sS -o /dev/null -H 'X-Api-Key: key-for-alice' {url}"));
    }
    assert_eq!(origin.count(), 0);
}
