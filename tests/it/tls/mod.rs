//! TLS: what clients are met with, what upstreams must show, and how certificates change.

mod clients;
pub(crate) mod config;
mod handshakes;
mod metrics;
mod openssl;
pub(crate) mod reload;
mod smoke;
pub(crate) mod upstream;

use crate::support::reference::{one_location, upstream};
use crate::support::tls::{Authority, Certificate};
use crate::support::{Gate, Origin};

/// What the tests ask for with the key.
const ASK: &str = "GET /x HTTP/1.1\r\nHost: localhost\r\nX-API-Key: K1\r\n\r\n";

/// The request of [`ASK`], as it is sent.
fn ask() -> Vec<u8> {
    crate::support::reference::with_keys(ASK.as_bytes())
}

/// A `[server.tls]` with one certificate; more lines follow it.
const ONE_SITE: &str = "[server]\nlisten = \"127.0.0.1:0\"\n[server.tls]\n\
                        certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\n";

/// A gate with one location that asks for `K1`, behind this certificate; `more` goes on with
/// `[server.tls]`, and `files` stand beside it.
#[track_caller]
fn secured(origin: &Origin, site: &Certificate, more: &str, files: &[(&str, &str)]) -> Gate {
    let config = upstream(origin) + &one_location("header = \"X-API-Key\"\n", "");
    let server = format!("{ONE_SITE}{more}");
    let own: [(&str, &str); 4] = [
        ("keygate.toml", &config),
        ("server.toml", &server),
        ("site.pem", &site.cert),
        ("site.key", &site.key),
    ];
    let mut gate = Gate::with(&[&own, files].concat());
    hide(&mut gate, site);
    gate
}

/// The private key may come out nowhere, as text or as bytes.
fn hide(gate: &mut Gate, certificate: &Certificate) {
    for line in certificate.key.lines().filter(|line| !line.starts_with("-----")) {
        gate.secret(line);
    }
    // Keys of one kind begin alike.
    let der = certificate.parts().1.secret_der().to_vec();
    gate.secret(&der[der.len().saturating_sub(64)..]);
}

/// An authority, and a certificate of it for this machine.
fn site() -> (Authority, Certificate) {
    let authority = Authority::new();
    let site = authority.issue(&["localhost", "127.0.0.1"]);
    (authority, site)
}
