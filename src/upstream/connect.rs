//! A new connection to an address of an upstream.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, UnixStream};

use super::endpoint::Endpoint;
use crate::plan::{ListenAddr, Target, Upstream};
use crate::socket::Socket;
use crate::tls::Alpn;

/// Connects to one place of an upstream to speak what is wanted, and shakes hands where that goes
/// over TLS; `own` is where this gate itself listens. Ends at no time by itself.
///
/// # Errors
/// What was answered, or that the upstream is this gate itself: each request would come back as a
/// new one until no descriptor is left.
pub(crate) async fn connect(
    upstream: &Upstream,
    endpoint: &Endpoint,
    wanted: Alpn,
    own: &[ListenAddr],
) -> io::Result<Socket> {
    match endpoint.target() {
        Target::Tcp { host, port } => {
            let ip = endpoint.ip().ok_or(io::ErrorKind::AddrNotAvailable)?;
            let stream = TcpStream::connect(ip).await?;
            if own.iter().any(|listen| leads_to(&stream, *port, listen)) {
                return Err(io::Error::other("the upstream is this gate itself"));
            }
            // Requests and events must not wait for more bytes to come (Nagle's algorithm).
            stream.set_nodelay(true)?;
            match (endpoint.addr().tls, &upstream.tls) {
                (false, _) => Ok(Socket::Tcp(stream)),
                (true, Some(tls)) => Ok(Socket::Tls(tls.connect(host, stream, wanted).await?)),
                // What is to be encrypted goes out in no other way.
                (true, None) => Err(io::ErrorKind::Unsupported.into()),
            }
        }
        Target::Unix(path) if own.contains(&ListenAddr::Unix(path.to_path_buf())) => {
            Err(io::Error::other("the upstream is this gate itself"))
        }
        Target::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
    }
}

/// Whether a connection to this port ended where `listen` says. The address counts, not the name:
/// names can come to mean something else at any time.
fn leads_to(stream: &TcpStream, port: u16, listen: &ListenAddr) -> bool {
    let &ListenAddr::Tcp(own) = listen else { return false };
    if own.port() != port {
        return false;
    }
    let (Ok(near), Ok(far)) = (stream.local_addr(), stream.peer_addr()) else { return false };
    is_own(own, near, far)
}

/// Whether `far`, as seen from `near`, is `own`, which may stand for every address of this host.
fn is_own(own: SocketAddr, near: SocketAddr, far: SocketAddr) -> bool {
    let [own, near, far] = [own, near, far].map(|address| address.ip().to_canonical());
    own == far || own.is_unspecified() && (near == far || near.is_loopback() && far.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: &str, near: &str, far: &str, expected: bool) {
        let address = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 8080);
        assert_eq!(is_own(address(own), address(near), address(far)), expected);
    }

    #[test]
    fn an_address_of_this_host_is_the_gates_own() {
        check("127.0.0.1", "127.0.0.1", "127.0.0.1", true);
        check("0.0.0.0", "127.0.0.1", "127.0.0.2", true);
        check("0.0.0.0", "10.0.0.1", "10.0.0.1", true);
        check("::", "::1", "::1", true);
        check("::", "::ffff:127.0.0.1", "127.0.0.1", true);
    }

    #[test]
    fn another_address_is_not() {
        check("127.0.0.1", "127.0.0.1", "127.0.0.2", false);
        check("0.0.0.0", "10.0.0.1", "10.0.0.2", false);
        check("::", "2001:db8::1", "2001:db8::2", false);
    }
}
