//! What heads become on their way, as data.

use http::{HeaderName, HeaderValue, StatusCode};

use super::headers::*;
use crate::fields::Fields;
use crate::head::ResponseHead;
use crate::plan::{HostPolicy, TrustedProxies};
use crate::plugin::Names;
use crate::sample::{self, fields, lines};

fn forwarded_for(values: &[&str]) -> Fields {
    let lines: Vec<_> = values.iter().map(|value| format!("x-forwarded-for: {value}")).collect();
    fields(&lines.join("\n"))
}

#[track_caller]
fn check_client(peer: &str, through: &[&str], expected: &str) {
    let trusted = TrustedProxies {
        networks: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        unix: true,
    };
    let came = forwarded_for(through);
    let address = client_address(&came, peer.parse().ok(), &trusted);
    assert_eq!(address, expected.parse().ok(), "{peer} {through:?}");
}

#[test]
fn the_client_is_the_nearest_that_is_not_trusted() {
    check_client("192.0.2.1", &["198.51.100.1"], "192.0.2.1");
    check_client("10.0.0.1", &[], "10.0.0.1");
    check_client("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
    check_client("10.0.0.1", &["203.0.113.9, 198.51.100.1"], "198.51.100.1");
    check_client("10.0.0.1", &["203.0.113.9", "198.51.100.1, 10.0.0.2"], "198.51.100.1");
    check_client("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    check_client("10.0.0.1", &["198.51.100.1, nonsense, 10.0.0.2"], "10.0.0.2");
    check_client("10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1");
    check_client("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1");
    check_client("unix", &["198.51.100.1"], "198.51.100.1");
}

#[test]
fn a_byte_beyond_ascii_hides_no_address_that_a_proxy_added() {
    check_client("10.0.0.1", &["\u{e9}, 198.51.100.1"], "198.51.100.1");
    check_client("10.0.0.1", &["\u{e9}", "198.51.100.1, 10.0.0.2"], "198.51.100.1");
    check_client("10.0.0.1", &["198.51.100.1\u{e9}, 10.0.0.2"], "10.0.0.2");
}

/// Sends a request on, for a peer that is not trusted unless `change` says so.
#[track_caller]
fn check_sent(request: &str, change: impl Fn(&mut Passage<'_>), expected: &str) {
    let head = sample::head(request);
    let host = HeaderValue::from_static("a.test:80");
    let mut passage = Passage {
        trusted: false,
        sender: Sender {
            scheme: "http",
            peer: Some("10.0.0.1"),
            client: Some("192.0.2.1"),
            names: Some(Names { id: "al-1", consumer: "al" }),
            request_id: b"id-1",
        },
        host: Some(&host),
        framing: Framing::None,
        websocket: false,
        expects_continue: false,
    };
    change(&mut passage);
    let mut sent = Vec::new();
    write_head(&mut sent, &head, Some(&host), &passage);
    let expected: Vec<_> = expected.lines().map(str::trim_start).collect();
    let line = format!("{} {} HTTP/1.1", head.method, head.uri);
    let expected = format!("{line}\r\n{}\r\n\r\n", expected.join("\r\n"));
    assert_eq!(String::from_utf8(sent).unwrap(), expected, "{request}");
}

/// What keygate says of a peer that is not trusted.
const OWN: &str = "x-forwarded-for: 10.0.0.1
    x-forwarded-proto: http
    x-forwarded-host: a.test:80
    x-real-ip: 192.0.2.1
    x-request-id: id-1
    x-consumer-username: al
    x-credential-identifier: al-1";

/// Fields whose names are as long as those that do not pass.
const KEPT: &str = "x-same-length0: 14
    x-same-length-0: 15
    x-same-length-00: 16
    x-same-length-000: 17
    x-lennine: 9
    x-twelve-012: 12
    x-four: 6
    from: 4
    x-seven: 7";

#[test]
fn the_request_keeps_its_fields_and_keygate_says_its_own_at_the_end() {
    check_sent(
        &format!(
            "GET /
            Host: evil
            Accept: a
            TE: gzip
            Connection: X-A
            X-A: 1
            Accept: b
            Content-Length: 9
            Transfer-Encoding: chunked
            Expect: 200-ok
            Trailer: x
            X-Real-IP: 203.0.113.9
            X-Request-Id: other
            X-Forwarded-For: 203.0.113.9
            X-Forwarded-Host: evil
            X-Forwarded-Proto: https
            {KEPT}"
        ),
        |_| {},
        &format!(
            "host: a.test:80
            accept: a
            accept: b
            {KEPT}
            {OWN}"
        ),
    );
}

#[test]
fn the_target_is_sent_as_it_came_but_for_what_names_the_host() {
    for (target, sent) in [
        ("/a%2Fb//?c=%20&d", "/a%2Fb//?c=%20&d"),
        ("http://a.test/b?c", "/b?c"),
        ("http://a.test", "/"),
        ("http://a.test?b=c", "/?b=c"),
        ("http://user@a.test/b", "/b"),
        ("*", "*"),
    ] {
        let head = sample::head(&format!("OPTIONS {target}"));
        let mut out = Vec::new();
        write_request_line(&mut out, &head);
        assert_eq!(String::from_utf8(out).unwrap(), format!("OPTIONS {sent} HTTP/1.1\r\n"));
    }
}

#[test]
fn framing_and_what_switches_protocols_is_written_anew() {
    let own = |fields: &str| format!("host: a.test:80\n{fields}{OWN}");
    check_sent("POST /", |passage| passage.framing = Framing::Length(5), &{
        own("content-length: 5\n")
    });
    check_sent("POST /\nTrailer: x-sum", |passage| passage.framing = Framing::Chunked, &{
        own("trailer: x-sum\ntransfer-encoding: chunked\n")
    });
    check_sent("GET /\nUpgrade: h2c", |passage| passage.websocket = true, &{
        own("connection: upgrade\nupgrade: websocket\n")
    });
    check_sent("GET /\nTE: gzip, Trailers", |_| {}, &{ own("connection: te\nte: trailers\n") });
    check_sent("GET /\nConnection: Host, X-Real-IP, X-Request-Id", |_| {}, &own(""));
    check_sent("POST /", |passage| passage.expects_continue = true, &{
        own("expect: 100-continue\n")
    });
    assert!(Framing::None.is_empty() && Framing::Length(0).is_empty());
    assert!(!Framing::Length(1).is_empty() && !Framing::Chunked.is_empty());
}

#[test]
fn what_a_trusted_proxy_said_is_added_to() {
    let came = "GET /
        X-Forwarded-For: a, b
        X-Forwarded-For: c
        X-Forwarded-Proto: https
        X-Forwarded-Host: b.test";
    let own = |through: &str, proto: &str, host: &str| {
        let own = OWN.replace("10.0.0.1", through).replace("http\n", &format!("{proto}\n"));
        let host = format!("x-forwarded-host: {host}");
        format!("host: a.test:80\n{}", own.replace("x-forwarded-host: a.test:80", &host))
    };
    check_sent(
        came,
        |passage| passage.trusted = true,
        &own("a, b, c, 10.0.0.1", "https", "b.test"),
    );
    check_sent("GET /", |passage| passage.trusted = true, &own("10.0.0.1", "http", "a.test:80"));
    let on_a_unix_socket = |passage: &mut Passage<'_>| {
        let sender = Sender { peer: None, client: None, ..passage.sender };
        *passage = Passage { trusted: true, sender, host: None, ..*passage };
    };
    check_sent(came, on_a_unix_socket, &{
        let own = own("a, b, c", "https", "b.test");
        own.replace("    x-real-ip: 192.0.2.1\n", "")
    });
}

#[track_caller]
fn check_websocket(request: &str, framing: Framing, expected: bool) {
    assert_eq!(asks_for_websocket(&sample::head(request), framing), expected, "{request}");
}

#[test]
fn a_websocket_is_asked_for_in_one_way() {
    const ASKS: &str = "GET /
        Upgrade: WebSocket
        Connection: keep-alive, Upgrade
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    check_websocket(ASKS, Framing::None, true);
    check_websocket(ASKS, Framing::Length(0), true);
    check_websocket(ASKS, Framing::Length(1), false);
    check_websocket(ASKS, Framing::Chunked, false);
    check_websocket(&ASKS.replace("GET /", "GET / HTTP/1.0"), Framing::None, false);
    for (one, other) in [
        ("GET", "POST"),
        ("Upgrade: WebSocket", "X: y"),
        ("WebSocket\n", "h2c\n"),
        ("keep-alive, Upgrade", "close"),
        ("Connection", "X"),
        ("Sec-WebSocket-Key", "X"),
    ] {
        check_websocket(&ASKS.replacen(one, other, 1), Framing::None, false);
    }
}

#[track_caller]
fn check_answered(status: u16, websocket: bool, came: &str, expected: &str) {
    let status = StatusCode::from_u16(status).unwrap();
    let mut head = ResponseHead { status, reason: None, headers: fields(came) };
    client_head(&mut head, websocket);
    assert_eq!(lines(&head.headers), expected, "{came}");
}

#[test]
fn a_response_loses_what_is_for_the_next_hop() {
    let came = "Connection: close, X-A\nKeep-Alive: 1\nX-A: 1\nContent-Length: 5\nX-B: 1";
    check_answered(200, false, came, "content-length: 5\nx-b: 1");
    check_answered(200, true, came, "content-length: 5\nx-b: 1");
    let chunked = "Transfer-Encoding: chunked\nX-B: 1";
    check_answered(200, false, chunked, "x-b: 1");
    let upgrade = "Connection: Upgrade\nUpgrade: WebSocket\nX-B: 1";
    check_answered(101, false, upgrade, "x-b: 1");
    check_answered(101, true, upgrade, "x-b: 1\nconnection: upgrade\nupgrade: websocket");
    let stream = "Content-Type: Text/Event-Stream;charset=utf-8";
    let passed = "content-type: Text/Event-Stream;charset=utf-8\nx-accel-buffering: no";
    check_answered(200, false, stream, passed);
}

#[test]
fn hints_neither_frame_nor_concern_the_next_hop() {
    let came = fields("Link: a\nContent-Length: 5\nConnection: X-A\nX-A: 1\nLink: b");
    let passed: Vec<_> = hints(&came).map(|(name, value)| format!("{name}: {value:?}")).collect();
    assert_eq!(passed, [r#"link: "a""#, r#"link: "b""#]);
}

#[track_caller]
fn check_trailer(name: &str, passes: bool) {
    let credentials = [HeaderName::from_static("x-api-key")];
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    assert_eq!(trailer_may_pass(&name, &credentials), passes, "{name}");
}

#[test]
fn trailers_neither_frame_nor_identify() {
    for name in ["grpc-status", "x-checksum", "server-timing"] {
        check_trailer(name, true);
    }
    let never = "authorization cache-control connection content-encoding content-length \
                 content-range content-type cookie expect host keep-alive proxy-authorization \
                 set-cookie te trailer transfer-encoding x-api-key x_api_key \
                 x_consumer_username x-forwarded-for";
    for name in never.split(' ') {
        check_trailer(name, false);
    }
    let none = HeaderName::from_lowercase(b"x\"y").expect("one of HTTP/2 may have it");
    assert!(!trailer_may_pass(&none, &[]));
}

#[test]
fn the_host_upstream_is_as_configured() {
    let [own, client, literal] = ["127.0.0.1:1", "a.test", "b.test"].map(HeaderValue::from_static);
    let host = |policy: &HostPolicy, client| host_sent(policy, &own, client).cloned();
    assert_eq!(host(&HostPolicy::Client, Some(&client)), Some(client.clone()));
    assert_eq!(host(&HostPolicy::Client, None), Some(own.clone()));
    assert_eq!(host(&HostPolicy::Upstream, Some(&client)), Some(own.clone()));
    assert_eq!(host(&HostPolicy::Literal(literal.clone()), Some(&client)), Some(literal));
}
