//! What a key has opened: how much of it at once, and that it ends with the key.

use std::time::Duration;

use crate::key_records::{
    LOCATIONS, PLUGIN, gate, gate_with, get, key, moment, record, request, status,
};
use crate::reload::LISTEN;
use crate::support::reference::upstream;
use crate::support::{Client, DEADLINE, Gate, Origin, wait_until};
use crate::websocket::{HANDSHAKE, SWITCHING};

/// An origin that answers with a body that never ends, but on `/x`, or agrees to an upgrade.
fn endless() -> Origin {
    Origin::scripted(|exchange| {
        if exchange.request.value("Upgrade") == Some("websocket") {
            exchange.write(SWITCHING);
        } else if exchange.request.start.contains(" /x ") {
            return exchange.reply(200, b"");
        } else {
            exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            exchange.chunk(b"first");
        }
        exchange.ends_within(DEADLINE);
    })
}

/// A client with a stream, and one with a WebSocket, of a key.
fn streams(gate: &Gate, id: &str) -> [Client; 2] {
    let mut stream = gate.client();
    let mut response = stream.send(request(id, "GET /stream", "")).response_head();
    assert!(stream.chunk(&mut response));
    let mut socket = gate.client();
    assert_eq!(socket.send(request(id, "GET /socket", HANDSHAKE)).response().status, 101);
    [stream, socket]
}

#[test]
fn what_a_key_opened_ends_with_it_where_that_is_asked_for() {
    for cut in [true, false] {
        let origin = endless();
        let records = record("a", "") + &record("b", "");
        let gate = gate_with(&origin, &format!("{PLUGIN}cut_streams = {cut}\n"), &records);
        let mut revoked = streams(&gate, "a");
        let mut kept = streams(&gate, "b");
        gate.write("keys.toml", &record("b", ""));
        wait_until("the key is revoked", || status(&gate, "a") == 401);
        for client in &mut revoked {
            assert_eq!(client.closes_within(if cut { DEADLINE } else { SHORT }), cut);
        }
        for client in &mut kept {
            assert!(!client.closes_within(SHORT));
        }
    }
}

/// Long enough to see that nothing happens.
const SHORT: Duration = Duration::from_millis(700);

#[test]
fn what_a_key_opened_ends_when_it_expires_or_is_replaced() {
    let origin = endless();
    let expires = record("a", &format!("expires = {}", moment(3)));
    let gate = gate_with(
        &origin,
        &format!("{PLUGIN}cut_streams = true\n"),
        &(expires.clone() + &record("old", "")),
    );
    let [expired, replaced] = [streams(&gate, "a"), streams(&gate, "old")];
    for mut client in expired {
        assert!(client.closes_within(DEADLINE));
    }
    gate.write("keys.toml", &(expires + &record("new", "").replace("\"new\"", "\"old\"")));
    for mut client in replaced {
        assert!(client.closes_within(DEADLINE));
    }
}

#[test]
fn what_a_key_opened_ends_when_it_may_no_longer_be_used_for_that() {
    let origin = endless();
    let plugin = format!("{PLUGIN}cut_streams = true\n");
    let here = "locations = [\"all\"]\nmethods = [\"GET\"]\nallow_ips = [\"127.0.0.1\"]";
    for elsewhere in
        ["locations = [\"reports\"]", "methods = [\"POST\"]", "allow_ips = [\"10.0.0.0/8\"]"]
    {
        let gate = gate_with(&origin, &plugin, &(record("a", "") + &record("b", "")));
        let narrowed = streams(&gate, "a");
        let mut kept = streams(&gate, "b");
        gate.write("keys.toml", &(record("a", elsewhere) + &record("b", here)));
        for mut client in narrowed {
            assert!(client.closes_within(DEADLINE), "{elsewhere}");
        }
        assert_eq!(status(&gate, "a"), 403, "{elsewhere}");
        for client in &mut kept {
            assert!(!client.closes_within(SHORT));
        }
    }
}

#[test]
fn a_method_that_a_field_asks_for_is_looked_at_again_as_well() {
    let origin = endless();
    let gate = gate_with(
        &origin,
        &format!("{PLUGIN}cut_streams = true\n"),
        &record("a", "methods = [\"GET\", \"DELETE\"]"),
    );
    let mut stream = gate.client();
    let asks = "X-HTTP-Method-Override: DELETE\r\n";
    let mut response = stream.send(request("a", "GET /stream", asks)).response_head();
    assert!(stream.chunk(&mut response));
    gate.write("keys.toml", &record("a", "methods = [\"GET\"]"));
    assert!(stream.closes_within(DEADLINE));
}

#[test]
fn a_key_that_names_its_location_keeps_what_it_opened_when_locations_change_their_numbers() {
    let origin = endless();
    let config = upstream(&origin) + LOCATIONS;
    let record = record("a", "locations = [\"all\"]");
    let mut gate = Gate::with(&[
        ("keygate.toml", &config),
        ("plugins.key-auth.toml", &format!("{PLUGIN}cut_streams = true\n")),
        ("keys.toml", &record),
        ("server.toml", LISTEN),
    ]);
    gate.secret(key("a"));
    let opened = streams(&gate, "a");
    let first = "[locations.first]\npath = \"/first/\"\nupstream = \"rec\"\npublic = true\n";
    gate.write("a-first.toml", first);
    gate.stderr.wait_for("the new location", |line| line.contains("locations=4"));
    for mut client in opened {
        assert!(!client.closes_within(SHORT));
    }
}

#[test]
fn who_waits_for_an_upstream_is_sent_away_when_the_key_is_revoked_or_for_something_else() {
    for (record_of_b, expected) in
        [(String::new(), 401), (record("b", "locations = [\"reports\"]"), 403)]
    {
        let origin = endless();
        let config = upstream(&origin) + "max_connections = 1\n" + LOCATIONS;
        let records = record("a", "") + &record("b", "");
        let gate = Gate::with(&[
            ("keygate.toml", &*config),
            ("plugins.key-auth.toml", &format!("{PLUGIN}cut_streams = true\n")),
            ("keys.toml", &records),
            ("server.toml", LISTEN),
        ]);
        let mut first = gate.client();
        assert_eq!(first.send(request("a", "GET /stream", "")).response_head().status, 200);
        let mut waiting = gate.client();
        waiting.send(request("b", "GET /x", ""));
        gate.write("keys.toml", &(record("a", "") + &record_of_b));
        assert_eq!(waiting.response().status, expected);
        drop(first);
        assert_eq!(status(&gate, "a"), 200);
        assert_eq!(origin.count(), 2, "of the first key, and none of the other");
    }
}

#[test]
fn what_two_keys_opened_ends_with_either() {
    let origin = endless();
    let second = "header = \"X-Second\"\nkeys_file = \"second.keys.toml\"\ncut_streams = true\n";
    let location = LOCATIONS.replace("[\"key-auth\"]", "[\"key-auth\", \"key-auth-2\"]");
    let config = upstream(&origin) + &location;
    let first = format!("{PLUGIN}cut_streams = true\n");
    for revoked in ["keys.toml", "second.keys.toml"] {
        let mut gate = Gate::with(&[
            ("keygate.toml", &config),
            ("plugins.key-auth.toml", &first),
            ("plugins.key-auth-2.toml", second),
            ("keys.toml", &record("a", "")),
            ("second.keys.toml", &record("b", "")),
            ("server.toml", LISTEN),
        ]);
        ["a", "b"].iter().for_each(|id| gate.secret(key(id)));
        let both = format!("X-Second: {}\r\n", key("b"));
        let mut stream = gate.client();
        let mut response = stream.send(request("a", "GET /stream", &both)).response_head();
        assert!(stream.chunk(&mut response));
        gate.write(revoked, &record("c", ""));
        assert!(stream.closes_within(DEADLINE), "{revoked}");
    }
}

#[test]
fn a_key_has_so_many_requests_at_once_and_no_more_until_one_ends() {
    let origin = endless();
    let limits = "limits = { concurrency = 2 }";
    let gate = gate(&origin, &(record("a", limits) + &record("b", limits)));
    let [stream, socket] = streams(&gate, "a");
    let refused = get(&gate, "a");
    assert_eq!((refused.status, refused.text()), (429, "Too many requests at once".to_owned()));
    assert_eq!(status(&gate, "b"), 200);
    drop(stream);
    wait_until("a place is left", || status(&gate, "a") == 200);
    // One that was refused has left no place taken.
    assert_eq!(status(&gate, "a"), 200);
    drop(socket);
}
