//! Which gate is probed, and on which paths.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::cli::Failure;

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
}

impl Target {
    /// Reads the URL; `paths` take the place of its own.
    pub(super) fn parse(url: &str, paths: &[String]) -> Result<Self, Failure> {
        let wrong = |message: &str| Failure::usage(format!("error: {message}"));
        if url.starts_with("https://") {
            return Err(wrong(
                "TLS is not built yet: name the http:// address where the gate itself listens",
            ));
        }
        let rest = url.strip_prefix("http://").ok_or(wrong("the URL begins with http://"))?;
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
        let named = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let addresses = named.to_socket_addrs().map(Iterator::collect).map_err(|error| {
            Failure::runtime(format!("error: {authority} cannot be reached: {error}"))
        })?;
        Ok(Self { authority: authority.to_owned(), addresses, paths })
    }

    /// Connects once, so that a gate that is not there is not taken for one that refuses.
    pub(super) fn reach(&self) -> Result<(), Failure> {
        self.connect().map(drop).map_err(|error| {
            Failure::runtime(format!("error: {} cannot be reached: {error}", self.authority))
        })
    }

    /// A new connection.
    pub(super) fn connect(&self) -> std::io::Result<TcpStream> {
        let mut last = std::io::Error::other("the name has no address");
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
            let target = Target::parse(url, &paths).unwrap();
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
            ("https://127.0.0.1", "/"),
            ("127.0.0.1", "/"),
            ("http://", "/"),
            ("http://u@127.0.0.1", "/"),
            ("http://127.0.0.1?x", "/"),
            ("http://127.0.0.1", "x"),
            ("http://127.0.0.1", "/x?y"),
            ("http://127.0.0.1", "/x y"),
            ("http://127.0.0.1", "/\r\nA: b"),
        ] {
            let code = Target::parse(url, &[path.to_owned()]).map(drop).map_err(|f| f.code);
            assert_eq!(code, Err(2), "{url} {path}");
        }
    }
}
