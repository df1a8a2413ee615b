//! `keygate smoke`: what is guarded passes, and each hole is found by the probe for it.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::reference::{K1, guarded, half_open, simple};
use crate::support::{
    Client, DEADLINE, Exchange, Head, Origin, Output, holds_within, run, run_under, wait_until,
};

/// Runs `smoke` against an address, with this key on its standard input.
#[track_caller]
fn smoke(address: &str, key: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    fs::write(folder.path().join("key"), key).expect("the folder can be written");
    let with_key = ["sh", "-c", "exec \"$0\" \"$@\" < key"];
    let url = format!("http://{address}");
    run_under(&with_key, &[&["smoke", &url], arguments].concat(), folder.path(), &[])
}

/// What came of each probe: its name, and whether it is well.
fn verdicts(output: &Output) -> Vec<(String, bool)> {
    let told: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let probes = told["probes"].as_array().expect("there are probes");
    let verdict = |probe: &Value| {
        let name = probe["probe"].as_str().expect("a name").to_owned();
        (name, probe["ok"] == true)
    };
    probes.iter().map(verdict).collect()
}

/// The names of the probes that failed.
fn failed(output: &Output) -> Vec<String> {
    let failed = verdicts(output).into_iter().filter(|(_, ok)| !ok);
    failed.map(|(name, _)| name).collect()
}

#[test]
fn a_gate_passes() {
    let origin = Origin::echo();
    for (gate, arguments) in [
        (guarded(&origin), &["--path", "/api/v1/x", "--path", "/api/v1"][..]),
        (half_open(&origin), &["--header", "x-api-key", "--path", "/api/v1/x"]),
        (half_open(&origin), &["--query", "api_key", "--path", "/q/x"]),
        (simple(&origin, ""), &["--path", "/"]),
    ] {
        let address = gate.address.to_string();
        let before = origin.count();
        let output = smoke(&address, &format!("{K1}\n"), arguments);
        assert_eq!((output.code, &*output.stderr), (Some(0), ""), "{arguments:?} {output:?}");
        let lines = output.stdout.lines().filter(|line| line.starts_with("ok ")).count();
        assert!(lines >= 50, "only {lines} probes: {output:?}");
        let end = format!("\nall {lines} probes were answered as they must be\n");
        assert!(output.stdout.ends_with(&end), "{output:?}");
        // Only what has the key, and has it right, has passed.
        let paths = arguments.iter().filter(|argument| **argument == "--path").count();
        assert_eq!(origin.count() - before, paths, "{arguments:?}");
    }
}

#[test]
fn without_a_key_what_needs_it_is_left_out_and_that_is_said() {
    let origin = Origin::echo();
    let gate = half_open(&origin);
    let url = format!("http://{}/api/v1/x", gate.address);
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let output = run(&["smoke", &url], folder.path(), &[]);
    assert_eq!((output.code, origin.count()), (Some(0), 0), "{output:?}");
    assert!(output.stderr.starts_with("note: no key came on the standard input"), "{output:?}");
    assert!(!output.stdout.contains("<key>"), "{output:?}");
    let count = output.stdout.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(count >= 40, "only {count} probes: {output:?}");
}

#[test]
fn a_gate_that_takes_keys_in_two_places_is_asked_about_both() {
    let origin = Origin::echo();
    let address = origin.address.to_string();
    let arguments = ["--upstream", &*address, "--listen", "127.0.0.1:0"];
    let gate = crate::support::Gate::launch(&[], &arguments, &[("API_KEY", K1)]);
    let both = ["--header", "X-API-Key", "--bearer", "--path", "/x", "--json"];
    let output = smoke(&gate.address.to_string(), K1, &both);
    assert_eq!((output.code, failed(&output)), (Some(0), Vec::new()), "{output:?}");
    // Whoever names one of them is told of the other.
    for (arguments, other) in
        [(&["--bearer"][..], "the key in a header"), (&[], "the key as a bearer token")]
    {
        let arguments = [arguments, &["--path", "/x", "--json"]].concat();
        let output = smoke(&gate.address.to_string(), K1, &arguments);
        assert_eq!((output.code, &failed(&output)[..]), (Some(1), &[other.to_owned()][..]));
    }
}

#[test]
fn what_no_gate_guards_fails() {
    let origin = Origin::scripted(|exchange| {
        exchange.reply(200, b"");
        exchange.close();
    });
    let bare = smoke(&origin.address.to_string(), K1, &["--json"]);
    assert_eq!(bare.code, Some(1), "{bare:?}");
    let passed = verdicts(&bare).into_iter().filter(|(_, ok)| *ok);
    assert_eq!(passed.map(|(name, _)| name).collect::<Vec<_>>(), ["the key"], "{bare:?}");
    let gate = half_open(&origin);
    let open = smoke(&gate.address.to_string(), "", &["--path", "/public/x"]);
    assert_eq!(open.code, Some(1), "{open:?}");
    let lines = open.stdout.lines().filter(|line| line.starts_with("FAILED  200 ")).count();
    assert!(lines > 10 && open.stdout.contains("probes FAILED\n"), "{open:?}");
}

/// Answers that are no clear refusal.
#[test]
fn what_is_not_clearly_refused_has_failed() {
    for answer in [
        "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Error\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 204 None\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-Server\r\n",
    ] {
        let origin = Origin::scripted(move |exchange| {
            exchange.write(answer);
            exchange.close();
        });
        let output = smoke(&origin.address.to_string(), "", &["--json"]);
        let ok = verdicts(&output).into_iter().filter(|(_, ok)| *ok).count();
        assert_eq!((output.code, ok), (Some(1), 0), "{answer:?} {output:?}");
    }
    let origin = Origin::scripted(Exchange::close);
    let output = smoke(&origin.address.to_string(), "", &["--json"]);
    assert_eq!((output.code, output.stdout.contains("\"ok\": true")), (Some(1), false));
    assert!(output.stdout.contains("\"error\": \"closed\""), "{output:?}");
}

/// What a careless check lets through: a name, and whether it takes a request for one to let
/// through.
type Hole = (&'static [&'static str], fn(&Head) -> bool);

fn method(head: &Head) -> &str {
    head.start.split(' ').next().unwrap_or_default()
}

fn has(head: &Head, name: &str, value: &str) -> bool {
    head.values(name).contains(&value)
}

const HOLES: &[Hole] = &[
    (&["HEAD"], |head| method(head) == "HEAD"),
    (&["OPTIONS"], |head| method(head) == "OPTIONS"),
    (&["a method in lower case"], |head| method(head) == "get"),
    (&["a WebSocket"], |head| has(head, "upgrade", "websocket")),
    (&["an upgrade"], |head| has(head, "upgrade", "anything")),
    (&["HTTP/1.0"], |head| head.start.ends_with("/1.0")),
    (&["an absolute target", "an absolute target of another host"], |head| {
        head.second_word().starts_with("http")
    }),
    (&["from this machine"], |head| has(head, "x-forwarded-for", "127.0.0.1")),
    (&["another path for the API"], |head| head.has("x-original-url")),
    (&["another method in a field"], |head| head.has("x-http-method-override")),
    (&["a body that waits"], |head| head.has("expect")),
    (&["two lengths"], |head| head.has("transfer-encoding")),
    (&["an empty key"], |head| head.value("x-api-key") == Some("")),
    (&["a key named by Connection"], |head| has(head, "connection", "close, X-API-Key")),
    (&["the key twice", "the key before a wrong one"], |head| {
        head.values("x-api-key").len() == 2 && head.value("x-api-key") == Some(K1)
    }),
    (&["the key behind a wrong one"], |head| {
        let all = head.values("x-api-key");
        all.len() == 2 && all[0] != K1 && all[1] == K1
    }),
    (&["the key and one byte", "the key twice in one"], |head| {
        head.value("x-api-key").is_some_and(|key| key.starts_with(K1) && key != K1)
    }),
    (&["the key less one byte"], |head| head.value("x-api-key") == Some(&K1[..K1.len() - 1])),
    (&["the key with a blank in it"], |head| {
        let joined = head.value("x-api-key").map(|key| key.replace(' ', ""));
        joined.as_deref() == Some(K1) && head.value("x-api-key") != Some(K1)
    }),
    (&["the key in the other case"], |head| {
        head.value("x-api-key").is_some_and(|key| key != K1 && key.eq_ignore_ascii_case(K1))
    }),
    (&["the key under a name with _"], |head| has(head, "x_api_key", K1)),
    (&["the key in a cookie"], |head| head.value("cookie").is_some_and(|c| c.contains(K1))),
    (&["the key in the query"], |head| head.second_word().contains(K1)),
    (&["the key as a bearer token"], |head| {
        head.value("authorization") == Some(&format!("Bearer {K1}"))
    }),
    (&["the key under another scheme"], |head| {
        head.value("authorization") == Some(&format!("Basic {K1}"))
    }),
    (&["the key without a scheme"], |head| has(head, "authorization", K1)),
    (&["a slash twice"], |head| head.second_word().starts_with("//g")),
    (&["a parameter behind"], |head| head.second_word().ends_with(";a")),
    (&["letters in the other case"], |head| head.second_word() == "/GUARDED"),
    (&["a letter encoded"], |head| head.second_word() == "/%67uarded"),
    (&["a backslash"], |head| head.second_word() == "/\\guarded"),
];

#[test]
fn each_hole_is_found_by_the_probe_for_it() {
    for (expected, hole) in HOLES {
        let origin = Origin::scripted(|exchange| {
            let head = &exchange.request;
            let right = head.values("x-api-key") == [K1] && head.second_word() == "/guarded";
            let status = if right || hole(head) { 200 } else { 401 };
            exchange.reply(status, b"");
            exchange.close();
        });
        let output = smoke(&origin.address.to_string(), K1, &["--path", "/guarded", "--json"]);
        assert_eq!(output.code, Some(1), "{expected:?} {output:?}");
        assert_eq!(failed(&output), *expected, "{output:?}");
    }
}

#[test]
fn a_key_that_does_not_pass_has_failed() {
    for status in [401, 403, 400, 429, 502] {
        let origin = Origin::scripted(move |exchange| {
            let status = if exchange.request.values("x-api-key") == [K1] { status } else { 401 };
            exchange.reply(status, b"");
            exchange.close();
        });
        let output = smoke(&origin.address.to_string(), K1, &["--json"]);
        assert_eq!(failed(&output), ["the key"], "{status} {output:?}");
    }
}

#[test]
fn what_cannot_be_reached_or_is_not_meant_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let free = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    let output = smoke(&free, "", &[]);
    assert_eq!((output.code, &*output.stdout), (Some(3), ""), "{output:?}");
    assert!(output.stderr.contains("cannot be reached"), "{output:?}");
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    for arguments in [
        &["ftp://127.0.0.1"][..],
        &["http://127.0.0.1", "--ca", "ca.pem"],
        &["127.0.0.1"],
        &["http://127.0.0.1", "--path", "x"],
        &["http://127.0.0.1", "--header", "a b"],
        &["http://127.0.0.1", "--query", "a&b"],
    ] {
        let output = run(&[&["smoke"], arguments].concat(), folder.path(), &[]);
        assert_eq!((output.code, &*output.stdout), (Some(2), ""), "{output:?}");
        assert!(output.stderr.starts_with("error: "), "{output:?}");
    }
    for key in ["a key", "a\nb", "\u{e9}"] {
        let output = smoke(&free, key, &[]);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("is no key"), "{output:?}");
    }
}

/// An nginx that checks a key with a `map`, as many do, and opens everything else.
struct Nginx {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Nginx {
    #[track_caller]
    fn start(origin: &Origin) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        drop(listener);
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path t; proxy_temp_path t;\n\
             fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;\n\
             map $http_x_api_key $known {{ default 0; \"{K1}\" 1; }}\n\
             server {{ listen {address};\n\
             location / {{ proxy_pass http://{origin}; }}\n\
             location /guarded {{\n\
             if ($known = 0) {{ return 401; }} proxy_pass http://{origin}; }}\n\
             }} }}\n",
            origin = origin.address
        );
        let path = folder.path().join("nginx.conf");
        fs::write(&path, config).expect("the folder can be written");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&path).args(["-e", "stderr"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("there is an nginx");
        let listens = || {
            std::net::TcpStream::connect(&*address).is_ok()
                || child.try_wait().is_ok_and(|ended| ended.is_some())
        };
        assert!(holds_within(DEADLINE, listens), "nginx does not listen");
        Self { child, address, _folder: folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_holes_of_a_map_in_nginx_are_found() {
    let origin = Origin::echo();
    let nginx = Nginx::start(&origin);
    wait_until("nginx answers", || {
        let mut client = Client::connect(nginx.address.parse().expect("an address"));
        client.send("GET /guarded HTTP/1.1\r\nHost: a.test\r\n\r\n").response().status == 401
    });
    let output = smoke(&nginx.address, K1, &["--path", "/guarded", "--json"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let failed = failed(&output);
    // nginx compares without case, and a path in another case is another location to it.
    for hole in ["the key in the other case", "letters in the other case"] {
        assert!(failed.iter().any(|name| name == hole), "{hole}: {failed:?}");
    }
    assert!(!failed.iter().any(|name| ["no key", "a wrong key"].contains(&&**name)), "{failed:?}");
}
