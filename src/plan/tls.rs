//! From what is written about TLS to what both sides are met with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::sign::CertifiedKey;
use toml::Spanned;

use super::compile::Compiler;
use super::{ListenAddr, ListenOn};
use crate::config::address::{Addresses, ListenAt, Scheme};
use crate::config::problem::Fault;
use crate::config::source::Origin;
use crate::config::{self, CertificatePair, ServerTls, Table, UpstreamTls};
use crate::keystore::Stamp;
use crate::tls::acceptor::{Acceptor, ClientCertificates};
use crate::tls::connector::{Connector, Trust, server_name, system_roots};
use crate::tls::pem::{PemFile, pair};
use crate::tls::site::{Shown, Site, Sites, Untimely, end, untimely};

/// The files that something is made of, as they were.
type Files = Vec<(PathBuf, Stamp)>;

impl Compiler<'_> {
    /// Whether clients speak TLS at an address: with `[server.tls]` everywhere that does not say
    /// otherwise, so that nothing is in the clear by oversight.
    pub(super) fn speaks_tls(&self, written: &ListenAt) -> bool {
        let tcp = matches!(written.address, ListenAddr::Tcp(_));
        tcp && self.config.server.tls.is_some() && written.scheme != Some(Scheme::Http)
    }

    /// Where to listen, and what is spoken there.
    pub(super) fn listen(&mut self) -> Vec<ListenOn> {
        let config = self.config;
        let mut listen = Vec::new();
        for written in &config.server.listen.0 {
            let on = written.get_ref();
            let tls = self.speaks_tls(on);
            if on.scheme == Some(Scheme::Https) && !tls {
                let fault = Fault::at(written.span(), "there is no certificate to speak TLS with")
                    .help("[server.tls]\ncertificates = [{ cert = \"site.pem\", key = \"site.key\" }]");
                self.findings.fault_in(&config.server_origin, fault);
            }
            listen.push(ListenOn { address: on.address.clone(), tls });
        }
        listen
    }

    /// What clients are met with. As long as neither settings nor files change, it stays the same,
    /// so that sessions can go on.
    pub(super) fn server_tls(&mut self) -> Option<Arc<Acceptor>> {
        let config = self.config;
        let (written, origin) = (config.server.tls.as_ref()?, &config.server_origin);
        let folder = config.sources.folder(origin);
        let (tls, settings) =
            (written.get_ref(), described(&folder, &written.get_ref().settings()));
        if let Some(same) = self.previous.and_then(|plan| plan.tls.as_ref())
            && same.is_still(&settings)
        {
            return Some(Arc::clone(same));
        }
        let mut reading = Reading::begin(self, origin, folder);
        let sites = reading.sites(tls, written.span());
        let clients = reading.clients(tls);
        let Reading { files, shown, .. } = reading;
        let timeout = tls.handshake_timeout.0;
        let made = Acceptor::new(sites?, clients?, timeout, (settings, files), shown);
        made.map(Arc::new).map_err(|error| self.cannot(origin, written.span(), &error)).ok()
    }

    /// What the addresses of an upstream that speak TLS are met with.
    pub(super) fn upstream_tls(
        &mut self,
        table: &Table<config::Upstream>,
        written: &config::Upstream,
        addrs: &Addresses,
    ) -> Option<Arc<Connector>> {
        let origin = &table.origin;
        let Some(first) = addrs.0.iter().find(|address| address.get_ref().tls) else {
            if let Some(tls) = &written.tls {
                let fault = Fault::at(tls.span(), "no address of this upstream speaks TLS")
                    .help("addrs = [\"https://HOST:PORT\"]");
                self.findings.fault_in(origin, fault);
            }
            return None;
        };
        let none = UpstreamTls::default();
        let place = written.tls.as_ref().map_or(first.span(), Spanned::span);
        let tls = written.tls.as_ref().map_or(&none, Spanned::get_ref);
        let folder = self.config.sources.folder(origin);
        let settings = described(&folder, &tls.settings());
        let known = self.previous.into_iter().flat_map(|plan| &plan.upstreams);
        let mut known = known.filter(|upstream| *upstream.name == *table.name);
        if let Some(same) = known.find_map(|upstream| upstream.tls.as_ref())
            && same.is_still(&settings)
        {
            return Some(Arc::clone(same));
        }
        let mut reading = Reading::begin(self, origin, folder);
        let trust = reading.trust(tls, &first.span());
        let own = reading.own(tls, &place);
        let name = reading.server_name(tls);
        let Reading { files, shown, .. } = reading;
        let made = Connector::new(trust?, own?, name?, (settings, files), shown);
        made.map(Arc::new).map_err(|error| self.cannot(origin, place, &error)).ok()
    }

    fn cannot(&mut self, origin: &Origin, place: std::ops::Range<usize>, error: &str) {
        let fault = Fault::at(place, format!("TLS cannot be spoken: {error}"));
        self.findings.fault_in(origin, fault);
    }
}

/// Settings as text that changes when they do: they name files by their place in a folder.
fn described(folder: &Path, settings: &str) -> String {
    format!("{}: {settings}", folder.display())
}

/// The reading of the files that one table names.
struct Reading<'r, 'c> {
    compiler: &'r mut Compiler<'c>,
    origin: &'r Origin,
    folder: PathBuf,
    files: Files,
    shown: Vec<Shown>,
}

impl<'r, 'c> Reading<'r, 'c> {
    fn begin(compiler: &'r mut Compiler<'c>, origin: &'r Origin, folder: PathBuf) -> Self {
        Self { compiler, origin, folder, files: Vec::new(), shown: Vec::new() }
    }

    fn fault(&mut self, place: std::ops::Range<usize>, fault: Fault) {
        self.compiler.findings.fault_in(self.origin, Fault { span: Some(place), ..fault });
    }

    fn warn(&mut self, place: std::ops::Range<usize>, fault: Fault) {
        self.compiler.findings.warn_in(self.origin, Fault { span: Some(place), ..fault });
    }

    /// Takes something out of a file, or notes why it cannot.
    fn take<T>(
        &mut self,
        written: &Spanned<String>,
        take: impl FnOnce(&PemFile) -> Result<T, Fault>,
    ) -> Option<(PemFile, T)> {
        let read = PemFile::read(self.folder.join(written.get_ref()));
        match read.and_then(|file| take(&file).map(|taken| (file, taken))) {
            Ok((file, taken)) => {
                self.files.push((file.path.clone(), file.stamp.clone()));
                Some((file, taken))
            }
            Err(fault) => {
                self.fault(written.span(), fault);
                None
            }
        }
    }

    fn pair(&mut self, cert: &Spanned<String>, key: &Spanned<String>) -> Option<CertifiedKey> {
        let chain = self.take(cert, PemFile::certificates);
        let signing = self.take(key, PemFile::private_key);
        let ((_, chain), (file, signing)) = (chain?, signing?);
        if file.exposed {
            let fault = Fault::new("other users of this machine can read this private key");
            self.warn(key.span(), fault.help("`chmod 600` keeps them out"));
        }
        let pair = pair(chain, signing).map_err(|fault| self.fault(cert.span(), fault)).ok()?;
        if let Some(end) = end(&pair) {
            self.shown.push(Shown { file: cert.get_ref().clone(), end });
        }
        if let Some(untimely) = untimely(&pair, UnixTime::now()) {
            self.warn(cert.span(), untimely.into());
        }
        Some(pair)
    }

    fn sites(&mut self, tls: &ServerTls, place: std::ops::Range<usize>) -> Option<Sites> {
        if tls.certificates.is_empty() {
            // One that could not be read is no missing one.
            if self.compiler.findings.has_errors() {
                return None;
            }
            let fault = Fault::new("there is no certificate");
            let help = "certificates = [{ cert = \"site.pem\", key = \"site.key\" }]";
            self.fault(place, fault.help(help));
            return None;
        }
        let sites: Vec<_> = tls.certificates.iter().map(|written| self.site(written)).collect();
        let mut sites = sites.into_iter().collect::<Option<Vec<_>>>()?;
        for (written, site) in tls.certificates.iter().zip(&sites).skip(1) {
            if !site.has_names() {
                let fault = Fault::new("no client is shown this certificate: it names no host");
                self.warn(written.cert.span(), fault.help("its names stand in subjectAltName"));
            }
        }
        let others = sites.split_off(1);
        Some(Sites::new(sites.pop()?, others))
    }

    fn site(&mut self, written: &CertificatePair) -> Option<Site> {
        let pair = self.pair(&written.cert, &written.key)?;
        let site = Site::new(pair);
        if site.is_none() {
            let fault = Fault::new("what stands in this file is no certificate of a server");
            self.fault(written.cert.span(), fault);
        }
        site
    }

    /// Whose certificates clients show; the outer one is none if that cannot be said.
    fn clients(&mut self, tls: &ServerTls) -> Option<Option<ClientCertificates>> {
        let required = tls.client_certificates.as_ref();
        match (&tls.client_ca, required) {
            (Some(ca), _) => {
                let (_, authorities) = self.take(ca, PemFile::authorities)?;
                let optional = config::ClientCertificates::Optional;
                let required = required.is_none_or(|written| *written.get_ref() != optional);
                Some(Some(ClientCertificates { authorities, required }))
            }
            (None, Some(written)) => {
                let fault = Fault::new("it is not said whose certificates clients may show");
                self.fault(written.span(), fault.help("client_ca = \"clients.pem\""));
                None
            }
            (None, None) => Some(None),
        }
    }

    /// Whose certificates are believed of an upstream.
    fn trust(&mut self, tls: &UpstreamTls, place: &std::ops::Range<usize>) -> Option<Trust> {
        let insecure = tls.insecure_skip_verify.as_ref().filter(|written| *written.get_ref());
        if let Some(written) = insecure {
            let fault = Fault::new("the upstream's certificate is not verified")
                .help("whoever is on the way reads and answers every request");
            self.warn(written.span(), fault);
            return Some(Trust::Anybody);
        }
        let Some(ca) = &tls.ca else {
            let roots = system_roots();
            if roots.is_none() {
                let fault = Fault::new("this system has no certificates of authorities");
                let help = "install them (ca-certificates), let SSL_CERT_FILE name them, or \
                            write tls = { ca = \"ca.pem\" }";
                self.fault(place.clone(), fault.help(help));
            }
            return roots.map(Trust::Authorities);
        };
        self.take(ca, PemFile::authorities).map(|(_, roots)| Trust::Authorities(roots))
    }

    /// The certificate that the gate shows an upstream, if it has one.
    fn own(
        &mut self,
        tls: &UpstreamTls,
        place: &std::ops::Range<usize>,
    ) -> Option<Option<CertifiedKey>> {
        match (&tls.cert, &tls.key) {
            (Some(cert), Some(key)) => self.pair(cert, key).map(Some),
            (None, None) => Some(None),
            (cert, _) => {
                let missing = if cert.is_some() { "key" } else { "cert" };
                self.fault(place.clone(), Fault::new(format!("`{missing}` is missing")));
                None
            }
        }
    }

    fn server_name(
        &mut self,
        tls: &UpstreamTls,
    ) -> Option<Option<rustls::pki_types::ServerName<'static>>> {
        let Some(written) = &tls.server_name else { return Some(None) };
        let name = server_name(written.get_ref());
        if name.is_none() {
            self.fault(written.span(), Fault::new("expected the name of a host, or an address"));
        }
        name.map(Some)
    }
}

impl From<Untimely> for Fault {
    fn from(untimely: Untimely) -> Self {
        let date = |since_1970: Duration| httpdate::fmt_http_date(UNIX_EPOCH + since_1970);
        match untimely {
            Untimely::Expired(end) => {
                Self::new(format!("this certificate is valid no more since {}", date(end)))
                    .help("clients refuse it; a new one is taken over without a restart")
            }
            Untimely::NotYet(begin) => {
                Self::new(format!("this certificate is not valid before {}", date(begin)))
                    .help("clients refuse it until then; or is the clock of this machine wrong?")
            }
        }
    }
}
