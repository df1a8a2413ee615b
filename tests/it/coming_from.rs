//! `docs/coming-from.md`: the configurations that it shows are right, and its commands print what
//! stands there.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use tempfile::TempDir;

use crate::examples::{Terminal, fenced, open};
use crate::support::{Gate, Origin, Recorded, run, run_fed, wait_until};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/coming-from.md"));

/// The keys of every configuration on the page.
const KEYS: [&str; 2] = ["key-for-alice-0123456789", "key-for-bob-0123456789"];

/// A folder with the files of the section below a heading, in which its command has printed what
/// stands there.
#[track_caller]
fn migrated(heading: &str) -> TempDir {
    let below = PAGE.split_once(&format!("\n## {heading}\n"));
    let (_, below) = below.unwrap_or_else(|| panic!("there is no heading {heading:?}"));
    let section = below.split("\n## ").next().unwrap_or_default();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let mut printed = None;
    for (language, text) in fenced(section) {
        match &*language {
            "sh" => printed = Some(Terminal::open(folder.path()).paste(&text)),
            "text" => {
                assert_eq!(printed.take().as_deref().map(str::trim_end), Some(text.trim_end()));
            }
            _ => {
                let (name, text) = text.split_once('\n').expect("a file has lines");
                let name = name.strip_prefix("# ").expect("the first line names the file");
                fs::write(folder.path().join(name), text).expect("the folder can be written");
            }
        }
    }
    assert!(folder.path().join("keys.toml").exists(), "nothing was imported");
    folder
}

/// The imported keys have these ids; the configuration draws no warning and guards the API.
/// Returns what the API saw last.
#[track_caller]
fn check(heading: &str, field: &str, ids: [&str; 2]) -> Recorded {
    let folder = migrated(heading);
    let checked = run(&["check", "--config", "keygate.toml"], folder.path(), &[]);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{checked:?}");
    for (key, id) in KEYS.iter().zip(ids) {
        let verify = ["keys", "verify", "--config", "keygate.toml"];
        let verified = run_fed(key.as_bytes(), &verify, folder.path());
        assert!(verified.stdout.starts_with(&format!("id {id},")), "{verified:?}");
    }
    let read = |name| fs::read_to_string(folder.path().join(name)).expect("it is there");
    let (keys, origin) = (read("keys.toml"), Origin::echo());
    assert!(KEYS.iter().all(|key| !keys.contains(key)), "{keys}");
    let config = read("keygate.toml").replace("127.0.0.1:8080", "127.0.0.1:0");
    let config = config.replace("127.0.0.1:8000", &origin.address.to_string());
    let gate = Gate::with(&[("keygate.toml", &config), ("keys.toml", &keys)]);
    for (key, status) in [(KEYS[0], 200), (KEYS[1], 200), ("KEY-FOR-ALICE-0123456789", 401)] {
        let request = format!(
            "GET /v1/x HTTP/1.1\r\nHost: a.test\r\nX-Consumer-ID: me\r\n{field}: {key}\r\n\r\n"
        );
        assert_eq!(gate.send(request).status, status, "{heading}: {key}");
    }
    assert_eq!(origin.count(), 2);
    origin.last()
}

#[test]
fn from_pingap() {
    check("From pingap", "X-Api-Key", ["auth", "auth-1"]);
}

#[test]
fn from_kong() {
    let seen = check("From Kong", "apikey", ["alice", "bob"]);
    assert!(!seen.head.has("x-consumer-id") && seen.head.has("x-consumer-username"), "{seen:?}");
}

#[test]
fn from_nginx() {
    check("From nginx", "X-Api-Key", ["alice", "bob"]);
}

/// What the shown nginx answers to a request with these lines.
#[track_caller]
fn nginx_says(socket: &Path, lines: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("nginx listens");
    let request = format!("GET /v1/x HTTP/1.1\r\nHost: a.test\r\n{lines}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("nginx reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("nginx answers");
    answer.split(' ').nth(1).expect("it has a status").to_owned()
}

#[test]
fn what_is_said_of_nginx_is_so() {
    let (folder, origin) = (migrated("From nginx"), Origin::echo());
    let path = folder.path().join("nginx.conf");
    let shown = fs::read_to_string(&path).expect("it is there");
    let shown = shown.replace("127.0.0.1:8080", "unix:nginx.sock");
    let shown = shown.replace("127.0.0.1:8000", &origin.address.to_string());
    fs::write(folder.path().join("site.conf"), shown).expect("the folder can be written");
    fs::write(path, include_str!("../../examples/nginx/nginx.conf")).expect("the same");
    let nginx = open(folder.path(), "exec nginx -p . -e stderr -c nginx.conf");
    let socket = folder.path().join("nginx.sock");
    wait_until("nginx listens", || UnixStream::connect(&socket).is_ok());
    let says = |key: &str| nginx_says(&socket, &format!("X-Api-Key: {key}\r\n"));
    assert_eq!(says("KEY-FOR-ALICE-0123456789"), "200", "{}", nginx.wrote());
    assert_eq!(nginx_says(&socket, ""), "401");
    // More than the limit and its burst, which hold for a valid key alone.
    assert!((0..70).all(|_| says("wrong") == "401"));
    assert!((0..1000).any(|_| says(KEYS[1]) == "503"), "{}", nginx.wrote());
}
