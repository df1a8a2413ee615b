//! How an upstream is met with TLS: an `https://` address as it is done.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::site::Shown;
use super::stream::TlsStream;
use super::unverified::AnyCertificate;
use super::{Alpn, provider};
use crate::keystore::Stamp;

/// Whose certificates are believed.
pub(crate) enum Trust {
    /// Those that these authorities have signed.
    Authorities(RootCertStore),
    /// All.
    Anybody,
}

/// What an upstream is asked for and shown.
pub struct Connector {
    http11: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
    /// The name in its certificate, where that is not the host of the address.
    server_name: Option<ServerName<'static>>,
    /// What it was made of: the settings as text, and the files as they were.
    origin: (String, Vec<(PathBuf, Stamp)>),
    /// The certificates that are shown.
    pub(crate) shown: Vec<Shown>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.origin.0).finish()
    }
}

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        self.origin == other.origin
    }
}

impl Eq for Connector {}

impl Connector {
    /// `own` is the certificate that the gate shows, if it has one.
    ///
    /// # Errors
    /// The cryptography cannot be used.
    pub(crate) fn new(
        trust: Trust,
        own: Option<CertifiedKey>,
        server_name: Option<ServerName<'static>>,
        origin: (String, Vec<(PathBuf, Stamp)>),
        shown: Vec<Shown>,
    ) -> Result<Self, String> {
        let builder = verifying(trust)?;
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        };
        let [http11, h2] = [Alpn::Http11, Alpn::H2].map(|wanted| {
            config.alpn_protocols = vec![wanted.name().to_vec()];
            Arc::new(config.clone())
        });
        Ok(Self { http11, h2, server_name, origin, shown })
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

    /// Shakes hands over a connection that was made to this host, to speak what is wanted.
    ///
    /// # Errors
    /// The upstream shows no certificate that is believed, or speaks another protocol.
    pub(crate) async fn connect(
        &self,
        host: &str,
        tcp: TcpStream,
        wanted: Alpn,
    ) -> io::Result<Box<TlsStream>> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host).ok_or(io::ErrorKind::InvalidInput)?,
        };
        let config = if wanted == Alpn::H2 { &self.h2 } else { &self.http11 };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = TlsStream::new(connector.connect(name, tcp).await?.into());
        match stream.alpn() == wanted {
            true => Ok(Box::new(stream)),
            false => Err(io::Error::other("the upstream speaks no HTTP/2")),
        }
    }
}

/// A host as it stands in a certificate: a name, without the dot that may end it, or an address.
pub(crate) fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.trim_end_matches('.').to_owned()).ok()
}

/// The authorities that this system believes, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// name; none if there is none.
pub(crate) fn system_roots() -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let _counts = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Some(roots).filter(|roots| !roots.is_empty())
}

/// What a program is asked for that speaks HTTP/1.1 and shows no certificate.
///
/// # Errors
/// The cryptography cannot be used.
pub(crate) fn without_certificate(trust: Trust) -> Result<Arc<ClientConfig>, String> {
    let mut config = verifying(trust)?.with_no_client_auth();
    config.alpn_protocols = vec![Alpn::Http11.name().to_vec()];
    Ok(Arc::new(config))
}

fn verifying(trust: Trust) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(match trust {
        Trust::Authorities(roots) => builder.with_root_certificates(roots),
        Trust::Anybody => {
            let verifier: Arc<dyn ServerCertVerifier> = Arc::new(AnyCertificate(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    })
}
