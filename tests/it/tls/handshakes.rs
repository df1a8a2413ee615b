//! Handshakes: names, client certificates, sessions, and clients that take their time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{ask, secured, site};
use crate::support::tls::{Authority, Shaking};
use crate::support::{DEADLINE, Gate, Origin};

#[test]
fn a_client_is_shown_the_certificate_of_the_name_that_it_asks_for() {
    let origin = Origin::echo();
    let authority = Authority::new();
    let first = authority.issue(&["localhost"]);
    let api = authority.issue(&["api.example.com", "API2.example.com"]);
    let wild = authority.issue(&["*.example.com"]);
    let config = crate::support::reference::reference(&origin);
    let server = "[server]\nlisten = \"127.0.0.1:0\"\n[server.tls]\ncertificates = [\n\
                  { cert = \"0.pem\", key = \"0.key\" }, { cert = \"1.pem\", key = \"1.key\" },\n\
                  { cert = \"2.pem\", key = \"2.key\" }]\n";
    let gate = Gate::with(&[
        ("keygate.toml", &config),
        ("server.toml", server),
        ("0.pem", &first.cert),
        ("0.key", &first.key),
        ("1.pem", &wild.cert),
        ("1.key", &wild.key),
        ("2.pem", &api.cert),
        ("2.key", &api.key),
    ]);
    let shown =
        |shaking: Shaking| shaking.shake(gate.address).map(|(_, shaken)| shaken.certificate);
    let asking = |name: &str| Shaking::with(authority.roots()).name(name);
    assert_eq!(shown(asking("localhost")), Ok(first.der()));
    assert_eq!(shown(asking("localhost").nameless()), Ok(first.der()));
    assert_eq!(shown(asking("api.example.com")), Ok(api.der()));
    assert_eq!(shown(asking("api2.example.com")), Ok(api.der()));
    assert_eq!(shown(asking("other.example.com")), Ok(wild.der()));
    for unknown in ["example.com", "a.b.example.com", "example.org"] {
        let error = shown(asking(unknown)).expect_err("it is the first that is shown");
        assert!(error.contains("localhost"), "{error}");
    }
}

#[test]
fn http_2_and_http_1_1_are_agreed_on_and_nothing_else() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[]);
    let agreed = |protocols: &[&[u8]]| {
        let shaken = Shaking::with(authority.roots()).alpn(protocols).shake(gate.address);
        shaken.map(|(_, shaken)| shaken.alpn)
    };
    assert_eq!(agreed(&[]), Ok(None));
    assert_eq!(agreed(&[b"http/1.1"]), Ok(Some(b"http/1.1".to_vec())));
    assert_eq!(agreed(&[b"http/1.1", b"h2"]), Ok(Some(b"h2".to_vec())));
    // A server of mail or files must not be met by what is meant for it.
    let error = agreed(&[b"imap"]).expect_err("nobody speaks that here");
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn what_was_agreed_on_is_spoken() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[]);
    let shaken = Shaking::with(authority.roots()).alpn(&[b"h2"]).shake(gate.address);
    let (mut client, _) = shaken.expect("hands are shaken");
    let said = client.send(ask()).rest();
    assert!(!said.starts_with(b"HTTP/1"), "HTTP/1.1 is spoken where HTTP/2 was agreed on");
    assert_eq!(origin.count(), 0);
}

/// Sends a request over a new connection, as TLS 1.3 tells only then of a certificate that is not
/// good enough; the status, or nothing.
fn status(gate: &Gate, shaking: &Shaking) -> Option<u16> {
    let (mut client, _) = shaking.shake(gate.address).ok()?;
    client.send(ask()).answer().map(|response| response.status)
}

#[test]
fn a_client_without_a_good_certificate_is_refused_where_one_is_required() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let (known, stranger) = (Authority::new(), Authority::new());
    let ca = [("clients.pem", &*known.pem())];
    let [good, bad, late] = [
        known.issue(&["alice"]),
        stranger.issue(&["alice"]),
        known.issue_between(&["alice"], 2001, 2002),
    ];
    let with = |own| Shaking::showing(authority.roots(), own);
    let ask_for = "client_ca = \"clients.pem\"\n";
    let required = "client_ca = \"clients.pem\"\nclient_certificates = \"required\"\n";
    for settings in [ask_for, required] {
        let gate = secured(&origin, &site, settings, &ca);
        let before = origin.count();
        let refused = [None, Some(&bad), Some(&late)].map(|own| status(&gate, &with(own)));
        assert_eq!(refused, [None, None, None], "{settings}");
        assert_eq!(origin.count(), before, "{settings}");
        assert_eq!(status(&gate, &with(Some(&good))), Some(200));
        // The key is asked for all the same.
        let (mut keyless, _) = with(Some(&good)).shake(gate.address).expect("hands are shaken");
        let keyless = keyless.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").response();
        assert_eq!(keyless.status, 401);
        assert_eq!(origin.count(), before + 1);
    }
}

#[test]
fn an_optional_certificate_must_be_good_and_nothing_of_it_goes_on() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let (known, stranger) = (Authority::new(), Authority::new());
    let settings = "client_ca = \"clients.pem\"\nclient_certificates = \"optional\"\n";
    let gate = secured(&origin, &site, settings, &[("clients.pem", &known.pem())]);
    let [good, bad] = [&known, &stranger].map(|authority| authority.issue(&["alice-cn"]));
    let with = |own| Shaking::showing(authority.roots(), own);
    assert_eq!(status(&gate, &with(None)), Some(200));
    assert_eq!(status(&gate, &with(Some(&bad))), None);
    assert_eq!(status(&gate, &with(Some(&good))), Some(200));
    assert_eq!(origin.count(), 2);
    assert!(!String::from_utf8_lossy(&origin.last().bytes()).contains("alice-cn"));
}

#[test]
fn a_session_goes_on_until_what_it_was_agreed_with_changes() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[]);
    let shaking = Shaking::with(authority.roots());
    let resumed = || {
        let (mut client, shaken) = shaking.shake(gate.address).expect("hands are shaken");
        // The tickets come behind the handshake: with the response they are there.
        assert_eq!(client.send(ask()).response().status, 200);
        shaken.resumed
    };
    assert_eq!([resumed(), resumed(), resumed()], [false, true, true]);
    let renewed = authority.issue(&["localhost"]);
    gate.write("site.key", &renewed.key);
    gate.write("site.pem", &renewed.cert);
    let known = || shaking.shake(gate.address).is_ok_and(|(_, shaken)| shaken.resumed);
    crate::support::wait_until("the session ends with its certificate", || !known());
}

#[test]
fn a_handshake_that_takes_too_long_is_ended() {
    let (origin, (_, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "handshake_timeout = \"1s\"\n", &[]);
    let mut silent = gate.client();
    let begun = Instant::now();
    assert!(silent.closes_within(DEADLINE), "it is silent for ever");
    let mut slow = TcpStream::connect(gate.address).expect("it listens");
    let _ = slow.set_read_timeout(Some(Duration::from_millis(100)));
    let begun_slow = Instant::now();
    let mut ended = false;
    for byte in HELLO.iter().cycle() {
        if ended || begun_slow.elapsed() > DEADLINE {
            break;
        }
        // Each byte comes long before the time is over, and the last never.
        ended = slow.write_all(&[*byte]).is_err() || matches!(slow.read(&mut [0]), Ok(0));
    }
    assert!(ended, "a byte at a time lasts for ever");
    assert!(begun.elapsed() >= Duration::from_secs(2), "each had its second");
}

/// How the first flight of a client begins: a record of 512 bytes, of which these are the first.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// More clients than may shake hands with one worker; they have a minute each.
#[test]
fn clients_that_do_not_go_on_lose_their_places_to_others() {
    const MANY: usize = 1200;
    let (origin, (authority, site)) = (Origin::echo(), site());
    let config = crate::support::reference::reference(&origin);
    let server = super::ONE_SITE.replace("[server.tls]", "workers = 1\n[server.tls]");
    let server = format!("{server}handshake_timeout = \"60s\"\n");
    let files = [
        ("keygate.toml", &*config),
        ("server.toml", &server),
        ("site.pem", &site.cert),
        ("site.key", &site.key),
    ];
    let gate = Gate::with(&files);
    let shaking = Shaking::with(authority.roots());
    let mut waiting = Vec::new();
    for _ in 0..MANY {
        let mut client = TcpStream::connect(gate.address).expect("it listens");
        client.write_all(HELLO).expect("there is room");
        waiting.push(client);
    }
    let begun = Instant::now();
    let (mut client, _) = shaking.shake(gate.address).expect("hands are shaken");
    let missing = "GET /api/v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(client.send(missing).response().status, 401);
    assert!(begun.elapsed() < Duration::from_secs(5), "it waited {:?}", begun.elapsed());
    let ended = |client: &mut TcpStream| {
        let _ = client.set_nonblocking(true);
        matches!(client.read(&mut [0]), Ok(0)) || client.take_error().is_ok_and(|e| e.is_some())
    };
    let closed = waiting.iter_mut().filter_map(|one| ended(one).then_some(())).count();
    assert!((100..300).contains(&closed), "{closed} of {MANY} lost their places");
}
