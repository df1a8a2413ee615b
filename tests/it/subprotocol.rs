//! A key among the subprotocols of a WebSocket: it lets in, goes no further, and what the client
//! gets to hear is a subprotocol that it offered.

use crate::support::reference::{keyed, one_location, upstream};
use crate::support::{Failures, Gate, Head, INVALID, MISSING, Origin, Response, Row};
use crate::websocket::{HANDSHAKE, SWITCHING};

/// An origin that agrees to every WebSocket, and chooses the subprotocol that the path names.
fn choosing() -> Origin {
    Origin::scripted(|exchange| {
        let chosen = exchange.request.second_word().trim_start_matches('/').to_owned();
        let line = match chosen.as_str() {
            "" => String::new(),
            chosen => format!("Sec-WebSocket-Protocol: {chosen}\r\n"),
        };
        exchange.write(SWITCHING.replacen("\r\n", &format!("\r\n{line}"), 1));
        exchange.close();
    })
}

fn guarding(origin: &Origin) -> Gate {
    Gate::on(&(upstream(origin) + &one_location("sources = [\"websocket\"]\n", "")))
}

fn handshake(path: &str, offered: &str) -> String {
    let offer = match offered {
        "" => String::new(),
        offered => format!("Sec-WebSocket-Protocol: {offered}\r\n"),
    };
    keyed(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{offer}{HANDSHAKE}\r\n"))
}

fn chosen(head: &Head) -> Option<&str> {
    head.value("sec-websocket-protocol")
}

const REFUSED: &[Row] = &[
    ("nothing", b"", MISSING),
    ("no marker", b"Sec-WebSocket-Protocol: chat, K1\r\n", MISSING),
    ("no key", b"Sec-WebSocket-Protocol: bearer\r\n", MISSING),
    ("an empty key", b"Sec-WebSocket-Protocol: openai-insecure-api-key.\r\n", MISSING),
    ("the scheme of a header", b"Sec-WebSocket-Protocol: Bearer K1\r\n", MISSING),
    ("another field", b"Authorization: Bearer K1\r\nX-API-Key: K1\r\n", MISSING),
    ("a wrong key", b"Sec-WebSocket-Protocol: bearer, wrong\r\n", INVALID),
    ("twice", b"Sec-WebSocket-Protocol: bearer, K1, bearer, K1\r\n", INVALID),
    ("both forms", b"Sec-WebSocket-Protocol: bearer, K1, openai-insecure-api-key.K1\r\n", INVALID),
    (
        "two lines",
        b"Sec-WebSocket-Protocol: bearer, K1\r\nSec-WebSocket-Protocol: bearer, K1\r\n",
        INVALID,
    ),
    (
        "a second line",
        b"Sec-WebSocket-Protocol: bearer, K1\r\nsec-websocket-protocol: a\r\n",
        INVALID,
    ),
];

#[test]
fn a_websocket_without_the_one_key_touches_no_origin() {
    let origin = choosing();
    let gate = guarding(&origin);
    let (start, end) = ("GET / HTTP/1.1\r\nHost: a.test\r\n", format!("{HANDSHAKE}\r\n"));
    Failures::new().play(&gate, &origin, (start, REFUSED, &end)).report();
    assert_eq!(origin.connections(), 0);
}

const NO_WEBSOCKET: &[Row] = &[
    ("nothing is asked for", b"GET / HTTP/1.1\r\n", MISSING),
    ("another protocol", b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n", MISSING),
    (
        "a POST",
        b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n",
        MISSING,
    ),
    (
        "a body",
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\
          Content-Length: 2\r\n",
        MISSING,
    ),
];

#[test]
fn a_request_for_something_else_carries_no_key_there() {
    let origin = choosing();
    let gate = guarding(&origin);
    let end = "Host: a.test\r\nSec-WebSocket-Protocol: bearer, K1\r\n\r\nhi";
    Failures::new().play(&gate, &origin, ("", NO_WEBSOCKET, end)).report();
    assert_eq!(origin.connections(), 0);
}

/// What a client offers, what the origin then chooses, what the origin sees, and what the client.
const OFFERS: [(&str, &str, Option<&str>, Option<&str>); 6] = [
    ("bearer, K1", "/", None, Some("bearer")),
    ("chat, bearer, K1, superchat", "/superchat", Some("chat, superchat"), Some("superchat")),
    ("chat, bearer, K1", "/", Some("chat"), Some("bearer")),
    (
        "realtime, openai-insecure-api-key.K1, openai-beta.realtime-v1",
        "/realtime",
        Some("realtime, openai-beta.realtime-v1"),
        Some("realtime"),
    ),
    ("a,openai-insecure-api-key.K1,b", "/", Some("a,b"), None),
    ("openai-insecure-api-key.K1", "/", None, None),
];

#[test]
fn the_origin_sees_the_other_subprotocols_and_the_client_one_that_it_offered() {
    let origin = choosing();
    let gate = guarding(&origin);
    let mut failures = Failures::new();
    for (offered, path, seen, answered) in OFFERS {
        let response = gate.send(handshake(path, offered));
        let arrived = origin.last().head;
        let right = response.status == 101
            && chosen(&response.head) == answered
            && chosen(&arrived) == seen;
        failures.row(right, || format!("{offered}: {arrived:?} {response:?}"));
    }
    failures.report();
}

#[test]
fn the_key_is_taken_away_from_every_other_request_too() {
    let origin = Origin::echo();
    let source = "sources = [\"header:X-API-Key\", \"websocket\"]\n";
    let gate = Gate::on(&(upstream(&origin) + &one_location(source, "")));
    let offer = "Sec-WebSocket-Protocol: a, bearer\r\nSec-WebSocket-Protocol: K1, b\r\n\
                 Sec_WebSocket_Protocol: openai-insecure-api-key.K1\r\n";
    let request = format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n{offer}\r\n");
    let response: Response = gate.send(keyed(&request));
    assert_eq!((response.status, chosen(&response.head)), (200, None));
    let head = origin.last().head;
    assert_eq!(head.values("sec-websocket-protocol"), ["a", "b"]);
    assert!(!head.has("sec_websocket_protocol"), "{head:?}");
}

#[test]
fn without_hiding_the_list_arrives_as_it_came() {
    let origin = choosing();
    let config = one_location("sources = [\"websocket\"]\n", "");
    let gate = Gate::on(&(upstream(&origin) + &config.replace("hide_credentials = true\n", "")));
    let offered = keyed("a,  bearer , K1");
    let response = gate.send(handshake("/", &offered));
    assert_eq!((response.status, chosen(&response.head)), (101, Some("bearer")));
    assert_eq!(chosen(&origin.last().head), Some(offered.as_str()));
}

#[test]
fn no_trailer_offers_a_subprotocol() {
    let origin = Origin::echo();
    let source = "sources = [\"header:X-API-Key\", \"websocket\"]\n";
    let gate = Gate::on(&(upstream(&origin) + &one_location(source, "")));
    let request = "POST /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\nTransfer-Encoding: chunked\r\n\
                   \r\n0\r\nSec-WebSocket-Protocol: bearer, K1\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(gate.send(keyed(request)).status, 200);
    assert_eq!(origin.last().trailers, [("x-sum".to_owned(), "1".to_owned())]);
}
