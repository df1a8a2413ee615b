//! What ends at the gate, what only the gate may say, and whose word about the client is believed.

use crate::support::reference::{guarded, keyed, reference};
use crate::support::{Failures, Gate, Head, Origin};

/// What must arrive of a field: its values, line by line.
type Expected = (&'static str, &'static [&'static str]);

/// Field lines of a request with a valid key, and what must arrive.
type Row = (&'static str, &'static str, &'static [Expected]);

const OURS: Expected = ("x-forwarded-for", &["127.0.0.1"]);

/// Requests of a peer that nobody trusts.
const UNTRUSTED: &[Row] = &[
    ("nothing", "", &[OURS, ("x-real-ip", &["127.0.0.1"]), ("x-forwarded-proto", &["http"])]),
    ("the host", "", &[("x-forwarded-host", &["a.test"]), ("host", &["a.test"])]),
    ("a forwarded client", "X-Forwarded-For: 192.0.2.1\r\n", &[OURS]),
    ("several", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n", &[OURS]),
    ("a scheme", "X-Forwarded-Proto: https\r\n", &[("x-forwarded-proto", &["http"])]),
    ("a forwarded host", "X-Forwarded-Host: b.test\r\n", &[("x-forwarded-host", &["a.test"])]),
    ("a port", "X-Forwarded-Port: 443\r\n", &[("x-forwarded-port", &[])]),
    ("a prefix", "X-Forwarded-Prefix: /p\r\n", &[("x-forwarded-prefix", &[])]),
    ("a URI", "X-Forwarded-Uri: /p\r\n", &[("x-forwarded-uri", &[])]),
    ("a user", "X-Forwarded-User: root\r\n", &[("x-forwarded-user", &[])]),
    ("any other", "X-Forwarded-Anything: 1\r\n", &[("x-forwarded-anything", &[])]),
    ("a server", "X-Forwarded-Server: s\r\n", &[("x-forwarded-server", &[])]),
    ("underscores", "X_Forwarded_For: 192.0.2.1\r\n", &[OURS, ("x_forwarded_for", &[])]),
    ("Forwarded", "Forwarded: for=192.0.2.1;host=b\r\n", &[("forwarded", &[])]),
    ("a real address", "X-Real-IP: 192.0.2.1\r\n", &[("x-real-ip", &["127.0.0.1"])]),
    ("with underscores", "X_Real_IP: 192.0.2.1\r\n", &[("x_real_ip", &[])]),
    ("a consumer", "X-Consumer-Username: root\r\n", &[("x_consumer_username", &[])]),
    ("with underscores", "X_Consumer_Username: root\r\n", &[("x_consumer_username", &[])]),
    ("half and half", "X_Consumer-Username: root\r\n", &[("x_consumer-username", &[])]),
    ("the other half", "X-Consumer_Username: root\r\n", &[("x-consumer_username", &[])]),
    ("in upper case", "X_CONSUMER_USERNAME: root\r\n", &[("x_consumer_username", &[])]),
    ("a credential", "X_Credential_Identifier: root\r\n", &[("x_credential_identifier", &[])]),
    ("half of it", "X-Credential_Identifier: root\r\n", &[("x-credential_identifier", &[])]),
    ("a request's id", "X_Request_Id: stranger\r\n", &[("x_request_id", &[])]),
    ("half of it", "X-Request_Id: stranger\r\n", &[("x-request_id", &[])]),
    ("another path", "X-Original-URL: /admin\r\n", &[("x-original-url", &[])]),
    ("with underscores", "X_Original_URL: /admin\r\n", &[("x_original_url", &[])]),
    ("yet another path", "X-Rewrite-URL: /admin\r\n", &[("x-rewrite-url", &[])]),
    ("with underscores", "X_Rewrite_URL: /admin\r\n", &[("x_rewrite_url", &[])]),
];

#[track_caller]
fn play(gate: &Gate, origin: &Origin, rows: &[Row]) {
    let mut failures = Failures::new();
    for (name, lines, expected) in rows {
        let start = keyed("GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n");
        let before = origin.count();
        let status = gate.send(format!("{start}{lines}\r\n")).status;
        let head = if origin.count() > before { origin.last().head } else { Head::default() };
        for (field, values) in *expected {
            let got = head.values(field);
            failures.row(status == 200 && got == *values, || {
                format!("{name} ({lines:?}): {status}, {field} is {got:?}, expected {values:?}")
            });
        }
    }
    failures.report();
}

#[test]
fn a_stranger_says_nothing_about_the_client() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    play(&gate, &origin, UNTRUSTED);
}

#[test]
fn a_byte_beyond_ascii_in_connection_hides_no_name_beside_it() {
    const LINES: &[u8] = b"Connection: \xe9, X-Secret, \xe9\r\nX-Secret: 1\r\n";
    let answer = [b"HTTP/1.1 200 OK\r\n", LINES, b"Content-Length: 0\r\n\r\n"].concat();
    let origin = Origin::answering(answer);
    let gate = guarded(&origin);
    let response =
        gate.send([b"GET /public/x HTTP/1.1\r\nHost: a.test\r\n", LINES, b"\r\n"].concat());
    assert_eq!(response.status, 200);
    assert!(!response.head.has("x-secret"), "{:?}", response.head);
    assert!(!origin.last().head.has("x-secret"), "{:?}", origin.last().head);
}

/// A gate that trusts its peers on this machine.
fn trusting(origin: &Origin) -> Gate {
    let server = "[server]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    Gate::with(&[("keygate.toml", &reference(origin)), ("server.toml", server)])
}

/// Requests of a trusted proxy.
const TRUSTED: &[Row] = &[
    ("nothing", "", &[OURS, ("x-real-ip", &["127.0.0.1"])]),
    (
        "the client",
        "X-Forwarded-For: 192.0.2.1\r\n",
        &[("x-forwarded-for", &["192.0.2.1, 127.0.0.1"]), ("x-real-ip", &["192.0.2.1"])],
    ),
    (
        "the client and proxies that are trusted",
        "X-Forwarded-For: 192.0.2.1, 127.0.0.9\r\n",
        &[("x-forwarded-for", &["192.0.2.1, 127.0.0.9, 127.0.0.1"]), ("x-real-ip", &["192.0.2.1"])],
    ),
    (
        "what the client made up before it",
        "X-Forwarded-For: 203.0.113.9, 192.0.2.1\r\n",
        &[("x-real-ip", &["192.0.2.1"])],
    ),
    ("the scheme", "X-Forwarded-Proto: https\r\n", &[("x-forwarded-proto", &["https"])]),
    ("the host", "X-Forwarded-Host: b.test\r\n", &[("x-forwarded-host", &["b.test"])]),
    ("the request's id", "X-Request-Id: proxy-1\r\n", &[("x-request-id", &["proxy-1"])]),
    (
        "a consumer is nobody's to say",
        "X_Consumer_Username: r\r\n",
        &[("x_consumer_username", &[])],
    ),
];

#[test]
fn a_trusted_proxy_is_believed() {
    let origin = Origin::echo();
    let gate = trusting(&origin);
    play(&gate, &origin, TRUSTED);
}

/// What a client slips through a trusted proxy that knows the names with `-` only.
const SLIPPED: &[Row] = &[
    ("a client", "X_Forwarded_For: 192.0.2.1\r\n", &[OURS, ("x_forwarded_for", &[])]),
    ("half of it", "X-Forwarded_For: 192.0.2.1\r\n", &[OURS, ("x-forwarded_for", &[])]),
    ("a host", "X_Forwarded_Host: b.test\r\n", &[("x_forwarded_host", &[])]),
    ("a real address", "X_Real_IP: 192.0.2.1\r\n", &[("x_real_ip", &[])]),
    ("a consumer", "X-Consumer-Username: root\r\n", &[("x-consumer-username", &[])]),
    ("a credential", "X-Credential-Identifier: r\r\n", &[("x-credential-identifier", &[])]),
    ("a request's id", "X_Request_Id: stranger\r\n", &[("x_request_id", &[])]),
    ("another path", "X_Original_URL: /admin\r\n", &[("x_original_url", &[])]),
    ("yet another path", "X_Rewrite_URL: /admin\r\n", &[("x_rewrite_url", &[])]),
];

#[test]
fn nothing_is_slipped_through_a_trusted_proxy() {
    let origin = Origin::echo();
    let gate = trusting(&origin);
    play(&gate, &origin, SLIPPED);
}

/// The ids that a request with this line gets, upstream and in the answer.
fn ids(gate: &Gate, origin: &Origin, line: &str) -> String {
    let key = keyed("X-API-Key: K1");
    gate.send(format!("GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\n{key}\r\n{line}\r\n"));
    origin.last().head.value("x-request-id").unwrap_or_default().to_owned()
}

#[test]
fn a_strangers_request_id_is_replaced_and_each_is_new() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let own = ids(&gate, &origin, "X-Request-Id: stranger-1\r\n");
    let next = ids(&gate, &origin, "");
    assert!(!own.is_empty() && own != "stranger-1" && own != next, "{own:?} {next:?}");
}

#[test]
fn a_trusted_proxys_request_id_is_replaced_where_no_log_line_could_hold_it() {
    let origin = Origin::echo();
    let gate = trusting(&origin);
    let longest = "i".repeat(128);
    assert_eq!(ids(&gate, &origin, &format!("X-Request-Id: {longest}\r\n")), longest);
    for id in ["", "a b", "a\tb", "\u{e9}", &format!("{longest}i")] {
        let own = ids(&gate, &origin, &format!("X-Request-Id: {id}\r\n"));
        assert!(own.len() == 32 && own.is_ascii(), "{id:?} became {own:?}");
    }
}

#[test]
fn the_bytes_of_a_response_are_the_upstreams() {
    let answer = "HTTP/1.1 299 As I like\r\nX-Upper: 1\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\
        X-Empty:\r\nContent-Length: 3\r\n\r\n\x00\x01\x02";
    let origin = Origin::answering(answer);
    let response = guarded(&origin).send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((response.status, response.body.as_slice()), (299, &[0, 1, 2][..]));
    assert_eq!(response.head.values("set-cookie"), ["a=b", "c=d"]);
    assert_eq!(response.head.values("x-empty"), [""]);
}

/// What the upstream is told of the host, for each setting.
#[test]
fn the_host_sent_upstream_is_as_configured() {
    let origin = Origin::echo();
    let address = origin.address.to_string();
    let rows = [("client", "a.test"), ("upstream", address.as_str()), ("other.test", "other.test")];
    for (setting, expected) in rows {
        let config = reference(&origin)
            .replace("[upstreams.rec]\n", &format!("[upstreams.rec]\nhost = \"{setting}\"\n"));
        let gate = Gate::on(&config);
        assert_eq!(gate.send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n").status, 200);
        let head = origin.last().head;
        assert_eq!(head.values("host"), [expected], "{setting}");
        assert_eq!(head.values("x-forwarded-host"), ["a.test"], "{setting}");
    }
}
