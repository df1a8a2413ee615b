//! Where to connect, as it is written.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{Target, UpstreamAddr};

impl Target {
    /// The name that has to be resolved, with the port, if there is one.
    pub(crate) fn name(&self) -> Option<(&str, u16)> {
        match self {
            Self::Tcp { host, port } if host.parse::<IpAddr>().is_err() => Some((host, *port)),
            _ => None,
        }
    }

    /// The IP address that is written, with the port, if there is one.
    pub(crate) fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { host, port } => Some(SocketAddr::new(host.parse().ok()?, *port)),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for UpstreamAddr {
    /// As it is written, but for its weight.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.tls { "https://" } else { "" }, self.target)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
