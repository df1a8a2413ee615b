//! What a key may be, and what several plugins ask for. Where a key may stand, and what is none, is
//! in the catalogue: KX and KQ.

use crate::support::reference::{keyed, one_location, upstream};
use crate::support::{Failures, Gate, INVALID, MISSING, Origin, Row, Signal, Then};

/// The SHA-256 of `K1`.
const K1_DIGEST: &str = "sha256:f7c3e450ec16bd8ff082509762e666a4d2fc9f9821425247b1a1a42b132f3a04";

const DIGESTED: &[Row] = &[
    ("the key", b"X-API-Key: K1\r\n", Then::Forwarded("/x")),
    ("a second key, in plain text", b"X-API-Key: K2\r\n", Then::Forwarded("/x")),
    (
        "the digest",
        b"X-API-Key: f7c3e450ec16bd8ff082509762e666a4d2fc9f9821425247b1a1a42b132f3a04\r\n",
        INVALID,
    ),
    (
        "the digest as it is written",
        b"X-API-Key: sha256:f7c3e450ec16bd8ff082509762e666a4d2fc9f9821425247b1a1a42b132f3a04\r\n",
        INVALID,
    ),
    ("both keys", b"X-API-Key: K1,K2\r\n", INVALID),
];

#[test]
fn a_key_may_be_configured_by_its_digest() {
    let origin = Origin::echo();
    let config = one_location("header = \"X-API-Key\"\n", "").replace(
        &format!("\"{}\"", crate::support::reference::K1),
        &format!("\"{K1_DIGEST}\", \"{}\"", crate::support::reference::K2),
    );
    let gate = Gate::on(&(upstream(&origin) + &config));
    let start = "GET /x HTTP/1.1\r\nHost: a.test\r\n";
    Failures::new().play(&gate, &origin, (start, DIGESTED, "\r\n")).report();
}

/// Two plugins on one location: `X-API-Key` with `K1`, then `X-Other` with `K2`.
const BOTH: &[Row] = &[
    ("both", b"X-API-Key: K1\r\nX-Other: K2\r\n", Then::Forwarded("/x")),
    ("the first only", b"X-API-Key: K1\r\n", MISSING),
    ("the second only", b"X-Other: K2\r\n", MISSING),
    ("neither", b"", MISSING),
    ("exchanged", b"X-API-Key: K2\r\nX-Other: K1\r\n", INVALID),
    ("the second wrong", b"X-API-Key: K1\r\nX-Other: K1\r\n", INVALID),
];

#[test]
fn two_plugins_ask_for_two_keys() {
    let origin = Origin::echo();
    let config = one_location("header = \"X-API-Key\"\n", "")
        .replace("plugins = [\"key-auth\"]", "plugins = [\"key-auth\", \"key-auth-other\"]");
    let other = keyed("[plugins.key-auth-other]\nheader = \"X-Other\"\nkeys = [\"K2\"]\n");
    let gate = Gate::on(&(upstream(&origin) + &config + &other));
    let start = "GET /x HTTP/1.1\r\nHost: a.test\r\n";
    Failures::new().play(&gate, &origin, (start, BOTH, "\r\n")).report();
}

/// Requests without a key that some gate might let through for what else they say.
const NO_KEY: &[Row] = &[
    ("a question of what is possible", b"OPTIONS /x HTTP/1.1", MISSING),
    ("a method of another protocol", b"PROPFIND /x HTTP/1.1", MISSING),
    ("an old version", b"GET /x HTTP/1.0", MISSING),
    ("an expectation", b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5", MISSING),
    ("an upgrade", b"GET /x HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade", MISSING),
    ("a client of one's own", b"GET /x HTTP/1.1\r\nX-Forwarded-For: 127.0.0.1", MISSING),
];

#[test]
fn nothing_else_that_a_request_says_stands_for_the_key() {
    let origin = Origin::echo();
    let config = upstream(&origin) + &one_location("header = \"X-API-Key\"\n", "");
    let server = "[server]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let gate = Gate::with(&[("keygate.toml", &config), ("server.toml", server)]);
    Failures::new().play(&gate, &origin, ("", NO_KEY, "\r\nHost: a.test\r\n\r\n")).report();
}

#[test]
fn who_has_no_key_is_told_so_where_every_place_is_taken() {
    let go = Signal::new();
    let led = go.clone();
    let origin = Origin::scripted(move |exchange| {
        led.wait();
        exchange.reply(200, b"done");
    });
    let config = one_location("header = \"X-API-Key\"\n", "max_processing = 1\n");
    let gate = Gate::on(&(upstream(&origin) + &config));
    let request = |line: &str| keyed(&format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{line}\r\n"));
    let mut first = gate.client();
    first.send(request("X-API-Key: K1\r\n"));
    origin.wait_for(1);
    assert_eq!(gate.send(request("")).text(), "Key missing");
    assert_eq!(gate.send(request("X-API-Key: wrong\r\n")).text(), "Key auth fail");
    assert_eq!(gate.send(request("X-API-Key: K1\r\n")).status, 503);
    go.give();
    assert_eq!(first.response().text(), "done");
}
