//! A keys file at a running gate: what its records let through, and when that changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use keygate::keys::digest::Digest;

use crate::reload::LISTEN;
use crate::support::reference::upstream;
use crate::support::{DEADLINE, Gate, Origin, Response, run, wait_until};
use crate::websocket::HANDSHAKE;

pub(crate) const PLUGIN: &str =
    "header = \"X-API-Key\"\nkeys_file = \"keys.toml\"\nhide_credentials = true\n";

/// Two locations with the plugin, and one that is open.
pub(crate) const LOCATIONS: &str = "
[locations.all]
path = \"/\"
upstream = \"rec\"
plugins = [\"key-auth\"]
[locations.reports]
path = \"/reports/\"
upstream = \"rec\"
plugins = [\"key-auth\"]
[locations.open]
path = \"/open/\"
upstream = \"rec\"
public = true
";

/// A key that no other test knows.
pub(crate) fn key(id: &str) -> String {
    format!("the-key-of-{id}-which-is-long-enough-4711")
}

fn digest(id: &str) -> String {
    Digest::of(key(id).as_bytes()).written()
}

/// A record of a key, with these other fields.
pub(crate) fn record(id: &str, more: &str) -> String {
    format!("[[key]]\nid = \"{id}\"\nhash = \"{}\"\n{more}\n", digest(id))
}

/// A moment so many seconds from now, as TOML writes it.
pub(crate) fn moment(seconds: i64) -> String {
    let span = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    let moment = if seconds < 0 { now - span } else { now + span };
    humantime::format_rfc3339_millis(moment).to_string()
}

pub(crate) fn gate_with(origin: &Origin, plugin: &str, records: &str) -> Gate {
    let config = upstream(origin) + LOCATIONS;
    let mut gate = Gate::with(&[
        ("keygate.toml", &config),
        ("plugins.key-auth.toml", plugin),
        ("keys.toml", records),
        ("server.toml", LISTEN),
    ]);
    for id in ["a", "b", "c", "d", "e", "old", "new"] {
        gate.secret(key(id));
    }
    gate
}

pub(crate) fn gate(origin: &Origin, records: &str) -> Gate {
    gate_with(origin, PLUGIN, records)
}

pub(crate) fn request(id: &str, line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {}\r\n{more}\r\n", key(id))
}

pub(crate) fn get(gate: &Gate, id: &str) -> Response {
    gate.send(request(id, "GET /x", ""))
}

pub(crate) fn status(gate: &Gate, id: &str) -> u16 {
    get(gate, id).status
}

#[test]
fn a_key_is_added_used_rotated_revoked_and_no_other_notices() {
    let origin = Origin::echo();
    let gate = gate(&origin, &record("a", ""));
    assert_eq!((status(&gate, "a"), status(&gate, "b")), (200, 401));
    gate.write("keys.toml", &(record("a", "") + &record("b", "")));
    wait_until("the second key is accepted", || {
        assert_eq!(status(&gate, "a"), 200);
        status(&gate, "b") == 200
    });
    // Both are valid while they overlap, as the same key.
    let overlap = format!("previous = {{ hash = \"{}\", until = {} }}", digest("b"), moment(3));
    gate.write("keys.toml", &(record("a", "") + &record("new", &overlap)));
    wait_until("the new key is accepted", || {
        assert_eq!((status(&gate, "a"), status(&gate, "b")), (200, 200));
        status(&gate, "new") == 200
    });
    for id in ["b", "new"] {
        get(&gate, id);
        let sent = origin.last().head;
        assert_eq!(sent.value("X-Credential-Identifier"), Some("new"));
    }
    wait_until("the old key ends", || {
        assert_eq!((status(&gate, "a"), status(&gate, "new")), (200, 200));
        status(&gate, "b") == 401
    });
    gate.write("keys.toml", &record("a", ""));
    wait_until("the key is revoked", || {
        assert_eq!(status(&gate, "a"), 200);
        status(&gate, "new") == 401
    });
    // The last key can be revoked too.
    gate.write("keys.toml", "");
    wait_until("the last key is revoked", || status(&gate, "a") == 401);
}

#[test]
fn a_key_is_refused_before_it_begins_while_it_is_disabled_and_after_it_ended() {
    let origin = Origin::echo();
    let records = [
        record("a", &format!("not_before = {}", moment(3600))),
        record("b", &format!("expires = {}", moment(-1))),
        record("c", "disabled = true"),
        record("d", &format!("expires = {}\nnot_before = {}", moment(3), moment(-3600))),
    ];
    let gate = gate(&origin, &records.concat());
    let unknown = get(&gate, "e");
    for id in ["a", "b", "c"] {
        let refused = get(&gate, id);
        assert_eq!((refused.status, refused.text()), (401, unknown.text()), "{id}");
        assert_eq!(refused.value("WWW-Authenticate"), unknown.value("WWW-Authenticate"));
    }
    assert_eq!((status(&gate, "d"), origin.count()), (200, 1));
    wait_until("the key ends", || status(&gate, "d") == 401);
}

#[test]
fn a_mistake_in_the_file_leaves_the_old_keys_and_is_told_with_its_place() {
    let origin = Origin::echo();
    let gate = gate(&origin, &record("a", ""));
    for (wrong, place, message) in [
        (record("b", "expired = true"), "keys.toml:4:1", "unknown field `expired`"),
        (record("b", "locations = [\"report\"]"), "keys.toml:4:14", "unknown location `report`"),
        (record("b", "") + &record("b", ""), "keys.toml:6:6", "the id `b` is there twice"),
        (
            record("b", "") + &record("b", "").replace("\"b\"", "\"c\""),
            ":7:8",
            "this key is there twice",
        ),
        ("[[key]]\nid = \"b\"\n".to_owned(), "keys.toml:1:1", "`hash` is missing"),
    ] {
        gate.write("keys.toml", &wrong);
        gate.stderr.wait_for(message, |line| line.contains(message));
        gate.stderr.wait_for(place, |line| line.contains(place));
        assert_eq!((status(&gate, "a"), status(&gate, "b")), (200, 401), "{wrong}");
    }
    gate.write("keys.toml", &record("b", ""));
    wait_until("a right file is taken over", || status(&gate, "b") == 200);
}

#[test]
fn a_key_can_be_revoked_while_the_configuration_is_wrong() {
    let origin = Origin::echo();
    let gate = gate(&origin, &(record("a", "") + &record("b", "")));
    gate.write("keygate.toml", "[locations.all]\npath = 5\n");
    gate.stderr.wait_for("the error", |line| line.contains("was not reloaded"));
    gate.write("keys.toml", &record("a", ""));
    wait_until("the key is revoked", || {
        assert_eq!(status(&gate, "a"), 200);
        status(&gate, "b") == 401
    });
}

#[test]
fn a_valid_key_that_may_not_do_this_is_403() {
    let origin = Origin::echo();
    let records = [
        record("a", "locations = [\"reports\"]"),
        record("b", "methods = [\"GET\"]"),
        record("c", "allow_ips = [\"10.0.0.0/8\"]"),
        record("d", "locations = []"),
        record("e", "locations = [\"all\", \"reports\"]\nallow_ips = [\"127.0.0.1\", \"::1\"]"),
    ];
    let gate = gate(&origin, &records.concat());
    let check = |id: &str, line: &str, more: &str, expected: u16| {
        let response = gate.send(request(id, line, more));
        assert_eq!(response.status, expected, "{id}: {line} {more}");
        if expected == 403 {
            assert_eq!(response.text(), "Key not allowed");
        }
    };
    check("a", "GET /reports/x", "", 200);
    check("a", "GET /x", "", 403);
    // Some readers take this for the location where the key may not be used.
    check("a", "GET /reports/../x", "", 403);
    check("a", "GET /reports/%2e%2e/x", "", 403);
    check("a", "GET /Reports/x", "", 403);
    check("b", "GET /x", "", 200);
    check("b", "POST /x", "Content-Length: 0\r\n", 403);
    let head = gate.client().send(request("b", "HEAD /x", "")).response_to_head();
    assert_eq!(head.status, 403);
    check("b", "GET /x", "X-HTTP-Method-Override: DELETE\r\n", 403);
    check("b", "GET /x", "X-HTTP-Method: a b\r\n", 403);
    check("b", "GET /x", "X-HTTP-Method-Override: get\r\n", 200);
    check("c", "GET /x", "X-Forwarded-For: 10.0.0.1\r\n", 403);
    check("d", "GET /x", "", 403);
    check("e", "POST /x", "Content-Length: 0\r\n", 200);
    let allowed = origin.count();
    assert_eq!(allowed, 4);
}

#[test]
fn a_key_is_not_used_where_a_method_that_a_field_asks_for_leads() {
    let origin = Origin::echo();
    let location = |name: &str, method: &str| {
        format!(
            "[locations.{name}]\npath = \"/\"\nmethods = [\"{method}\"]\nupstream = \"rec\"\n\
             plugins = [\"key-auth\"]\n"
        )
    };
    let config = upstream(&origin) + &location("read", "GET") + &location("change", "DELETE");
    let records = record("a", "locations = [\"read\"]") + &record("b", "");
    let gate = Gate::with(&[
        ("keygate.toml", &config),
        ("plugins.key-auth.toml", PLUGIN),
        ("keys.toml", &records),
        ("server.toml", LISTEN),
    ]);
    let status = |id: &str, line: &str, more: &str| gate.send(request(id, line, more)).status;
    assert_eq!(status("a", "GET /x", ""), 200);
    assert_eq!(status("a", "DELETE /x", ""), 403);
    let more = "X-HTTP-Method-Override: DELETE\r\n";
    assert_eq!((status("a", "GET /x", more), status("b", "GET /x", more)), (403, 200));
    assert_eq!(origin.count(), 2);
}

#[test]
fn the_upstream_and_the_log_are_told_whose_key_it_was() {
    let origin = Origin::echo();
    let gate = gate(&origin, &(record("a", "consumer = \"alice\"") + &record("b", "")));
    let forged = ["X-Consumer-Username", "x_consumer_username", "X-CREDENTIAL-IDENTIFIER"];
    for (line, upgrade) in [("GET /x", ""), ("GET /open/x", ""), ("GET /x", HANDSHAKE)] {
        let lines: String = forged.iter().map(|name| format!("{name}: root\r\n")).collect();
        gate.send(request("a", line, &(lines + upgrade)));
        assert!(!String::from_utf8_lossy(&origin.last().bytes()).contains("root"), "{line}");
    }
    for (id, consumer) in [("a", "alice"), ("b", "b")] {
        get(&gate, id);
        let sent = origin.last().head;
        assert_eq!(sent.value("X-Consumer-Username"), Some(consumer));
        assert_eq!(sent.value("X-Credential-Identifier"), Some(id));
        let line = format!("consumer={consumer} key={id} ");
        gate.stdout.wait_for("the line", |text| text.contains(&line));
    }
}

#[test]
fn limits_of_a_key_hold_for_it_alone_and_are_told() {
    let origin = Origin::echo();
    let limits = "limits = { rate = [\"3/1h\", \"100/1d\"], requests = \"1000/30d\" }";
    let quota = "limits = { requests = \"1/1d\" }";
    let gate = gate(&origin, &(record("a", limits) + &record("b", "") + &record("c", quota)));
    for left in [2, 1, 0] {
        let response = get(&gate, "a");
        assert_eq!(response.status, 200);
        assert!(response.value("RateLimit").starts_with(&format!("\"key\";r={left};")));
        assert_eq!(response.value("RateLimit-Policy"), "\"key\";q=3;w=3600");
    }
    let refused = get(&gate, "a");
    assert_eq!((refused.status, status(&gate, "b")), (429, 200));
    let wait: u64 = refused.value("Retry-After").parse().expect("it is a number");
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!((status(&gate, "c"), status(&gate, "c")), (200, 429));
    assert_eq!(get(&gate, "c").value("X-Should-Retry"), "false");
    // What was used stays used, whatever else becomes of the file.
    gate.write("keys.toml", &(record("a", limits) + &record("d", "")));
    wait_until("the file is read again", || status(&gate, "d") == 200);
    assert_eq!(status(&gate, "a"), 429);
}

#[test]
fn when_keys_were_used_is_noted_beside_the_file() {
    let origin = Origin::echo();
    let gate = gate(&origin, &(record("a", "") + &record("b", "")));
    get(&gate, "a");
    get(&gate, "c");
    gate.signal("TERM");
    gate.ends_within(DEADLINE).expect("it ends");
    let noted = gate.folder().join("config/keys.toml.used");
    let noted = std::fs::read_to_string(noted).expect("it is there");
    let day = humantime::format_rfc3339(SystemTime::now()).to_string();
    assert_eq!(noted.lines().count(), 1, "{noted}");
    assert!(noted.starts_with(&format!("a {}", &day[..8])), "{noted}");
}

#[test]
fn that_a_key_was_used_is_not_lost_with_a_change_of_the_file() {
    let origin = Origin::echo();
    let gate = gate(&origin, &record("a", ""));
    get(&gate, "a");
    gate.write("keys.toml", &(record("a", "") + &record("b", "")));
    let noted = gate.folder().join("config/keys.toml.used");
    wait_until("it is noted", || {
        std::fs::read_to_string(&noted).is_ok_and(|noted| noted.starts_with("a "))
    });
}

/// Asks with a key over and over, until it is told to stop; how often, and which answers were not
/// 200.
fn uses(gate: &Gate, id: &str, stop: &AtomicBool) -> (usize, Vec<u16>) {
    let (mut count, mut wrong) = (0, Vec::new());
    let mut client = gate.client();
    while !stop.load(Ordering::Relaxed) {
        let status = client.send(request(id, "GET /x", "")).response().status;
        count += 1;
        wrong.extend(Some(status).filter(|status| *status != 200));
    }
    (count, wrong)
}

#[test]
fn the_life_of_a_key_takes_effect_within_a_second_and_disturbs_nobody() {
    let origin = Origin::echo();
    let mut gate = gate(&origin, &record("a", ""));
    let folder = gate.folder().to_owned();
    let keys = |arguments: &[&str]| {
        let arguments = [&["keys"], arguments, &["--file", "config/keys.toml"]].concat();
        let done = run(&arguments, &folder, &[]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        done.stdout.trim_end().to_owned()
    };
    let status = |gate: &Gate, key: &str| {
        let request = format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n");
        gate.send(request).status
    };
    let stop = AtomicBool::new(false);
    let (first, second) = thread::scope(|scope| {
        let others = scope.spawn(|| uses(&gate, "a", &stop));
        let becomes = |key: &str, expected: u16| {
            let since = Instant::now();
            wait_until("it takes effect", || status(&gate, key) == expected);
            since.elapsed()
        };
        let mut waits = Vec::new();
        let first = keys(&["add", "bob"]);
        waits.push(becomes(&first, 200));
        let second = keys(&["rotate", "bob", "--overlap", "4s"]);
        waits.push(becomes(&second, 200));
        assert_eq!(status(&gate, &first), 200);
        wait_until("the overlap ends", || status(&gate, &first) == 401);
        assert_eq!(status(&gate, &second), 200);
        keys(&["revoke", "bob"]);
        waits.push(becomes(&second, 401));
        stop.store(true, Ordering::Relaxed);
        let (count, wrong) = others.join().expect("it counts");
        assert!(count > 100 && wrong.is_empty(), "{count} requests of another key: {wrong:?}");
        // A second, and what a crowded machine adds to it.
        assert!(waits.iter().all(|wait| *wait < 3 * Duration::from_secs(1)), "{waits:?}");
        (first, second)
    });
    gate.secret(first);
    gate.secret(second);
}

#[test]
fn a_key_of_the_file_stands_in_no_list_beside_it() {
    let origin = Origin::echo();
    let listing = |id: &str| format!("{PLUGIN}keys = [\"{}\"]\n", digest(id));
    let gate = gate_with(&origin, &listing("b"), &record("a", "disabled = true"));
    assert_eq!((status(&gate, "a"), status(&gate, "b")), (401, 200));
    let message = "this key stands in `keys` of the plugin too";
    // The list changes and the file does not, and then the other way round.
    gate.write("plugins.key-auth.toml", &listing("a"));
    gate.stderr.wait_for(message, |line| line.contains(message));
    assert_eq!((status(&gate, "a"), status(&gate, "b")), (401, 200));
    gate.write("plugins.key-auth.toml", &listing("b"));
    gate.stderr.wait_for("reloaded", |line| line.contains("reloaded the configuration"));
    gate.write("keys.toml", &record("b", "disabled = true"));
    wait_until("it is refused", || {
        gate.stderr.lines().iter().filter(|line| line.contains(message)).count() > 1
    });
    assert_eq!((status(&gate, "a"), status(&gate, "b")), (401, 200));
}
