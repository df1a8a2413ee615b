//! A key in a header: what is one, what is none, and what only looks like one.

use std::time::{Duration, Instant};

use super::stand::{GET, POST, refusal};
use super::{Case, case};
use crate::support::reference::{K1, K2, keyed, one_location};
use crate::support::{BAD, INVALID, MISSING, Then};
use crate::websocket::HANDSHAKE;

const PASSES: Then = Then::Forwarded("/api/v1/x");
/// Answers to a head that is too large; a server that reads it all may look at the key.
const TOO_LARGE: Then = Then::Ends(&[400, 401, 431]);

pub(super) const CASES: &[Case] = &[
    case("KX-01", "no key", |stand| {
        stand.get("", MISSING);
        let answer = stand.ask(format!("{GET}\r\n"));
        let challenge = answer.value("WWW-Authenticate");
        stand.holds(challenge == "ApiKey realm=\"keygate\"", || challenge.to_owned());
    }),
    case("KX-02", "a wrong key, and its delay", |stand| {
        stand.config(&delayed("200ms"));
        let start = Instant::now();
        stand.get("", MISSING);
        let (at_once, start) = (start.elapsed(), Instant::now());
        stand.get("X-API-Key: wrong\r\n", INVALID);
        let took = start.elapsed();
        let right = (200..3000).contains(&took.as_millis());
        stand.holds(right, || format!("{took:?}, and without a key {at_once:?}"));
    }),
    case("KX-03", "an empty value is no key", |stand| {
        let head = |lines: &str| {
            let answer = stand.ask(format!("{GET}{lines}\r\n"));
            let fields = answer.head.fields.into_iter();
            let fields = fields.filter(|(name, _)| name != "x-request-id" && name != "date");
            (answer.head.start, fields.collect::<Vec<_>>(), answer.body)
        };
        let without = head("");
        for value in [" ", "", "  ", "\t"] {
            let line = format!("X-API-Key:{value}\r\n");
            let answer = head(&line);
            stand.get(&line, MISSING).holds(answer == without, || format!("{answer:?}"));
        }
    }),
    case("KX-04", "white space around the key is not part of it", |stand| {
        for value in ["K1", "\t K1 \t ", "   K1", "K1\t"] {
            stand.get(format!("X-API-Key:{value}\r\n"), PASSES);
        }
    }),
    case("KX-05", "more than the key in the value", |stand| {
        for value in ["K1 x", "K1;x", "K1 K1", "x K1"] {
            stand.get(format!("X-API-Key: {value}\r\n"), INVALID);
        }
    }),
    case("KX-06", "the key without its last byte", |stand| {
        let (first, last) = (&K1[..K1.len() - 1], &K1[1..]);
        stand.get(format!("X-API-Key: {first}\r\n"), INVALID);
        stand.get(format!("X-API-Key: {last}\r\n"), INVALID);
    }),
    case("KX-07", "the key and more", |stand| {
        for value in ["K1x", "K1K1", "xK1"] {
            stand.get(format!("X-API-Key: {value}\r\n"), INVALID);
        }
    }),
    case("KX-08", "the key in upper case, or with one other bit", |stand| {
        // `K1` in the text would stand for the key.
        let upper = K1.to_uppercase().replacen('K', "k", 1);
        stand.get(format!("X-API-Key: {upper}\r\n"), INVALID);
        for at in [0, K1.len() / 2, K1.len() - 1] {
            let mut key = K1.as_bytes().to_vec();
            key[at] ^= 1;
            stand.get([b"X-API-Key: ", &key[..], b"\r\n"].concat(), INVALID);
        }
    }),
    case("KX-09", "the header's name in another case", |stand| {
        stand.get("x-api-KEY: K1\r\n", PASSES).get("x-api-key: K1\r\n", PASSES);
    }),
    case("KX-10", "an alias of the header's name", |stand| {
        for name in ["X_API_Key", "X-API_Key", "X.API.Key", "XAPIKey", "HTTP_X_API_KEY"] {
            stand.get(format!("{name}: K1\r\n"), MISSING);
        }
    }),
    case("KX-11", "an alias beside the key is not forwarded", |stand| {
        for name in ["X_API_Key", "x.api.key", "X-API_KEY"] {
            stand.get(format!("X-API-Key: K1\r\n{name}: evil\r\n"), PASSES);
            stand.get(format!("{name}: evil\r\nX-API-Key: K1\r\n"), PASSES);
        }
        let heads: Vec<_> = stand.arrived().into_iter().map(|one| one.head).collect();
        let evil = heads.iter().find(|head| head.fields.iter().any(|(_, value)| value == "evil"));
        stand.holds(evil.is_none() && heads.len() == 6, || format!("{heads:?}"));
    }),
    case("KX-12", "the key in two lines", |stand| {
        stand.get("X-API-Key: K1\r\nX-API-Key: K1\r\n", INVALID);
        stand.get("X-API-Key: K1\r\nx-api-key: K1\r\n", INVALID);
    }),
    case("KX-13", "two lines, one of them wrong", |stand| {
        for other in ["wrong", "K2", ""] {
            stand.get(format!("X-API-Key: {other}\r\nX-API-Key: K1\r\n"), INVALID);
            stand.get(format!("X-API-Key: K1\r\nX-API-Key: {other}\r\n"), INVALID);
        }
    }),
    case("KX-14", "a list of keys", |stand| {
        for value in ["K1, K2", "K1,", ",K1", "K1, K1", "K1,K1"] {
            stand.get(format!("X-API-Key: {value}\r\n"), INVALID);
        }
    }),
    case("KX-15", "the key in quotes", |stand| {
        for value in ["\"K1\"", "'K1'", "<K1>"] {
            stand.get(format!("X-API-Key: {value}\r\n"), INVALID);
        }
    }),
    case("KX-16", "bytes that are no text", |stand| {
        stand.get(b"X-API-Key: \xff\xfe\x80\r\n", INVALID);
        stand.get(b"X-API-Key: K1\xff\r\n", INVALID);
    }),
    case("KX-17", "a key beyond ASCII does not load", |stand| {
        let config = one_location("header = \"X-API-Key\"\n", "");
        for key in ["ключ-9f86d081884c7d659a2feaa0c55ad0", "clé-9f86d081884c7d659a2feaa0c55ad0"]
        {
            let error = refusal(&config.replace(K1, key));
            let told = error.contains("key 1 holds a character beyond ASCII");
            assert!(told && !error.contains(key), "{error}");
        }
        stand.get("X-API-Key: ключ-9f86d081884c7d659a2feaa0c55ad0\r\n", INVALID);
    }),
    case("KX-18", "letters and digits that look like the key's", |stand| {
        for like in ["\u{ff11}", "\u{217c}", "\u{661}"] {
            let key = K1.replace('1', like);
            stand.get(format!("X-API-Key: {key}\r\n"), INVALID);
        }
        let cyrillic = K1.replace('a', "\u{430}");
        stand.get(format!("X-API-Key: {cyrillic}\r\n"), INVALID);
    }),
    case("KX-19", "a NUL in the value", |stand| {
        stand.get("X-API-Key: K1\x00\r\n", BAD).get("X-API-Key: K1\x00x\r\n", BAD);
    }),
    case("KX-20", "other control characters in the value", |stand| {
        for value in ["K1\x0b", "K1\x0c", "\x1fK1", "K1\x7f", "K1\x08"] {
            stand.get(format!("X-API-Key: {value}\r\n"), BAD);
        }
    }),
    case("KX-21", "bytes that are white space elsewhere", |stand| {
        stand.get(b"X-API-Key: \x85K1\r\n", INVALID).get(b"X-API-Key: K1\xa0\r\n", INVALID);
        stand.get("X-API-Key: \u{2003}K1\r\n", INVALID);
    }),
    case("KX-22", "a folded line", |stand| {
        stand.get("X-API-Key:\r\n K1\r\n", BAD).get("X-API-Key: K1\r\n\tx\r\n", BAD);
    }),
    case("KX-23", "white space before the colon", |stand| {
        stand.get("X-API-Key : K1\r\n", BAD).get("X-API-Key\t: K1\r\n", BAD);
    }),
    case("KX-24", "white space before the first header line", |stand| {
        let start = "GET /api/v1/x HTTP/1.1\r\n";
        stand.send(format!("{start} X-API-Key: K1\r\nHost: a.test\r\n\r\n"), BAD);
        stand.send(format!("{start}\tX-API-Key: K1\r\nHost: a.test\r\n\r\n"), BAD);
    }),
    case("KX-25", "a bare CR in the value", |stand| {
        stand.get("X-API-Key: K1\rFoo: x\r\n", BAD).get("Foo: x\rX-API-Key: K1\r\n", BAD);
    }),
    case("KX-26", "a line with an empty name", |stand| {
        stand.get(": K1\r\nX-API-Key: K1\r\n", BAD).get("X-API-Key: K1\r\n: x\r\n", BAD);
    }),
    case("KX-27", "a line without a colon", |stand| {
        stand.get("X-API-Key K1\r\n", BAD).get("X-API-Key: K1\r\nX\r\n", BAD);
    }),
    case("KX-28", "a value of 64 KiB, 1 MiB, 8 MiB", |stand| {
        stand.get("X-API-Key: wrong\r\n", INVALID);
        let before = stand.gate().highest_memory_kib();
        for size in [64 * 1024, 1024 * 1024, 8 * 1024 * 1024] {
            stand.get(format!("X-API-Key: {}\r\n", "A".repeat(size)), TOO_LARGE);
        }
        let grown = stand.gate().highest_memory_kib() - before;
        stand.holds(grown <= 2048, || format!("memory grew by {grown} KiB"));
    }),
    case("KX-29", "a bearer token where none is asked for", |stand| {
        stand.get("Authorization: Bearer K1\r\n", MISSING);
        stand.get("Proxy-Authorization: Bearer K1\r\n", MISSING);
        stand.get("Authorization: Bearer K1\r\nX-API-Key: wrong\r\n", INVALID);
    }),
    case("KX-30", "a bearer token where one is asked for", |stand| {
        stand.config(&one_location("sources = [\"bearer\"]\n", "")).credential("Authorization");
        stand.probe(&format!("{GET}Authorization: Bearer K1\r\n\r\n"));
        for value in ["bearer K1", "Bearer  K1", "BEARER K1"] {
            stand.get(format!("Authorization: {value}\r\n"), PASSES);
        }
        for value in ["BearerK1", "Basic K1", "K1", "Bearer"] {
            stand.get(format!("Authorization: {value}\r\n"), MISSING);
        }
        for value in ["Bearer K1, Bearer K1", "Bearer K1 K1", "Bearer Bearer K1"] {
            stand.get(format!("Authorization: {value}\r\n"), INVALID);
        }
    }),
    case("KX-31", "the key in a cookie", |stand| {
        stand.get("Cookie: X-API-Key=K1; api_key=K1\r\n", MISSING);
    }),
    case("KX-32", "the key in a body", |stand| {
        for (kind, body) in [
            ("application/x-www-form-urlencoded", "api_key=K1&X-API-Key=K1"),
            ("application/json", "{\"api_key\":\"K1\",\"X-API-Key\":\"K1\"}"),
        ] {
            let (body, kind) = (keyed(body), format!("Content-Type: {kind}\r\n"));
            let length = body.len();
            stand.post(format!("{kind}Content-Length: {length}\r\n\r\n{body}"), MISSING);
        }
    }),
    case("KX-33", "the key in a trailer", |stand| {
        let head = "Transfer-Encoding: chunked\r\nTrailer: X-API-Key\r\n\r\n5\r\nhello\r\n";
        stand.post(format!("{head}0\r\nX-API-Key: K1\r\n\r\n"), MISSING);
        // The answer does not wait for a body, so no trailer can matter.
        stand.post(head, MISSING);
    }),
    case("KX-34", "the key in a header where the query is asked, and the reverse", |stand| {
        stand.send("GET /q/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n", MISSING);
        stand.target("/api/v1/x?api_key=K1&X-API-Key=K1", MISSING);
    }),
    case("KX-35", "keys belong to a location", |stand| {
        stand.get("X-API-Key: K2\r\n", INVALID);
        let admin = "GET /admin/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: ";
        stand.send(format!("{admin}{K1}\r\n\r\n"), INVALID);
        stand.send(format!("{admin}{K2}\r\n\r\n"), Then::Forwarded("/admin/x"));
    }),
    case("KX-36", "the key as userinfo", |stand| {
        for user in ["K1", "K1:", ":K1", "x:K1"] {
            let target = format!("http://{user}@a.test/api/v1/x");
            stand.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"), BAD);
        }
    }),
    case("KX-37", "a preflight, and what only looks like one", |stand| {
        let start = "OPTIONS /api/v1/x HTTP/1.1\r\nHost: a.test\r\n";
        let complete = "Origin: https://b.test\r\nAccess-Control-Request-Method: GET\r\n\r\n";
        stand.send(format!("{start}{complete}"), MISSING).send(format!("{start}\r\n"), MISSING);
        stand.anew();
        stand.config(&one_location("header = \"X-API-Key\"\nallow_preflight = true\n", ""));
        stand.send(format!("{start}{complete}"), PASSES);
        stand.send(format!("{start}\r\n"), MISSING);
        stand.send(format!("{start}Origin: https://b.test\r\n\r\n"), MISSING);
        stand.send(format!("{start}Access-Control-Request-Method: GET\r\n\r\n"), MISSING);
        stand.get(complete, MISSING);
    }),
    case("KX-38", "other methods without a key", |stand| {
        for method in ["FOOBAR", "get", "PUT", "DELETE", "PATCH", "POST"] {
            let request = format!("{method} /api/v1/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
            stand.send(request, MISSING);
        }
        let trace = "TRACE /api/v1/x HTTP/1.1\r\nHost: a.test\r\n";
        for lines in ["", "X-API-Key: K1\r\n"] {
            stand.send(format!("{trace}{lines}\r\n"), Then::Says(405, "Method not allowed"));
        }
        let mut client = stand.connect();
        client.send("HEAD /api/v1/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let status = client.response_to_head().status;
        stand.holds(status == 401, || format!("HEAD: {status}"));
    }),
    case("KX-39", "no connection remembers a key", |stand| {
        let (with, without) = (keyed(&format!("{GET}X-API-Key: K1\r\n\r\n")), format!("{GET}\r\n"));
        for (pipelined, expected) in
            [([&*with, &without].concat(), [200, 401]), ([&*without, &with].concat(), [401, 200])]
        {
            stand.allow("/api/v1/x", &with);
            let mut client = stand.connect();
            client.send(pipelined);
            let statuses = [client.response().status, client.response().status];
            stand.holds(statuses == expected, || format!("{statuses:?}, not {expected:?}"));
        }
    }),
    case("KX-40", "a delayed answer holds up nobody but its connection", |stand| {
        stand.config(&delayed("2s"));
        let valid = keyed(&format!("{GET}X-API-Key: K1\r\n\r\n"));
        let mut delayed = stand.connect();
        delayed.send(format!("{GET}X-API-Key: wrong\r\n\r\n{valid}"));
        stand.allow("/api/v1/x", &valid);
        for _ in 0..8 {
            stand.get("X-API-Key: K1\r\n", PASSES);
        }
        let early = delayed.hears_within(Duration::ZERO);
        stand.holds(!early, || "the other eight waited for the delay".to_owned());
        let statuses = [delayed.response().status, delayed.response().status];
        stand.holds(statuses == [401, 200], || format!("{statuses:?}"));
    }),
    case("KX-41", "an upgrade without a key", |stand| {
        stand.get("Connection: Upgrade\r\nUpgrade: anything\r\n", MISSING);
        stand.get("Connection: Upgrade\r\nUpgrade: h2c\r\n", MISSING);
        stand.get(HANDSHAKE, MISSING).get(format!("X-API-Key: wrong\r\n{HANDSHAKE}"), INVALID);
    }),
    case("KX-42", "another URL in a header", |stand| {
        for name in ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Original-URI"] {
            stand.get(format!("{name}: /public/x\r\n"), MISSING);
        }
    }),
    case("KX-43", "who asks, by the client's word", |stand| {
        for line in [
            "User-Agent: GoogleHC/1.0",
            "User-Agent: kube-probe/1.30",
            "X-Forwarded-For: 127.0.0.1",
            "X-Real-IP: 127.0.0.1",
            "Forwarded: for=127.0.0.1",
            "X-Forwarded-Host: open.test",
            "X-Consumer-Username: admin",
        ] {
            stand.get(format!("{line}\r\n"), MISSING);
        }
    }),
    case("KX-44", "identity headers are the gate's on every way through it", |stand| {
        stand.script(|exchange| exchange.reply(200, b"as if it were no upgrade"));
        let spoofed = "X-Consumer-Username: root\r\nx-consumer-username: root\r\n\
            X_Consumer_Username: root\r\nx-CONSUMER_username: root\r\n\
            X-Credential-Identifier: root\r\nX_Credential_Identifier: root\r\n";
        for (target, start) in [
            ("/public/x", "GET /public/x HTTP/1.1\r\nHost: a.test\r\n"),
            ("/api/v1/x", "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n"),
            ("/q/x", "GET /q/x?api_key=K1 HTTP/1.1\r\nHost: a.test\r\n"),
            ("/public/x", "GET /public/x HTTP/1.0\r\n"),
            ("/public/x", &format!("GET /public/x HTTP/1.1\r\nHost: a.test\r\n{HANDSHAKE}")),
        ] {
            let request = format!("{start}{spoofed}\r\n");
            stand.allow(target, &request);
            stand.ask(request);
        }
        let arrived = stand.arrived();
        let spoofed = arrived.iter().find(|one| one.bytes().windows(4).any(|four| four == b"root"));
        stand.holds(spoofed.is_none() && arrived.len() == 5, || format!("{spoofed:?}"));
    }),
    case("KX-45", "the text of a reference to a secret", |stand| {
        for value in ["$env://UNSET", "${UNSET}", "file:/nonexistent", "${HOME}", "sha256:0"] {
            stand.get(format!("X-API-Key: {value}\r\n"), INVALID);
        }
        let config = one_location("header = \"X-API-Key\"\n", "").replace(K1, "${UNSET}");
        let error = refusal(&config);
        assert!(error.contains("`UNSET` is not set"), "{error}");
    }),
    case("KX-46", "HTTP/1.0", |stand| {
        stand.send("GET /api/v1/x HTTP/1.0\r\n\r\n", MISSING);
        stand.send("GET /api/v1/x HTTP/1.0\r\nX-API-Key: wrong\r\n\r\n", INVALID);
        stand.send("GET /api/v1/x HTTP/1.0\r\nX-API-Key: K1\r\n\r\n", PASSES);
        stand.send(format!("{POST}Connection: keep-alive\r\n\r\n").replace("1.1", "1.0"), MISSING);
    }),
];

/// A location for which an invalid key waits so long for its answer.
fn delayed(span: &str) -> String {
    one_location(&format!("header = \"X-API-Key\"\ndelay = \"{span}\"\n"), "")
}
