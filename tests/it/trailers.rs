//! Trailers, both ways: those that may come last pass, the others do not.

use crate::support::reference::{guarded, keyed};
use crate::support::{Failures, Origin};

const START: &str = "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n";

#[test]
fn trailers_pass_towards_the_origin() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let request = keyed(&format!(
        "{START}Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n"
    ));
    assert_eq!(gate.send(request).status, 200);
    assert_eq!(origin.last().trailers, [("x-sum".to_owned(), "1".to_owned())].map(lower));
}

fn lower((name, value): (String, String)) -> (String, String) {
    (name.to_ascii_lowercase(), value)
}

/// Fields that no trailer may set (RFC 9110, section 6.5.1), nor may a credential come in one.
const FORBIDDEN: [&str; 17] = [
    "X-API-Key: K1",
    "Content-Length: 50",
    "Transfer-Encoding: chunked",
    "Host: evil.test",
    "Authorization: Bearer x",
    "X-Forwarded-For: 192.0.2.1",
    "X-Consumer-Username: root",
    "X_Consumer_Username: root",
    "Connection: close",
    "Cookie: a=b",
    "Proxy-Authorization: Basic x",
    "Proxy-Authenticate: Basic",
    "Proxy-Connection: close",
    "Keep-Alive: timeout=5",
    "TE: gzip",
    "Upgrade: foo",
    "X-Request-Id: stranger",
];

#[test]
fn forbidden_trailers_are_dropped() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let mut failures = Failures::new();
    for line in FORBIDDEN {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let request = keyed(&format!(
            "{START}Trailer: X-Sum, {name}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\
             X-Sum: 1\r\n{line}\r\n\r\n"
        ));
        let before = origin.count();
        let status = gate.send(request).status;
        let arrived = origin.requests().split_off(before);
        let clean = arrived.iter().all(|one| {
            !one.trailers.iter().any(|(trailer, _)| trailer.eq_ignore_ascii_case(&name))
        });
        failures.row(clean && status < 500, || format!("{line}: {status} {arrived:?}"));
    }
    failures.report();
}
