//! The tables about TLS: `[server.tls]`, and `tls` of an upstream.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::types::Period;

/// `[server.tls]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// What clients are shown, by the name that they ask for; the first to everybody else.
    #[serde(default)]
    pub certificates: Vec<CertificatePair>,
    /// The authorities whose certificates clients may show.
    pub client_ca: Option<Spanned<String>>,
    /// Whether a client needs a certificate; absent: with `client_ca` it does.
    pub client_certificates: Option<Spanned<ClientCertificates>>,
    /// How long a handshake may take.
    #[serde(default = "handshake_timeout")]
    pub handshake_timeout: Period,
}

impl ServerTls {
    /// What it says, wherever it stands.
    pub(crate) fn settings(&self) -> String {
        let pair = |pair: &CertificatePair| {
            [&pair.cert, &pair.key].map(Spanned::get_ref).map(String::clone)
        };
        let pairs: Vec<_> = self.certificates.iter().map(pair).collect();
        let clients = (said(&self.client_ca), said(&self.client_certificates));
        format!("{:?}", (pairs, clients, self.handshake_timeout))
    }
}

/// One of `certificates`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificatePair {
    /// The file with the certificate, and those that lead from it to an authority.
    pub cert: Spanned<String>,
    /// The file with its private key.
    pub key: Spanned<String>,
}

/// Whether a client needs a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// One that is shown must be good.
    Optional,
    /// There must be a good one.
    Required,
}

/// As long as a whole head may take: a handshake is two or three packets each way.
const HANDSHAKE_TIMEOUT: Period = Period(Duration::from_secs(10));

fn handshake_timeout() -> Period {
    HANDSHAKE_TIMEOUT
}

/// An upstream's `tls`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// The file with the authorities that are believed; absent: those of the system.
    pub ca: Option<Spanned<String>>,
    /// The name in the upstream's certificate; absent: the host of the address.
    pub server_name: Option<Spanned<String>>,
    /// The file with the certificate that the gate shows.
    pub cert: Option<Spanned<String>>,
    /// The file with its private key.
    pub key: Option<Spanned<String>>,
    /// Whether any certificate is believed.
    pub insecure_skip_verify: Option<Spanned<bool>>,
}

impl UpstreamTls {
    /// What it says, wherever it stands.
    pub(crate) fn settings(&self) -> String {
        let names = [&self.ca, &self.server_name, &self.cert, &self.key].map(said);
        format!("{:?}", (names, said(&self.insecure_skip_verify)))
    }
}

fn said<T>(written: &Option<Spanned<T>>) -> Option<&T> {
    written.as_ref().map(Spanned::get_ref)
}
