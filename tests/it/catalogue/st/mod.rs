//! Credentials are stripped, and what is left is as it came; a key comes out nowhere.

mod parts;

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::parts::{
    DEAD, ERRORS, EXTRA, HELLO, HOPS, KEY, OTHERS, QUERY, RESPONSES, SLOW, forwarded,
    no_key_in_memory, said_in_spite_of, strict, tells,
};
use super::stand::GET;
use super::{Case, Stand, case, elsewhere};
use crate::config::check;
use crate::support::admin::ADMIN;
use crate::support::h2::{H2, request};
use crate::support::reference::{K1, K2, keyed, one_location, reference};
use crate::support::{Canaries, DEADLINE, INVALID, MISSING, Place, Then};
use crate::websocket::{HANDSHAKE, SWITCHING};

const PASSES: Then = Then::Forwarded("/api/v1/x");

pub(super) const CASES: &[Case] = &[
    case("ST-01", "a key that is alone leaves no question mark", |stand| {
        stand.target("/q/x?api_key=K1", Then::Forwarded("/q/x"));
        let path = "/q/a%20b/%2F/c;d=1/";
        stand.target(format!("{path}?api_key=K1"), Then::Forwarded("/q/a%20b/%2F/c;d=1/"));
    }),
    case("ST-02", "a key in the middle", |stand| {
        stand.target("/q/x?a=1&api_key=K1&b=2", Then::Forwarded("/q/x?a=1&b=2"));
        stand.target("/q/x?c=1&b=2&api_key=K1&a=3", Then::Forwarded("/q/x?c=1&b=2&a=3"));
    }),
    case("ST-03", "a key at either end", |stand| {
        stand.target("/q/x?api_key=K1&a=1", Then::Forwarded("/q/x?a=1"));
        stand.target("/q/x?a=1&api_key=K1", Then::Forwarded("/q/x?a=1"));
    }),
    case("ST-04", "brackets and colons stay raw", |stand| {
        stand.target("/q/x?time[0:1:0]&api_key=K1", Then::Forwarded("/q/x?time[0:1:0]"));
        stand.target("/q/x?j={a:[1]}|'&api_key=K1", Then::Forwarded("/q/x?j={a:[1]}|'"));
    }),
    case("ST-05", "needless escapes stay", |stand| {
        let left = Then::Forwarded("/q/x?c=valu%651&a=valu%653");
        stand.target("/q/x?c=valu%651&api_key=K1&a=valu%653", left);
    }),
    case("ST-06", "escapes, no escapes, pluses, empties, repeats stay in order", |stand| {
        let left = Then::Forwarded("/q/x?z=%2F%2f+%20&a=&b&=&%zz=1&z=2");
        stand.target("/q/x?z=%2F%2f+%20&a=&b&=&%zz=1&api_key=K1&z=2", left);
        let left = Then::Forwarded("/q/x?a=%ff%00&b=c?d&e;f");
        stand.target("/q/x?a=%ff%00&api_key=K1&b=c?d&e;f", left);
    }),
    case("ST-07", "empty parameters stay", |stand| {
        let left = Then::Forwarded("/q/x?&&a=1&&b=2&");
        stand.target("/q/x?&&a=1&api_key=K1&&b=2&", left);
    }),
    case("ST-08", "one empty parameter beside the key goes with it", |stand| {
        stand.target("/q/x?api_key=K1&", Then::Forwarded("/q/x"));
        stand.target("/q/x?&api_key=K1", Then::Forwarded("/q/x"));
    }),
    case("ST-09", "twenty other fields arrive in order, wherever the key stood", |stand| {
        for place in [0, 1, 10, 19, 20] {
            let mut lines = OTHERS.to_vec();
            lines.insert(place, "X-API-Key: K1");
            stand.get(lines.join("\r\n") + "\r\n", PASSES);
        }
        let gone = stand.arrived().iter().all(|one| !one.head.has("x-api-key"));
        stand.holds(gone, || "the key's field is there".to_owned());
    }),
    case("ST-10", "a parameter that is no credential at this location", |stand| {
        stand.shows(&[Place::Origin, Place::Answers]);
        for target in ["/api/v1/x?api_key=K1", "/api/v1/x?api%5Fkey=K1&%61=2"] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n");
            stand.allow(target, &request);
            let answer = stand.ask(request).text();
            stand.holds(answer == keyed(target), || answer);
        }
        stand.target(
            "/public/x?b=1&api_key=mine&%61=2",
            Then::Forwarded("/public/x?b=1&api_key=mine&%61=2"),
        );
    }),
    case("ST-11", "copies of the credential in other places go too, right or wrong", |stand| {
        let sources =
            "sources = [\"bearer\", \"header:X-API-Key\", \"query:api_key\", \"cookie:key\"]\n";
        stand.config(&one_location(sources, "")).credential("Authorization").credential("Cookie");
        for copy in ["K1", "canary-7d3f0a9b"] {
            stand.secret(copy);
            stand.send(
                format!(
                    "GET /x?api_key={copy}&b=1&api%5fkey={copy} HTTP/1.1\r\nHost: a.test\r\n\
                     Authorization: Bearer K1\r\nX-API-Key: {copy}\r\nx-api-key: {copy}\r\n\
                     X_API_Key: {copy}\r\nCookie: key={copy}; a=b\r\nCookie: key={copy}\r\n\r\n"
                ),
                Then::Forwarded("/x?b=1"),
            );
            let cookies = stand.origin().last().head.value("cookie").map(str::to_owned);
            stand.holds(cookies.as_deref() == Some("a=b"), || format!("{cookies:?}"));
        }
    }),
    case("ST-12", "the key leaves the Referer", |stand| {
        stand.credential("Referer");
        let referer = |query: &str| format!("Referer: https://a.test/q/p{query}\r\n");
        for (sent, left) in [
            ("?y=1&api_key=K1&z=%31", "?y=1&z=%31"),
            ("?api%5Fkey=K1", ""),
            ("?api_key=K1#part", "#part"),
            ("?y=1", "?y=1"),
        ] {
            let head = forwarded(stand, QUERY, &referer(sent));
            let value = head.value("referer").unwrap_or_default().to_owned();
            stand.holds(referer(left).contains(&format!(": {value}\r")), || value);
        }
    }),
    case("ST-13", "the key as the value of another parameter stays", |stand| {
        stand.shows(&[Place::Origin, Place::Answers, Place::Logs]);
        stand.target("/q/x?note=K1&api_key=K1", Then::Forwarded("/q/x?note=K1"));
        let left = Then::Forwarded("/q/x?API_KEY=1&api_keys=2");
        stand.target("/q/x?API_KEY=1&api_key=K1&api_keys=2", left);
    }),
    case("ST-14", "the key in a trailer is dropped", |stand| {
        for name in ["X-API-Key", "x_api_key", "x.api.key"] {
            stand.post(
                format!(
                    "X-API-Key: K1\r\nTrailer: X-Sum, {name}\r\nTransfer-Encoding: chunked\r\n\r\n\
                     5\r\nhello\r\n0\r\nX-Sum: 1\r\n{name}: K1\r\n\r\n"
                ),
                PASSES,
            );
            let trailers = stand.origin().last().trailers;
            let right = trailers.len() == 1 && trailers[0].0.eq_ignore_ascii_case("x-sum");
            stand.holds(right, || format!("{trailers:?}"));
        }
    }),
    case("ST-15", "Connection names the key: it is a key first", |stand| {
        for value in ["X-API-Key", "x-api-key", "close, X-API-Key", "X-API-Key, X_API_Key"] {
            stand.get(format!("X-API-Key: K1\r\nConnection: {value}\r\n"), PASSES);
            stand.get(format!("Connection: {value}\r\nX-API-Key: wrong\r\n"), INVALID);
            stand.get(format!("Connection: {value}\r\n"), MISSING);
        }
    }),
    case("ST-16", "Connection names what the gate says: it is still said", |stand| {
        said_in_spite_of(
            stand,
            "Connection: X-Forwarded-For, X-Real-IP, X-Forwarded-Proto, X-Forwarded-Host, \
             X-Request-Id, X-Consumer-Username, Host\r\n",
        );
    }),
    case("ST-17", "however it is written", |stand| {
        for lines in [
            "connection: x-forwarded-for, x-real-ip, x-request-id\r\n",
            "Connection: X-Real-IP\r\nConnection: X-Forwarded-For\r\nconnection: X-Request-Id\r\n",
            "Connection: close, X-Forwarded-For, X-Real-IP\r\n",
            "Connection: ,\tX-Forwarded-For\t,\tX-Real-IP ,,X-Request-Id\r\n",
        ] {
            said_in_spite_of(stand, lines);
        }
        let names: Vec<_> = (0..200).map(|number| format!("X-{number}")).collect();
        let names = names.join(", ");
        let head = said_in_spite_of(
            stand,
            &format!("X-7: 1\r\nX-A: 2\r\nConnection: {names}, X-Forwarded-For, X-Request-Id\r\n"),
        );
        let right = !head.has("x-7") && head.value("x-a") == Some("2");
        stand.holds(right, || format!("{head:?}"));
    }),
    case("ST-18", "Connection names what frames or identifies a message", |stand| {
        for name in ["Host", "Content-Length", "Transfer-Encoding", "host, content-length"] {
            let own = format!("X-API-Key: K1\r\nConnection: {name}\r\n");
            stand.post(format!("{own}Content-Length: 5\r\n\r\nhello"), PASSES);
            stand.post(format!("{own}Transfer-Encoding: chunked\r\n\r\n{HELLO}"), PASSES);
            let head = stand.origin().last().head;
            stand.holds(head.values("host") == ["a.test"], || format!("{head:?}"));
        }
        // These are the client's own; RFC 9110, section 7.6.1, has them removed.
        for line in ["Authorization: Basic Zm9vOmJhcg==", "Cookie: a=b"] {
            let name = line.split(':').next().unwrap_or_default();
            let head = forwarded(stand, KEY, &format!("Connection: {name}\r\n{line}\r\n"));
            stand.holds(!head.has(name), || format!("{head:?}"));
        }
    }),
    case("ST-19", "hop-by-hop fields of a request end at the gate", |stand| {
        for (lines, gone) in HOPS {
            let head = forwarded(stand, KEY, lines);
            let found = gone.iter().find(|name| head.has(name));
            stand.holds(found.is_none(), || format!("{lines:?}: {found:?} in {head:?}"));
        }
        let head = forwarded(stand, KEY, "TE: trailers, gzip\r\nConnection: TE\r\n");
        stand.holds(head.value("te") == Some("trailers"), || format!("{head:?}"));
    }),
    case("ST-20", "hop-by-hop fields of a response end at the gate", |stand| {
        stand.script(|exchange| {
            let number = exchange.request.second_word().rsplit('/').next();
            let number: usize = number.and_then(|last| last.parse().ok()).unwrap_or_default();
            let (lines, ..) = RESPONSES[number];
            exchange.write(format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n"));
        });
        for (number, (lines, name, seen)) in RESPONSES.into_iter().enumerate() {
            let target = format!("/public/{number}");
            let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
            stand.allow(&target, &request);
            let head = stand.ask(request).head;
            stand.holds(head.has(name) == seen, || format!("{lines:?}: {head:?}"));
        }
    }),
    case("ST-21", "a WebSocket's handshake loses the key", |stand| {
        stand.script(|exchange| {
            exchange.write(SWITCHING);
            let word = exchange.bytes(5);
            exchange.write(word);
            exchange.close();
        });
        let (target, request) = ("/q/ws?a=1", "GET /q/ws?a=1&api_key=K1 HTTP/1.1\r\n");
        let request = keyed(&format!("{request}Host: a.test\r\n{HANDSHAKE}\r\n"));
        stand.allow(target, &request);
        let mut client = stand.connect();
        let answer = client.send(request).response();
        let accept = answer.value("Sec-WebSocket-Accept");
        stand.holds(answer.status == 101 && !accept.is_empty(), || format!("{answer:?}"));
        let word = client.send("hello").bytes(5);
        stand.holds(word == b"hello", || format!("{word:?}"));
        let head = stand.origin().last().head;
        stand.holds(head.has("sec-websocket-key") && head.has("upgrade"), || format!("{head:?}"));
    }),
    case("ST-22", "a WebSocket's subprotocols lose the key", |stand| {
        stand.config(&one_location("sources = [\"websocket\"]\n", ""));
        stand.credential("Sec-WebSocket-Protocol").script(|exchange| {
            exchange.write(SWITCHING);
            exchange.close();
        });
        let offer = "Sec-WebSocket-Protocol: a,  bearer, K1 ,b\r\n";
        let request = format!("GET /ws HTTP/1.1\r\nHost: a.test\r\n{offer}{HANDSHAKE}\r\n");
        stand.probe(&request).allow("/ws", &request);
        let answer = stand.ask(request);
        let chosen = answer.value("Sec-WebSocket-Protocol");
        stand.holds(answer.status == 101 && chosen == "bearer", || format!("{answer:?}"));
        let left = stand.origin().last().head.value("sec-websocket-protocol").map(str::to_owned);
        stand.holds(left.as_deref() == Some("a,b"), || format!("{left:?}"));
    }),
    case("ST-23", "the key in an HTTP/2 path", |stand| {
        stand.allow_any("/q/x?a=b", 1);
        let target = keyed("/q/x?a=b&api_key=K1");
        let answer = H2::over(stand.connect()).ask(&request("GET", &target, &[]));
        assert_eq!(answer.text(), "/q/x?a=b");
    }),
    case("ST-24", "the key in an HTTP/2 header", |stand| {
        stand.allow_any("/api/v1/x", 1);
        let fields = request("GET", "/api/v1/x", &[("x-api-key", K1)]);
        assert_eq!(H2::over(stand.connect()).ask(&fields).status, 200);
        let head = stand.origin().last().head;
        stand.holds(!head.has("x-api-key"), || format!("{head:?}"));
    }),
    case("ST-25", "the access log holds no key, right or wrong", |stand| {
        stand.add(DEAD).secret("wrong-2f8a61c07be9");
        stand.target("/q/x?a=1&api_key=K1&b=2", Then::Forwarded("/q/x?a=1&b=2"));
        stand.target("/q/x?api_key=wrong-2f8a61c07be9", INVALID);
        stand.get("X-API-Key: wrong-2f8a61c07be9\r\n", INVALID);
        stand.target("/dead/x?api_key=K1", Then::Refused(&[502]));
        let stdout = &stand.gate().stdout;
        for part in
            ["/q/x?a=1&api_key=***&b=2 200", "/q/x?api_key=*** 401", "/dead/x?api_key=*** 502"]
        {
            stdout.wait_for(part, |line| line.contains(part));
        }
    }),
    case("ST-26", "nor does any log at the level trace", |stand| {
        stand.add("[log]\nformat = \"json\"\n").add(DEAD).secret("wrong-2f8a61c07be9");
        stand.target("/q/x?api_key=K1", Then::Forwarded("/q/x"));
        stand.get("X-API-Key: wrong-2f8a61c07be9\r\n", INVALID);
        stand.target("/dead/x?api_key=K1", Then::Refused(&[502]));
        // Breaking off half-way is told at a level that is usually not shown.
        stand.connect().send(keyed(&format!("{GET}X-API-Key: K1\r\nX-Half"))).finish().rest();
        stand.gate().stderr.wait_for("level DEBUG", |line| line.contains("DEBUG"));
    }),
    case("ST-27", "an error tells nothing about the request or the upstream", |stand| {
        for format in ["text", "json"] {
            stand.config(&strict(format)).add(SLOW).add(DEAD);
            stand.secret("wrong-2f8a61c07be9");
            stand.script(|exchange| {
                exchange.ends_within(DEADLINE);
                exchange.close();
            });
            stand.allow_any("/slow/x?canary-query", 1);
            for (request, status) in ERRORS {
                let answer = stand.ask(request);
                stand.holds(answer.status == *status, || format!("{request}: {answer:?}"));
                let told = tells(stand, &answer);
                stand.holds(told.is_none(), || format!("{request}: {told:?} in {answer:?}"));
            }
            stand.anew();
        }
    }),
    case("ST-28", "labels of the metrics after 10,000 random paths and keys", |stand| {
        stand.add(ADMIN);
        let count = |stand: &Stand| {
            let scrape = stand.gate().metrics();
            let foreign = scrape.0.contains("random-") || scrape.0.contains("/api/");
            stand.holds(!foreign, || format!("a path or a key is told:\n{}", scrape.0));
            scrape.series().count()
        };
        let mut client = stand.connect();
        let mut ask = |numbers: std::ops::Range<usize>| {
            let random =
                |n: usize| format!("random-{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let request = |n| {
                let (path, key) = (random(2 * n), random(2 * n + 1));
                let folder = if n % 2 == 0 { "/api/v1/" } else { "/" };
                format!("GET {folder}{path} HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n")
            };
            client.send(numbers.clone().map(request).collect::<String>());
            for n in numbers {
                let status = client.response().status;
                stand.holds(status == if n % 2 == 0 { 401 } else { 404 }, || status.to_string());
            }
        };
        ask(0..2);
        let refused = "keygate_decisions_total{location=\"hdr\",result=\"invalid_api_key\"}";
        stand.gate().wait_for_metric(refused, 1.0);
        let before = count(stand);
        (1..100).for_each(|hundred| ask(100 * hundred..100 * (hundred + 1)));
        ask(2..100);
        stand.gate().wait_for_metric(refused, 5_000.0);
        let after = count(stand);
        stand.holds(before == after, || format!("{before} series became {after}"));
    }),
    case("ST-29", "the system shows no key that came from a file", |stand| {
        stand.file("keys.txt", "K1\nK2\n").env("API_KEY_FILE", "config/keys.txt");
        stand.arguments(&["--upstream", "http://{origin}", "--listen", "127.0.0.1:0"]);
        stand.get("X-API-Key: K1\r\n", PASSES).get("X-API-Key: K2\r\n", PASSES);
        for name in ["cmdline", "environ"] {
            let path = format!("/proc/{}/{name}", stand.gate().pid());
            let read = fs::read(path).is_ok_and(|bytes| !bytes.is_empty());
            stand.holds(read, || format!("{name} cannot be read"));
        }
    }),
    case("ST-30", "neither `check` nor the start shows a key", |stand| {
        stand.get("X-API-Key: K1\r\n", PASSES);
        let config = reference(stand.origin());
        let good = check(&[("keygate.toml", &config)], &[]);
        assert!(good.code == Some(0) && good.stdout.contains("/admin/"), "{good:?}");
        // The lines that are shown beside an error hold the keys.
        let wrong = config.replace("header = \"X-API-Key\"", "header = \"X API Key\"");
        let wrong = check(&[("keygate.toml", &wrong)], &[]);
        let text = wrong.stdout + &wrong.stderr;
        let found = Canaries::of(&[K1, K2]).found_in(text.as_bytes());
        assert!(wrong.code == Some(1) && found.is_none(), "{text}");
    }),
    elsewhere(
        "ST-31",
        "what cannot be stripped is not forwarded",
        "cargo test --lib what_the_credential_could_not_be_removed_from_is_not_forwarded",
    ),
    case("ST-32", "the URL that a proxy in front was asked for loses the key too", |stand| {
        stand.server("trusted_proxies = [\"127.0.0.0/8\"]\n");
        for name in ["X-Forwarded-Uri", "X-Original-URI", "X-Original-URL", "X-Rewrite-URL"] {
            stand.credential(name);
            let head = forwarded(stand, QUERY, &format!("{name}: /q/x?a=1&api_key=K1\r\n"));
            stand.holds(head.value(name) == Some("/q/x?a=1"), || format!("{name}: {head:?}"));
        }
    }),
    case("ST-33", "a naive upstream sends the key back in Location", |stand| {
        stand.answer(keyed(
            "HTTP/1.1 302 Found\r\nLocation: /q/x?api_key=K1\r\nContent-Length: 0\r\n\r\n",
        ));
        // The answer is the upstream's; only the log is ours.
        stand.shows(&[Place::Answers]).allow_any("/q/x", 1);
        let answer = stand.ask("GET /q/x?api_key=K1 HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let location = answer.value("Location");
        stand.holds(location == keyed("/q/x?api_key=K1"), || location.to_owned());
    }),
    case("ST-34", "without hiding the key is forwarded as it came, once", |stand| {
        for (source, target, line) in [
            ("header = \"X-API-Key\"\n", "/x?a=1", "X-API-Key: K1"),
            ("query = \"api_key\"\n", "/x?c=%31&api_key=K1&a=3", "X-Other: 1"),
            ("sources = [\"cookie:key\"]\n", "/x", "Cookie: b=1; key=K1; a=2"),
            ("sources = [\"bearer\"]\n", "/x", "Authorization: bearer  K1"),
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{line}\r\n\r\n");
            stand.config(&one_location(source, "").replace("hide_credentials = true\n", ""));
            stand.probe(&request).shows(&[Place::Origin, Place::Answers]);
            stand.allow(target, &request);
            stand.ask(&request);
            let raw = String::from_utf8_lossy(&stand.origin().last().bytes()).into_owned();
            stand.holds(raw.matches(K1).count() == 1, || raw);
            stand.anew();
        }
    }),
    elsewhere(
        "ST-35",
        "a panic ends its connection only, and shows nothing of the request",
        "cargo test --lib a_panic",
    ),
    case("ST-36", "no memory holds a key that was read, before a reload or after", |stand| {
        stand.file("ZZ.toml", &keyed(EXTRA)).get("X-API-Key: wrong\r\n", INVALID);
        no_key_in_memory(stand);
        stand
            .gate()
            .write("ZZ.toml", &keyed(EXTRA).replace(K2, "k5_aa97302150fce811425cd84537028a5a"));
        stand.gate().signal("HUP");
        let stderr = &stand.gate().stderr;
        stderr.wait_for("reloaded", |line| line.contains("reloaded the configuration"));
        no_key_in_memory(stand);
    }),
    case("ST-37", "a core dump is not written", |stand| {
        // The gate begins with the limit of who starts it.
        let Rlimit { maximum, .. } = getrlimit(Resource::Core);
        let raised = setrlimit(Resource::Core, Rlimit { current: maximum, maximum });
        assert!(raised.is_ok(), "{raised:?}");
        stand.get("X-API-Key: K1\r\n", PASSES);
        let limits = fs::read_to_string(format!("/proc/{}/limits", stand.gate().pid()));
        let limits = limits.expect("it runs");
        let line = limits.lines().find(|line| line.starts_with("Max core file size"));
        let soft = line.and_then(|line| line.split_whitespace().nth(4));
        stand.holds(matches!(soft, Some("0" | "1")), || format!("{line:?}"));
    }),
    case("ST-38", "an upstream that repeats the request repeats no key", |stand| {
        stand.script(|exchange| {
            exchange.read_body();
            let raw = exchange.request.raw.clone();
            exchange.reply(200, &raw);
        });
        for (target, request) in [
            ("/q/x", "GET /q/x?api_key=K1 HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned()),
            ("/api/v1/x", format!("{GET}X-API-Key: K1\r\nX-API-Keys: 1\r\n\r\n")),
        ] {
            stand.allow(target, &request);
            let text = stand.ask(request).text();
            stand.holds(text.starts_with("GET /") && text.contains("a.test"), || text);
        }
    }),
];
