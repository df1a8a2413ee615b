//! How clients are met with TLS: `[server.tls]` as it is done.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::site::{Shown, Sites};
use super::{Alpn, provider};
use crate::keystore::Stamp;

/// What clients may speak, the best first.
const OFFERED: [Alpn; 2] = [Alpn::H2, Alpn::Http11];

/// Whose certificates clients show.
pub(crate) struct ClientCertificates {
    /// Whom they are believed by.
    pub(crate) authorities: RootCertStore,
    /// Whether a client without one is refused.
    pub(crate) required: bool,
}

/// What a gate shows its clients and asks of them.
pub struct Acceptor {
    pub(crate) config: Arc<ServerConfig>,
    /// How long a handshake may take.
    pub(crate) handshake_timeout: Duration,
    /// What it was made of: the settings as text, and the files as they were.
    origin: (String, Vec<(PathBuf, Stamp)>),
    /// The certificates that are shown.
    pub(crate) shown: Vec<Shown>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acceptor").field(&self.origin.0).finish()
    }
}

impl Acceptor {
    /// With new tickets: a session that began with other certificates or other clients in mind is
    /// not taken up again, since neither side shows its certificate then.
    ///
    /// # Errors
    /// The system gives no random numbers, or the authorities are of no use.
    pub(crate) fn new(
        sites: Sites,
        clients: Option<ClientCertificates>,
        handshake_timeout: Duration,
        origin: (String, Vec<(PathBuf, Stamp)>),
        shown: Vec<Shown>,
    ) -> Result<Self, String> {
        let provider = provider();
        let wrong = |error: rustls::Error| error.to_string();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(ClientCertificates { authorities, required }) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(authorities),
                    Arc::clone(&provider),
                );
                let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
                let verifier = verifier.build().map_err(|error| error.to_string())?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(sites));
        // The client keeps its session, sealed with a key that changes every six hours: nothing is
        // kept here, however many clients there are.
        config.ticketer = Ticketer::new().map_err(wrong)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.alpn_protocols = OFFERED.iter().map(|alpn| alpn.name().to_vec()).collect();
        Ok(Self { config: Arc::new(config), handshake_timeout, origin, shown })
    }

    /// Whether these settings would make the same again, because the files are as they were.
    pub(crate) fn is_still(&self, settings: &str) -> bool {
        let same = |(path, stamp): &(PathBuf, Stamp)| Stamp::at(path).as_ref() == Some(stamp);
        self.origin.0 == settings && self.origin.1.iter().all(same)
    }

    /// The files that it was made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.origin.1.iter().map(|(path, _)| path.clone())
    }
}
