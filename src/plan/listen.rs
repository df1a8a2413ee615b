//! Where to listen, and what is spoken there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::Target;

/// Where to listen, and what is spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOn {
    /// The address.
    pub address: ListenAddr,
    /// Whether clients speak TLS.
    pub tls: bool,
}

impl AsRef<Self> for ListenAddr {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl ListenOn {
    /// What a URL begins with that leads here.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
    /// Sockets that are passed at start: those of this name, or those without one.
    Systemd(Option<String>),
}

impl ListenAddr {
    /// Whether who connects to one of the two could arrive at the other.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) if one.port() == other.port() && one.port() > 0 => {
                let same = one.ip() == other.ip();
                same || one.ip().is_unspecified() || other.ip().is_unspecified()
            }
            (Self::Unix(one), Self::Unix(other)) => one == other,
            _ => false,
        }
    }

    /// Whether nobody on another machine can connect to it.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
            // Where that is, only its unit knows.
            Self::Systemd(_) => false,
        }
    }

    /// Whether who connects to this target certainly arrives here. Of names only `localhost` is
    /// known: what others mean is seen when they are connected to.
    pub(super) fn is_reached_by(&self, target: &Target) -> bool {
        match (self, target) {
            (Self::Tcp(own), Target::Tcp { host, port }) if own.port() == *port => {
                let local = host.eq_ignore_ascii_case("localhost");
                let named = local.then_some(IpAddr::from(Ipv4Addr::LOCALHOST));
                let address: Option<IpAddr> = host.parse().ok().or(named);
                address.is_some_and(|address| {
                    let here = address.is_loopback() || address.is_unspecified();
                    address == own.ip() || own.ip().is_unspecified() && here
                })
            }
            (Self::Unix(own), Target::Unix(path)) => own == path,
            _ => false,
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(None) => f.write_str("systemd"),
            Self::Systemd(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}
