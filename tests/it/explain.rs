//! `keygate explain` against a gate with the same configuration: what the one says, the other does.

use std::fs;

use keygate::keys::digest::Digest;
use serde_json::Value;

use crate::reload::LISTEN;
use crate::support::reference::{K1, K2, ROOT, keyed, reference, upstream};
use crate::support::{
    Canaries, Client, Gate, Origin, Output, Recorded, Response, run, run_fed, run_under,
};

/// What the reference configuration lacks: hosts, methods, a key that is not hidden, a limit.
const MORE: &str = r#"
[plugins.shown]
category = "key-auth"
sources = ["bearer", "query:token", "cookie:key"]
keys = ["K1"]
errors = "json"

[locations.host]
path = "/host/"
host = "a.test, *.b.test"
upstream = "own"
plugins = ["shown"]
[locations.reads]
path = "/methods/"
methods = ["GET"]
upstream = "rec"
public = true
[locations.writes]
path = "/methods/"
methods = ["POST"]
upstream = "rec"
plugins = ["kh"]
[locations.small]
path = "~^/small/[0-9]+$"
host = "a.test"
upstream = "rec"
public = true
client_max_body_size = "4B"
[locations.exact]
path = "=/exact/"
upstream = "rec"
plugins = ["shown"]
"#;

/// Requests as a method, a URL and the lines of a header.
const REQUESTS: &[(&str, &str, &str)] = &[
    // Keys.
    ("GET", "http://a.test/api/v1/x", ""),
    ("GET", "http://a.test/api/v1/x", "X-API-Key: K1"),
    ("GET", "http://a.test/api/v1/x", "x-api-KEY:   K1  \nAccept: */*\nX-Other: 1"),
    ("GET", "http://a.test/api/v1/x", "X-API-Key: K2"),
    ("GET", "http://a.test/api/v1/x", "X-API-Key: wrong"),
    ("GET", "http://a.test/api/v1/x", "X-API-Key:"),
    ("GET", "http://a.test/api/v1/x", "X-API-Key: K1\nX-API-Key: K1"),
    ("GET", "http://a.test/api/v1/x", "X_API_Key: K1"),
    ("GET", "http://a.test/api/v1/x", "X-API-Key: K1\nX_API_Key: evil"),
    ("GET", "http://a.test/api/v1/x?api_key=K1", ""),
    ("GET", "http://a.test/q/x?a=1&api_key=K1&b", ""),
    ("GET", "http://a.test/q/x?api%5Fkey=K1", "Referer: /q/?api_key=K1&z"),
    ("GET", "http://a.test/q/x?api_key=K1&api_key=K1", ""),
    ("GET", "http://a.test/q/x", "X-API-Key: K1"),
    ("GET", "http://a.test/admin/x", "X-API-Key: K1"),
    ("GET", "http://a.test/admin/x", "X-API-Key: K2"),
    ("GET", "http://a.test/public/x?api_key=K1", "X-API-Key: K1\nCookie: a=b"),
    ("GET", "http://a.test/host/x", "Authorization: Bearer K1"),
    ("GET", "http://a.test/host/x", "Authorization: Basic K1"),
    ("GET", "http://a.test/host/x?token=K1&a", ""),
    ("GET", "http://a.test/host/x", "Cookie: a=b; key=K1"),
    ("GET", "http://a.test/host/x", "Content-Type: application/grpc"),
    ("GET", "http://a.test/api/v1/x", "Content-Type: application/grpc+proto"),
    // Spellings of paths, with everything else open.
    ("GET", "http://a.test/", ""),
    ("GET", "http://a.test", ""),
    ("GET", "http://a.test?a", ""),
    ("GET", "http://a.test/api/v1", ""),
    ("GET", "http://a.test/api/v1x", ""),
    ("GET", "http://a.test/api/V1/x", ""),
    ("GET", "http://a.test//api/v1/x", "X-API-Key: K1"),
    ("GET", "http://a.test/public/../api/v1/x", ""),
    ("GET", "http://a.test/public/%2e%2e/api/v1/x", ""),
    ("GET", "http://a.test/public/a%2fb;c/x//y", ""),
    ("GET", "http://a.test/api/v1/a%2fb", "X-API-Key: K1"),
    ("GET", "http://a.test/api/v1/;x", "X-API-Key: K1"),
    ("GET", "http://a.test/%61dmin/x", ""),
    ("GET", "http://a.test/admin%2fx", ""),
    ("GET", "http://a.test/admin;a=b/x", ""),
    ("GET", "http://a.test/public\\..\\admin\\x", ""),
    ("GET", "http://a.test/%", ""),
    ("GET", "http://a.test/%00", ""),
    ("GET", "http://a.test/a#b", ""),
    ("GET", "http://a.test/exact/", "Authorization: bearer K1"),
    ("GET", "http://a.test/exact", ""),
    ("GET", "http://a.test/small/1", ""),
    ("GET", "http://a.test/a b", ""),
    ("GET", "http://a.test/caf\u{e9}", ""),
    // Methods.
    ("HEAD", "http://a.test/api/v1/x", ""),
    ("OPTIONS", "*", ""),
    ("GET", "*", ""),
    ("TRACE", "http://a.test/", ""),
    ("CONNECT", "http://a.test/", ""),
    ("FOOBAR", "http://a.test/api/v1/x", ""),
    ("get", "http://a.test/api/v1/x", ""),
    ("G#T", "http://a.test/api/v1/x", ""),
    ("GET", "http://a.test/methods/x", ""),
    ("POST", "http://a.test/methods/x", ""),
    ("POST", "http://a.test/methods/x", "X-API-Key: K1"),
    ("PUT", "http://a.test/methods/x", ""),
    ("GET", "http://a.test/methods/x", "X-HTTP-Method-Override: POST"),
    ("POST", "http://a.test/methods/x", "X-Method-Override: post"),
    // Hosts.
    ("GET", "http://x.b.test:80/host/x", ""),
    ("GET", "http://x.B.test./host/x", "Authorization: Bearer K1"),
    ("GET", "http://c.test/host/x", ""),
    ("GET", "http://u@a.test/", ""),
    ("GET", "http://a.test/", "Host: a.test\nHost: a.test"),
    ("GET", "http://a.test/", "Host:"),
    // What belongs to one connection, or only to keygate.
    ("GET", "http://a.test/x", "Connection: close, X-A\nX-A: 1\nX-B: 2\nTE: trailers"),
    ("GET", "http://a.test/api/v1/x", "X-API-Key: K1\nConnection: X-API-Key"),
    ("GET", "http://a.test/x", "X-Consumer-Username: admin\nX-Forwarded-For: 1.2.3.4"),
    ("GET", "http://a.test/x", "X_Real_IP: 1.2.3.4\nForwarded: for=1.2.3.4\nX-Request-Id: mine"),
    ("GET", "http://a.test/x", "X-Trace: 9f86d081884c7d659a2feaa0c55ad015"),
    ("GET", "http://a.test/x", "Upgrade: h2c\nConnection: Upgrade"),
    (
        "GET",
        "http://a.test/x",
        "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Key: abc\n\
         Sec-WebSocket-Version: 13",
    ),
    // Bodies.
    ("POST", "http://a.test/x", "Content-Length: 5"),
    ("POST", "http://a.test/x", "Content-Length: 0"),
    ("POST", "http://a.test/x", "Content-Length: 05\nExpect: 100-continue"),
    ("POST", "http://a.test/small/1", "Content-Length: 4"),
    ("POST", "http://a.test/small/1", "Content-Length: 5"),
    ("POST", "http://a.test/x", "Content-Length: 5\nContent-Length: 6"),
    ("POST", "http://a.test/x", "Transfer-Encoding: gzip"),
    ("POST", "http://a.test/x", "Transfer-Encoding: chunked\nTrailer: X-A"),
    ("GET", "http://a.test/x", "A : b"),
    ("GET", "http://a.test/x", ": b"),
    ("GET", "http://a.test/x", "A: \u{7}"),
];

fn configuration(origin: &Origin) -> String {
    let own = format!("[upstreams.own]\naddrs = [\"{}\"]\nhost = \"upstream\"\n", origin.address);
    reference(origin) + ROOT + &own + &keyed(MORE)
}

/// The request as a client sends it, with a body where its header says so.
fn bytes(method: &str, url: &str, lines: &str) -> Vec<u8> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, target) = if rest == "*" { ("localhost", "*") } else { rest.split_at(end) };
    let slash = if target.starts_with(['/', '*']) { "" } else { "/" };
    let mut text = format!("{method} {slash}{target} HTTP/1.1\r\n");
    if !lines.lines().any(|line| line.starts_with("Host:")) {
        text += &format!("Host: {host}\r\n");
    }
    lines.lines().for_each(|line| text += &format!("{line}\r\n"));
    text += "\r\n";
    let length = lines.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    text += &"b".repeat(length.and_then(|length| length.parse().ok()).unwrap_or(0));
    if lines.contains("Transfer-Encoding: chunked") {
        text += "1\r\nb\r\n0\r\n\r\n";
    }
    text.into_bytes()
}

/// Has a request explained, its header read from a file.
#[track_caller]
fn explained(gate: &Gate, method: &str, url: &str, lines: &str) -> (Value, Output) {
    fs::write(gate.folder().join("header"), lines).expect("the folder can be written");
    fs::write(gate.folder().join("url"), url).expect("the folder can be written");
    let arguments = ["explain", method, "@url", "-H", "@header", "--json"];
    let output = run(&arguments, gate.folder(), &[]);
    let told = serde_json::from_str(&output.stdout);
    (told.unwrap_or_else(|error| panic!("{error}: {output:?}")), output)
}

/// Sends a request, and reads what comes of it.
#[track_caller]
fn answer(client: &mut Client, method: &str, request: &[u8]) -> Response {
    client.send(request);
    if method == "HEAD" { client.response_to_head() } else { client.response() }
}

/// Whether a line that was shown is the line that was sent, `***` aside.
fn is_alike(shown: &str, sent: &str) -> bool {
    let shown = shown.replace("(a new one)", "***");
    let mut rest = sent;
    let mut pieces = shown.split("***").peekable();
    while let Some(piece) = pieces.next() {
        let found = match pieces.peek() {
            _ if std::ptr::eq(rest, sent) => rest.starts_with(piece).then_some(0),
            None => rest.ends_with(piece).then(|| rest.len() - piece.len()),
            Some(_) => rest.find(piece),
        };
        let Some(at) = found else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty() || shown.ends_with("***")
}

#[test]
fn a_mask_stands_for_anything_and_nothing_else_does() {
    assert!(is_alike("a: b", "a: b") && is_alike("a: ***", "a: b") && is_alike("a: ***", "a: "));
    assert!(is_alike("GET /?a=***&b H", "GET /?a=1&b H"));
    for sent in ["a: bc", "a: ", "b: b", "xa: b"] {
        assert!(!is_alike("a: b", sent), "{sent}");
    }
    assert!(!is_alike("GET /?a=***&b H", "GET /?a=1&b I"));
    assert!(!is_alike("GET /?a=***&b H", "GET /?b=1&b H"));
}

/// Compares what is told of a request with what became of it.
#[track_caller]
fn check(gate: &Gate, origin: &Origin, (method, url, lines): (&str, &str, &str)) {
    let (url, lines) = (keyed(url), keyed(lines));
    let before = origin.count();
    let response = answer(&mut gate.client(), method, &bytes(method, &url, &lines));
    let (told, output) = explained(gate, method, &url, &lines);
    let context = format!("{method} {url}\n{lines}\n{told:#}\n{}", response.head.start);

    let arrived: Vec<Recorded> = origin.requests().split_off(before);
    let forwarded = told["outcome"]["forwarded"]["head"].as_array();
    assert_eq!(arrived.len(), usize::from(forwarded.is_some()), "{context}");
    if let Some(shown) = forwarded {
        let sent = String::from_utf8_lossy(&arrived[0].head.raw).into_owned();
        let sent: Vec<_> = sent.trim_end().split("\r\n").collect();
        assert_eq!(sent.len(), shown.len(), "{sent:#?}\n{context}");
        for (shown, sent) in shown.iter().zip(&sent) {
            let shown = shown.as_str().expect("a line is a string");
            assert!(is_alike(shown, sent), "{shown:?} was {sent:?}\n{context}");
        }
    }
    let code = i32::from(forwarded.is_none());
    assert_eq!((output.code, &*output.stderr), (Some(code), ""), "{context}");

    // Both heads that keygate writes have the id: the one upstream, or that of its own answer.
    let sent = arrived.first().map_or(&response.head, |arrived| &arrived.head);
    let id = format!(" id={}", sent.value("x-request-id").unwrap_or_default());
    let line = gate.stdout.wait_for(&id, |line| line.ends_with(&id));
    let location = told["location"]["name"].as_str().unwrap_or("-");
    assert!(line.contains(&format!(" location={location} ")), "{line}\n{context}");
    if forwarded.is_some() {
        return;
    }
    assert_eq!(told["outcome"]["answered"]["status"], response.status, "{context}");
    let says = told["outcome"]["answered"]["says"].as_str().expect("a sentence");
    let grpc = !response.value("grpc-status").is_empty();
    assert!(method == "HEAD" || grpc || response.text().contains(says), "{context}");
}

#[test]
fn what_is_told_of_a_request_is_what_becomes_of_it() {
    assert!(REQUESTS.len() >= 60);
    let origin = Origin::scripted(|exchange| {
        exchange.read_body();
        exchange.reply(200, b"");
    });
    let gate = Gate::on(&configuration(&origin));
    for request in REQUESTS {
        check(&gate, &origin, *request);
    }
    let forwarded = origin.count();
    assert!((20..REQUESTS.len() - 40).contains(&forwarded), "{forwarded} were forwarded");
}

#[test]
fn where_not_everything_is_open_it_says_why_there_is_no_location() {
    let origin = Origin::echo();
    let own = format!("[upstreams.own]\naddrs = [\"{}\"]\nhost = \"upstream\"\n", origin.address);
    let gate = Gate::on(&(reference(&origin) + &own + &keyed(MORE)));
    for (request, why) in [
        (("GET", "http://a.test/x", ""), "no location has this path"),
        (
            ("GET", "http://c.test/host/x", ""),
            "no location takes the request: `host` is for another host",
        ),
        (
            ("PUT", "http://a.test/methods/x", ""),
            "no location takes the request: `reads` takes other methods, `writes` takes other methods",
        ),
    ] {
        check(&gate, &origin, request);
        let (told, _) = explained(&gate, request.0, request.1, request.2);
        let answer = &told["outcome"]["answered"];
        assert_eq!((&answer["status"], &answer["why"]), (&404.into(), &why.into()), "{told:#}");
    }
}

#[test]
fn what_a_trusted_proxy_says_is_believed_alike() {
    let origin = Origin::echo();
    let server = "[server]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let config = server.to_owned() + &configuration(&origin);
    let gate = Gate::with(&[("keygate.toml", &config)]);
    for lines in [
        "X-Forwarded-For: 203.0.113.7\nX-Forwarded-Proto: https",
        "X-Forwarded-For: 203.0.113.7, 127.0.0.1\nX-Forwarded-Host: b.test\nForwarded: for=x",
        "X-Request-Id: mine\nX-Real-IP: 10.0.0.1\nX_Real_IP: 10.0.0.1",
        "",
    ] {
        check(&gate, &origin, ("GET", "http://a.test/x", lines));
    }
    let (told, _) = explained(&gate, "GET", "/x", "X-Forwarded-For: 203.0.113.7");
    assert_eq!((&told["client"], &told["trusted"]), (&"203.0.113.7".into(), &true.into()));
}

#[test]
fn whose_key_it_is_and_what_plugins_set_is_told_without_what_they_know() {
    let origin = Origin::echo();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[upstreams.a]\naddrs = [\"{}\"]\n\
         [plugins.key-auth]\nheader = \"X-API-Key\"\nkeys_file = \"keys.toml\"\n\
         hide_credentials = true\n\
         [plugins.rate-limit]\nrate = \"2/1h\"\nby = \"key\"\n\
         [plugins.request-headers]\nset = {{ Authorization = \"Bearer K2\", X-Team = \"blue\" }}\n\
         [locations.a]\npath = \"/\"\nupstream = \"a\"\n\
         plugins = [\"key-auth\", \"rate-limit\", \"request-headers\"]\n",
        origin.address
    );
    let digest = Digest::of(K1.as_bytes()).written();
    let keys = format!("[[key]]\nid = \"laptop\"\nconsumer = \"alice\"\nhash = \"{digest}\"\n");
    let gate = Gate::with(&[("keygate.toml", &keyed(&config)), ("keys.toml", &keys)]);
    for _ in 0..3 {
        explained(&gate, "GET", "/x", &keyed("X-API-Key: K1"));
    }
    let request = ("GET", "http://a.test/x", "X-API-Key: K1\nAccept: */*");
    check(&gate, &origin, request);
    let (told, output) = explained(&gate, request.0, request.1, &keyed(request.2));
    assert_eq!(told["key"], serde_json::json!({ "id": "laptop", "consumer": "alice" }));
    let steps: Vec<_> = told["plugins"].as_array().expect("a list").iter().collect();
    assert_eq!(steps.len(), 3, "{told:#}");
    assert_eq!(steps[0]["why"], "the key is valid; removes x-api-key");
    assert_eq!(steps[2]["why"], "sets authorization, x-team");
    for line in ["authorization: ***", "x-team: ***", "x-consumer-username: alice"] {
        assert!(output.stdout.contains(line), "{line}: {told:#}");
    }
    // What was explained counts for nothing: two requests are within the limit, a third is not.
    let send = |gate: &Gate| {
        answer(&mut gate.client(), "GET", &bytes("GET", "http://a.test/x", &keyed("X-API-Key: K1")))
            .status
    };
    assert_eq!((send(&gate), send(&gate)), (200, 429));
}

/// Runs `explain` on the reference configuration in front of nothing.
#[track_caller]
fn explain(arguments: &[&str]) -> Output {
    explain_under(&[], arguments)
}

#[track_caller]
fn explain_under(starter: &[&str], arguments: &[&str]) -> Output {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    fs::write(folder.path().join("a.toml"), configuration(&origin)).expect("it can be written");
    fs::write(folder.path().join("header"), keyed("X-API-Key: K1\n\nAccept: */*\n"))
        .expect("it can be written");
    let all = [&["explain", "--config", "a.toml"], arguments].concat();
    let output = run_under(starter, &all, folder.path(), &[]);
    assert_eq!((origin.connections(), origin.count()), (0, 0), "explain connects to nobody");
    output
}

#[test]
fn a_key_from_a_file_or_the_standard_input_draws_no_note_and_one_in_sight_does() {
    for from in ["@header", "@-"] {
        let from_stdin = ["sh", "-c", "exec \"$0\" \"$@\" < header"];
        let output = explain_under(&from_stdin, &["GET", "/api/v1/x", "-H", from]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.stdout.contains("\n          accept: */*\n"), "{output:?}");
        assert!(!output.stdout.contains("note"), "{output:?}");
    }
    for (url, line) in [
        ("/api/v1/x", format!("X-API-Key: {K1}")),
        (&*format!("/q/x?api_key={K1}"), "A: b".to_owned()),
        ("/host/x", format!("authorization: Bearer {K2}")),
    ] {
        let output = explain(&["GET", url, "-H", &line]);
        let noted = output.stdout.contains("\nnote      a key on the command line is seen");
        assert!(noted, "{output:?}");
    }
}

#[test]
fn it_is_told_in_lines_for_people() {
    let output = explain(&["GET", "http://a.test/api/v1/%78", "-H", "@header"]);
    assert_eq!(
        output.stdout.lines().take(7).collect::<Vec<_>>(),
        [
            "request   GET /api/v1/%78",
            "client    127.0.0.1",
            "host      a.test",
            "location  hdr: path /api/v1/ (a prefix), host any, method any",
            "reading   all 8 ways to read the path lead there",
            "plugin    kh goes on: the key is valid; removes x-api-key",
            "key       valid; it has no name",
        ]
    );
    for (arguments, lines) in [
        (
            &["GET", "/public/..%2fadmin/x"][..],
            &[
                "reading   as it came the path leads to open",
                "reading   as /admin/x it leads to admin",
                "answered  400 Bad request",
            ][..],
        ),
        (&["POST", "/methods/x/../.."], &["answered  400 Bad request"]),
        (
            &["GET", "/exact", "--client", "unix"],
            &["client    a unix socket", "answered  400 Bad request"],
        ),
        (
            &["GET", "/api/v1/x"],
            &[
                "answered  401 Key missing",
                "because   there is no key where `kh` looks, or an empty one",
            ],
        ),
        (&["TRACE", "/"], &["because   the method is one that no origin gets to see"]),
    ] {
        let output = explain(arguments);
        assert_eq!((output.code, &*output.stderr), (Some(1), ""), "{output:?}");
        for line in lines {
            assert!(output.stdout.lines().any(|shown| shown == *line), "{line}: {output:?}");
        }
    }
}

#[test]
fn what_is_or_could_be_a_secret_is_masked() {
    let lines = "X-API-Key: a\nx.api.key: a\nAuthorization: Basic a\nCookie: a=b\n\
                 Referer: /?api_key=a&b\nX-Trace: 9f86d081884c7d65\nAccept: a";
    let origin = Origin::echo();
    let gate = Gate::on(&configuration(&origin));
    let (told, output) = explained(&gate, "GET", "/public/x?api_key=a&b", lines);
    let head = told["outcome"]["forwarded"]["head"].to_string();
    let expected = [
        "GET /public/x?api_key=***&b HTTP/1.1",
        "host: localhost",
        "x-api-key: ***",
        "x.api.key: ***",
        "authorization: ***",
        "cookie: ***",
        "referer: /?api_key=***&b",
        "x-trace: ***",
        "accept: a",
    ];
    let shown = expected.map(|line| format!("{line:?}")).join(",");
    assert!(head.starts_with(&format!("[{shown},")), "{head}");
    assert_eq!(told["request"], "GET /public/x?api_key=***&b", "{output:?}");
    // What a plugin wrote may hold what it knows and the client does not.
    let url = keyed("/q/x?api_key=K1");
    let (told, _) = explained(&gate, "GET", &url, "Referer: /?api_key=a&b");
    assert_eq!(told["outcome"]["forwarded"]["head"][2], "referer: ***", "{told:#}");
}

#[test]
fn wrong_usage_and_a_wrong_configuration_are_told_apart_from_an_answer() {
    for arguments in [
        &["GET"][..],
        &["GET", "a.test/x"],
        &["GET", "/x", "-H", "A"],
        &["GET", "/x", "-H", "@nowhere"],
        &["GET", "/x", "--client", "a.test"],
    ] {
        let output = explain(arguments);
        assert_eq!((output.code, &*output.stdout), (Some(2), ""), "{output:?}");
        assert!(!output.stderr.is_empty(), "{output:?}");
    }
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let output = run(&["explain", "GET", "/"], folder.path(), &[]);
    assert_eq!((output.code, &*output.stdout), (Some(1), ""), "{output:?}");
    assert!(output.stderr.contains("error: "), "{output:?}");
}

/// Why a key is refused, as a table: the rest of its record, the line of the request, and what is
/// told of it.
const REFUSED: &[(&str, &str, &str)] = &[
    ("expires = 2020-01-01T00:00:00Z", "GET", "the key has ended at 2020-01-01T00:00:00Z"),
    ("not_before = 2100-01-01T00:00:00Z", "GET", "the key begins at 2100-01-01T00:00:00Z"),
    ("disabled = true", "GET", "the key is disabled"),
    (
        "locations = []",
        "GET",
        "the key is valid, but not for this: `locations` of its record say so",
    ),
    (
        "methods = [\"GET\"]",
        "PUT",
        "the key is valid, but not for this: `methods` of its record say so",
    ),
    (
        "allow_ips = [\"10.0.0.0/8\"]\nmethods = []",
        "GET",
        "the key is valid, but not for this: `methods`, `allow_ips` of its record say so",
    ),
];

#[test]
fn why_a_key_is_refused_is_told_as_keys_verify_tells_it() {
    let origin = Origin::echo();
    let config = upstream(&origin)
        + "[plugins.key-auth]\nheader = \"X-API-Key\"\nkeys_file = \"keys.toml\"\n\
           hide_credentials = true\n[locations.a]\npath = \"/\"\nupstream = \"rec\"\n\
           plugins = [\"key-auth\"]\n";
    let digest = Digest::of(K1.as_bytes()).written();
    let files = [("keygate.toml", &*config), ("keys.toml", ""), ("server.toml", LISTEN)];
    let mut gate = Gate::with(&files);
    [K1, K2].iter().for_each(|key| gate.secret(key));
    let told = |method: &str, header: &str| {
        let (told, output) = explained(&gate, method, "/x", header);
        assert_eq!(Canaries::of(&[K1, K2]).found_in(output.stdout.as_bytes()), None, "{told:#}");
        told["outcome"]["answered"]["why"].as_str().unwrap_or_default().to_owned()
    };
    let verified = |key: &str| {
        let arguments = ["keys", "verify", "--json", "--file", "config/keys.toml"];
        let output = run_fed(key.as_bytes(), &arguments, gate.folder());
        let told: Value = serde_json::from_str(&output.stdout).expect("it is JSON");
        told["reason"].as_str().unwrap_or_default().to_owned()
    };
    let with_key = format!("X-API-Key: {K1}");
    for (more, method, reason) in REFUSED {
        gate.write(
            "keys.toml",
            &format!("[[key]]\nid = \"laptop\"\nhash = \"{digest}\"\n{more}\n"),
        );
        assert_eq!(
            told(method, &with_key),
            format!("`key-auth` says: {reason} (its id is laptop)")
        );
        if !reason.contains("valid") {
            assert_eq!(verified(K1), *reason);
        }
    }
    let other = Digest::of(K2.as_bytes()).written();
    let previous = format!(
        "[[key]]\nid = \"laptop\"\nhash = \"{other}\"\n\
         previous = {{ hash = \"{digest}\", until = 2020-01-01T00:00:00Z }}\n"
    );
    gate.write("keys.toml", &previous);
    let reason = "the key was replaced, and has ended at 2020-01-01T00:00:00Z";
    assert_eq!(told("GET", &with_key), format!("`key-auth` says: {reason} (its id is laptop)"));
    assert_eq!(verified(K1), reason);
    let generated = "kg_g823TRHieD7LChNyZvhgEm3Vcs3QC0RHMuuL2KIfhoA01O0SG";
    let mistyped = generated.replace("kg_g8", "kg_g9");
    for key in ["made-elsewhere-4711-0815", generated, &mistyped] {
        assert_eq!(
            told("GET", &format!("X-API-Key: {key}")),
            format!("`key-auth` says: {}", verified(key))
        );
    }
    let twice = told("GET", &format!("{with_key}\n{with_key}"));
    assert_eq!(twice, "`key-auth` says: there are several keys, or one of them twice");
    assert_eq!(told("GET", ""), "there is no key where `key-auth` looks, or an empty one");
}
