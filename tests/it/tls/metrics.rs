//! What is told of certificates and handshakes.

use std::io::Write;
use std::net::TcpStream;

use super::{ask, hide, secured, site};
use crate::support::admin::ADMIN;
use crate::support::reference::{one_location, upstream};
use crate::support::tls::{Authority, Shaking};
use crate::support::{Gate, Origin};

/// The series of a certificate's end, and the first second of 2100, of 2030 and of 2020.
const ENDS: &str = "keygate_tls_certificate_expiry_timestamp_seconds{certificate=\"site.pem\"}";
const OF_OWN: &str = "keygate_tls_certificate_expiry_timestamp_seconds{certificate=\"own.pem\"}";
const IN_2100: f64 = 4_102_444_800.0;
const IN_2030: f64 = 1_893_456_000.0;
const IN_2020: f64 = 1_577_836_800.0;

const ERRORS: &str = "keygate_tls_handshake_errors_total";

#[test]
fn the_end_of_a_certificate_is_told_and_that_of_the_next() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let mut gate = secured(&origin, &site, &format!("\n{ADMIN}"), &[]);
    assert_eq!(gate.metrics().value(ENDS), Some(IN_2100));
    // Which certificate of a file ends first is the end of them all.
    let next = authority.issue_between(&["localhost"], 2010, 2030);
    hide(&mut gate, &next);
    let older = authority.issue_between(&["an authority between"], 2010, 2020);
    gate.write("site.key", &next.key);
    gate.write("site.pem", &next.cert);
    gate.wait_for_metric(ENDS, IN_2030);
    gate.write("site.pem", &format!("{}{}", next.cert, older.cert));
    gate.wait_for_metric(ENDS, IN_2020);
}

#[test]
fn so_is_that_of_one_that_upstreams_are_shown() {
    let origin = Origin::echo();
    let own = Authority::new().issue(&["keygate"]);
    let tls = "tls = { cert = \"own.pem\", key = \"own.key\", insecure_skip_verify = true }\n";
    let config = upstream(&origin).replace("[\"", "[\"https://") + tls;
    let config = config + &one_location("header = \"X-API-Key\"\n", "") + ADMIN;
    let files = [("keygate.toml", &*config), ("own.pem", &own.cert), ("own.key", &own.key)];
    let server = [("server.toml", "[server]\nlisten = \"127.0.0.1:0\"\n")];
    let mut gate = Gate::with(&[&files[..], &server].concat());
    hide(&mut gate, &own);
    let scrape = gate.metrics();
    assert_eq!((scrape.value(OF_OWN), scrape.value(ENDS)), (Some(IN_2100), None));
}

#[test]
fn a_handshake_that_fails_is_counted() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let more = format!("handshake_timeout = \"1s\"\n{ADMIN}");
    let gate = secured(&origin, &site, &more, &[]);
    assert_eq!(gate.metrics().value(ERRORS), Some(0.0));
    // Who does not believe the certificate, who speaks something else, and who says nothing.
    let stranger = Shaking::with(Authority::new().roots());
    assert!(stranger.shake(gate.address).is_err());
    gate.wait_for_metric(ERRORS, 1.0);
    let mut other = TcpStream::connect(gate.address).expect("it listens");
    other.write_all(&[0; 8]).expect("it can be sent");
    gate.wait_for_metric(ERRORS, 2.0);
    let _silent = TcpStream::connect(gate.address).expect("it listens");
    gate.wait_for_metric(ERRORS, 3.0);
    // Who speaks HTTP is told so, and who only looks whether the port is open is no trouble.
    assert_eq!(gate.client().send(ask()).response().status, 400);
    drop(TcpStream::connect(gate.address));
    assert_eq!(Shaking::with(authority.roots()).client(&gate).send(ask()).response().status, 200);
    assert_eq!(gate.metrics().value(ERRORS), Some(3.0));
}
