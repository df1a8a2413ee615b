//! TLS on both sides, by rustls: certificates and their keys, the settings that handshakes follow,
//! and the stream that comes of one.
//!
//! aws-lc-rs does the arithmetic. Nothing here waits but [`stream`], and [`connector`] for the
//! upstream's half of a handshake; the server bounds the handshakes of clients.

pub(crate) mod acceptor;
pub(crate) mod connector;
pub(crate) mod pem;
pub(crate) mod site;
pub(crate) mod stream;
mod unverified;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

use crate::plan::Protocol;

/// What is spoken inside of TLS, by the names that ALPN has for it (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpn {
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    H2,
}

impl From<Protocol> for Alpn {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http11,
            Protocol::Http2 => Self::H2,
        }
    }
}

impl Alpn {
    /// The name on the wire.
    pub(crate) fn name(self) -> &'static [u8] {
        match self {
            Self::Http11 => b"http/1.1",
            Self::H2 => b"h2",
        }
    }

    /// What was agreed; who says nothing speaks HTTP/1.1 (RFC 9112, section 9.7).
    pub(crate) fn of(agreed: Option<&[u8]>) -> Self {
        if agreed == Some(Self::H2.name()) { Self::H2 } else { Self::Http11 }
    }
}

/// The cryptography that both sides use. It is made where it is needed: rustls would otherwise keep
/// one for the whole process.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
