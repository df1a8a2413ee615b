//! Which certificate a client is shown: by the name that it asks for.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::{EndEntityCert, Error, KeyUsage};

/// A certificate with its key, and the names that it is for.
#[derive(Debug)]
pub(crate) struct Site {
    pair: Arc<CertifiedKey>,
    /// In lower case; one may begin with `*.`.
    names: Vec<String>,
}

impl Site {
    /// Reads the names in a certificate; none if it is no certificate.
    pub(crate) fn new(pair: CertifiedKey) -> Option<Self> {
        let certificate = EndEntityCert::try_from(pair.cert.first()?).ok()?;
        let names = certificate.valid_dns_names().map(str::to_ascii_lowercase).collect();
        Some(Self { pair: Arc::new(pair), names })
    }

    /// Whether the certificate names any host: one that does not is shown to nobody who asks for
    /// one.
    pub(crate) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    fn is_for(&self, host: &str) -> bool {
        self.names.iter().any(|name| host.eq_ignore_ascii_case(name))
    }

    /// Whether it is for all hosts like this one: a `*` stands for one label (RFC 9525, section
    /// 6.3).
    fn is_for_all_like(&self, host: &str) -> bool {
        let Some((_, parent)) = host.split_once('.') else { return false };
        let mut parents = self.names.iter().filter_map(|name| name.strip_prefix("*."));
        parents.any(|name| parent.eq_ignore_ascii_case(name))
    }
}

/// All sites of a gate; never empty.
#[derive(Debug)]
pub(crate) struct Sites(Vec<Site>);

impl Sites {
    /// The first is shown to whoever asks for no name, or for one that is in none.
    pub(crate) fn new(first: Site, others: Vec<Site>) -> Self {
        Self(std::iter::once(first).chain(others).collect())
    }

    /// The sites that a client may be shown, the best first: a name counts more than a wildcard,
    /// and among equals the order in which they are written.
    fn candidates(&self, host: Option<&str>) -> Vec<&Site> {
        let named = |is_for: fn(&Site, &str) -> bool| {
            self.0.iter().filter(move |site| host.is_some_and(|host| is_for(site, host)))
        };
        let mut all: Vec<_> = named(Site::is_for).chain(named(Site::is_for_all_like)).collect();
        if all.is_empty() {
            all.push(&self.0[0]);
        }
        all
    }
}

impl ResolvesServerCert for Sites {
    /// Of several for one name (an RSA and an ECDSA one) the first that the client can check.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.candidates(hello.server_name());
        let schemes = hello.signature_schemes();
        let can_check = |site: &&&Site| site.pair.key.choose_scheme(schemes).is_some();
        let chosen = candidates.iter().find(can_check).or(candidates.first())?;
        Some(Arc::clone(&chosen.pair))
    }
}

/// A certificate that is shown, and when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The file, as the configuration names it.
    pub(crate) file: String,
    /// Counted from 1970.
    pub(crate) end: Duration,
}

/// What is wrong with the time of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untimely {
    /// It is over since then, counted from 1970.
    Expired(Duration),
    /// It begins then.
    NotYet(Duration),
}

/// Whether a certificate is valid now, as far as its dates say. webpki looks at them first, so that
/// a verification without any authority tells them.
pub(crate) fn untimely(pair: &CertifiedKey, now: UnixTime) -> Option<Untimely> {
    pair.cert.iter().find_map(|certificate| untimely_one(certificate, now))
}

/// When a certificate ends, or the first of those that it is shown with, counted from 1970.
pub(crate) fn end(pair: &CertifiedKey) -> Option<Duration> {
    // Later than any date that a certificate can have: by then each has ended.
    let never = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));
    let ends = pair.cert.iter().filter_map(|certificate| match untimely_one(certificate, never) {
        Some(Untimely::Expired(end)) => Some(end),
        Some(Untimely::NotYet(_)) | None => None,
    });
    ends.min()
}

fn untimely_one(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<Untimely> {
    let since_1970 = |time: UnixTime| Duration::from_secs(time.as_secs());
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let usage = KeyUsage::server_auth();
    match certificate.verify_for_usage(&[], &[], &[], now, usage, None, None) {
        Err(Error::CertExpired { not_after, .. }) => Some(Untimely::Expired(since_1970(not_after))),
        Err(Error::CertNotValidYet { not_before, .. }) => {
            Some(Untimely::NotYet(since_1970(not_before)))
        }
        _ => None,
    }
}
