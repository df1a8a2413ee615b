//! Which gate is probed, and on which paths.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::stream::Stream;
use crate::cli::Failure;
use crate::tls::connector::{Trust, server_name, system_roots, without_certificate};
use crate::tls::pem::PemFile;

/// How long a connection may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A running gate.
#[derive(Debug)]
pub(super) struct Target {
    /// As `Host` says it.
    pub(super) authority: String,
    /// Where it listens.
    pub(super) addresses: Vec<SocketAddr>,
    /// Paths that it guards.
    pub(super) paths: Vec<String>,
    /// How it is met, if it speaks TLS.
    tls: Option<Tls>,
}

/// How a gate is met that speaks TLS.
#[derive(Debug)]
struct Tls {
    config: Arc<ClientConfig>,
    /// The name in its certificate.
    name: ServerName<'static>,
}

impl Tls {
    /// Believes the authorities of this file, or else the system's.
    fn new(authority: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        let told = |message: String| Failure::runtime(format!("error: {message}"));
        let roots = match ca {
            Some(path) => PemFile::read(path.to_owned())
                .and_then(|file| file.authorities())
                .map_err(|fault| told(format!("{}: {}", path.display(), fault.message)))?,
            None => system_roots().ok_or_else(|| {
                told("this system has no certificates of authorities; --ca names some".to_owned())
            })?,
        };
        let config = without_certificate(Trust::Authorities(roots)).map_err(told)?;
        let end = authority.rfind(':').filter(|&colon| !authority[colon..].contains(']'));
        let host = authority[..end.unwrap_or(authority.len())].trim_matches(['[', ']']);
        let name = server_name(host)
            .ok_or_else(|| told(format!("{authority} is no name that a certificate holds")))?;
        Ok(Self { config, name })
    }
}

impl Target {
    /// Reads the URL; `paths` take the place of its own.
    pub(super) fn parse(url: &str, paths: &[String], ca: Option<&Path>) -> Result<Self, Failure> {
        let wrong = |message: &str| Failure::usage(format!("error: {message}"));
        let (secure, rest) = match url.split_once("://") {
            Some(("http", _)) if ca.is_some() => {
                return Err(wrong("--ca is for a URL that begins with https://"));
            }
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(wrong("the URL begins with http:// or https://")),
        };
        let (authority, own) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        if authority.is_empty() || !authority.chars().all(is_plain) {
            return Err(wrong("the URL names a host and perhaps a port: http://HOST:PORT"));
        }
        let own = if own.is_empty() { "/" } else { own };
        let paths = if paths.is_empty() { vec![own.to_owned()] } else { paths.to_vec() };
        let is_path = |path: &String| {
            path.starts_with('/')
                && path.bytes().all(|c| c.is_ascii_graphic() && !b"?#".contains(&c))
        };
        if !paths.iter().all(is_path) {
            return Err(wrong("a path begins with / and has neither a query nor blanks"));
        }
        let has_port = authority.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let port = if secure { 443 } else { 80 };
        let named = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let addresses = named.to_socket_addrs().map(Iterator::collect).map_err(|error| {
            Failure::runtime(format!("error: {authority} cannot be reached: {error}"))
        })?;
        let tls = if secure { Some(Tls::new(authority, ca)?) } else { None };
        Ok(Self { authority: authority.to_owned(), addresses, paths, tls })
    }

    /// Connects once, so that a gate that is not there, or is another one, is not taken for one
    /// that refuses.
    pub(super) fn reach(&self) -> Result<(), Failure> {
        let reached = self.connect().and_then(|mut stream| {
            stream.tcp().set_read_timeout(Some(CONNECT_TIMEOUT))?;
            stream.tcp().set_write_timeout(Some(CONNECT_TIMEOUT))?;
            match &mut stream {
                Stream::Clear(_) => Ok(()),
                Stream::Tls(tls) => tls.conn.complete_io(&mut tls.sock).map(drop),
            }
        });
        reached.map_err(|error| {
            Failure::runtime(format!("error: {} cannot be reached: {error}", self.authority))
        })
    }

    /// A new connection.
    pub(super) fn connect(&self) -> io::Result<Stream> {
        let tcp = self.connect_tcp()?;
        let Some(Tls { config, name }) = &self.tls else { return Ok(Stream::Clear(tcp)) };
        let session = ClientConnection::new(Arc::clone(config), name.clone());
        let session = session.map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, tcp))))
    }

    fn connect_tcp(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the name has no address");
        for address in &self.addresses {
            match TcpStream::connect_timeout(address, CONNECT_TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_gate_and_a_path() {
        for (url, paths, authority, expected) in [
            ("http://127.0.0.1:80", &[][..], "127.0.0.1:80", &["/"][..]),
            ("http://127.0.0.1/a/b", &[], "127.0.0.1", &["/a/b"]),
            ("http://[::1]:9/a", &["/b", "/c"], "[::1]:9", &["/b", "/c"]),
            ("http://[::1]", &[], "[::1]", &["/"]),
        ] {
            let paths: Vec<_> = paths.iter().map(|&path| path.to_owned()).collect();
            let target = Target::parse(url, &paths, None).unwrap();
            assert_eq!(
                (&*target.authority, &target.paths[..].concat()),
                (authority, &expected.concat())
            );
            let port = authority.rsplit(':').next().and_then(|port| port.parse().ok());
            assert_eq!(
                target.addresses[0].port(),
                port.filter(|_| !authority.ends_with(']')).unwrap_or(80)
            );
        }
        for (url, path) in [
            ("ftp://127.0.0.1", "/"),
            ("127.0.0.1", "/"),
            ("http://", "/"),
            ("http://u@127.0.0.1", "/"),
            ("http://127.0.0.1?x", "/"),
            ("http://127.0.0.1", "x"),
            ("http://127.0.0.1", "/x?y"),
            ("http://127.0.0.1", "/x y"),
            ("http://127.0.0.1", "/\r\nA: b"),
        ] {
            let code = Target::parse(url, &[path.to_owned()], None).map(drop).map_err(|f| f.code);
            assert_eq!(code, Err(2), "{url} {path}");
        }
    }
}
