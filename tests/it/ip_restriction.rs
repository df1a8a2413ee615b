//! `ip-restriction`: who may come is decided by the address that connects, or that a trusted proxy
//! says.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::support::reference::{keyed, plugged};
use crate::support::{Gate, Origin};

/// A gate that keeps others out, before it asks for a key.
fn gate(origin: &Origin, lists: &str, server: &str) -> Gate {
    let tables = format!(
        "[plugins.ip-restriction]\n{lists}\n\
         [plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\nhide_credentials = true\n"
    );
    let config = plugged(origin, &["ip-restriction", "key-auth"], &tables);
    Gate::with(&[("keygate.toml", &config), ("server.toml", server)])
}

const PLAIN: &str = "[server]\nlisten = \"127.0.0.1:0\"\n";
const TRUSTING: &str = "[server]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n";

fn from(client: &str, key: &str) -> String {
    keyed(&format!(
        "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nX-Forwarded-For: {client}\r\nX-Real-IP: {client}\r\n\
         Forwarded: for={client}\r\nX-API-Key: {key}\r\n\r\n"
    ))
}

#[test]
fn who_connects_decides_whatever_a_client_says() {
    let origin = Origin::echo();
    let outside = gate(&origin, "allow = [\"10.0.0.0/8\"]", PLAIN);
    let refused = outside.send(from("10.0.0.1", "K1"));
    assert_eq!((refused.status, refused.text().as_str()), (403, "Address not allowed"));
    let denied = gate(&origin, "deny = [\"127.0.0.0/8\"]", PLAIN);
    assert_eq!(denied.send(from("10.0.0.1", "K1")).status, 403);
    assert_eq!(origin.count(), 0);
    let inside = gate(&origin, "allow = [\"127.0.0.1\"]", PLAIN);
    assert_eq!(inside.send(from("192.0.2.1", "K1")).status, 200);
}

#[test]
fn a_trusted_proxy_says_who_it_is() {
    let origin = Origin::echo();
    let lists = "allow = [\"10.0.0.0/8\", \"2001:db8::/32\"]\ndeny = [\"10.9.0.0/16\"]";
    let gate = gate(&origin, lists, TRUSTING);
    for (client, expected) in [
        ("10.0.0.1", 200),
        ("10.9.0.1", 403),
        ("192.0.2.1", 403),
        ("2001:db8::1", 200),
        ("::ffff:10.0.0.1", 200),
        ("::ffff:10.9.0.1", 403),
        ("10.0.0.1, 192.0.2.1", 403),
        ("192.0.2.1, 10.0.0.1", 200),
        ("10.0.0.1, nobody", 403),
        ("", 403),
    ] {
        assert_eq!(gate.send(from(client, "K1")).status, expected, "{client:?}");
    }
}

#[test]
fn an_address_is_no_key() {
    let origin = Origin::echo();
    let gate = gate(&origin, "allow = [\"127.0.0.1\"]", PLAIN);
    assert_eq!(gate.send(from("127.0.0.1", "wrong")).status, 401);
    assert_eq!(origin.count(), 0);
}

fn over_unix(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it can be written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it ends");
    answer
}

#[test]
fn who_has_no_address_is_not_let_in() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("gate.sock");
    let listen = format!("[server]\nlisten = [\"127.0.0.1:0\", \"unix:{}\"]\n", path.display());
    for lists in ["allow = [\"0.0.0.0/0\", \"::/0\"]", "deny = [\"192.0.2.1\"]"] {
        let gate = gate(&origin, lists, &listen);
        let answer = over_unix(&path, &from("127.0.0.1", "K1"));
        assert!(answer.starts_with("HTTP/1.1 403 "), "{lists}: {answer}");
        drop(gate);
    }
    let trusting = format!("{listen}trusted_proxies = [\"unix\"]\n");
    let _gate = gate(&origin, "allow = [\"10.0.0.0/8\"]", &trusting);
    assert!(over_unix(&path, &from("10.0.0.1", "K1")).starts_with("HTTP/1.1 200 "));
    assert!(over_unix(&path, &from("11.0.0.1", "K1")).starts_with("HTTP/1.1 403 "));
}
