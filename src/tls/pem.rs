//! Certificates and private keys as they stand in files.
//!
//! Nothing that is said about a file repeats a part of it.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};
use zeroize::{Zeroize, Zeroizing};

use crate::config::files::read_up_to;
use crate::config::problem::Fault;
use crate::keystore::Stamp;

/// The longest file that is read: the roots of a whole system are 200 KiB.
const MAX_FILE_SIZE: u64 = 4 << 20;

/// A file as it was read.
#[derive(Debug)]
pub(crate) struct PemFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What tells it from what it may become.
    pub(crate) stamp: Stamp,
    /// Whether other users of this machine can read it.
    pub(crate) exposed: bool,
    bytes: Zeroizing<Vec<u8>>,
}

impl PemFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(path: PathBuf) -> Result<Self, Fault> {
        let contents = read_up_to(MAX_FILE_SIZE, &path)?;
        let stamp = Stamp::of(&contents.metadata);
        Ok(Self { path, stamp, exposed: contents.exposed, bytes: contents.bytes })
    }

    /// The certificates that stand in it, at least one.
    ///
    /// # Errors
    /// There is none, or what stands there is none.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Fault> {
        let broken = |_| Fault::new("what stands in this file is no certificate in PEM form");
        let all = CertificateDer::pem_slice_iter(&self.bytes);
        let all: Vec<_> = all.collect::<Result<_, _>>().map_err(broken)?;
        match all.is_empty() {
            true => Err(Fault::new("there is no certificate in this file")
                .help("it begins with a line `-----BEGIN CERTIFICATE-----`")),
            false => Ok(all),
        }
    }

    /// The authorities that stand in it.
    ///
    /// # Errors
    /// There is none, or one of them is none.
    pub(crate) fn authorities(&self) -> Result<RootCertStore, Fault> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            let unfit =
                |_| Fault::new("what stands in this file is no certificate of an authority");
            roots.add(certificate).map_err(unfit)?;
        }
        Ok(roots)
    }

    /// The private key that stands in it.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub(crate) fn private_key(&self) -> Result<Arc<dyn SigningKey>, Fault> {
        if self.is_encrypted() {
            let fault = Fault::new("this private key is encrypted, and keygate asks nobody");
            return Err(fault.help("`openssl pkey -in OLD -out NEW` writes it without a password"));
        }
        let missing = |_| {
            Fault::new("there is no private key in this file")
                .help("it begins with a line `-----BEGIN PRIVATE KEY-----`")
        };
        let mut key = PrivateKeyDer::from_pem_slice(&self.bytes).map_err(missing)?;
        let signing = any_supported_type(&key);
        key.zeroize();
        signing.map_err(|_| {
            Fault::new("this private key cannot be used for TLS")
                .help("RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, and Ed25519 can")
        })
    }

    fn is_encrypted(&self) -> bool {
        let marks = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
        marks.iter().any(|mark| self.bytes.windows(mark.len()).any(|window| window == *mark))
    }
}

/// A certificate with those that lead from it to an authority, and its key.
///
/// # Errors
/// They do not belong together.
pub(crate) fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<CertifiedKey, Fault> {
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Ok(()) => Ok(pair),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(mismatch(pair)),
        Err(_) => Err(Fault::new("what stands in this file is no certificate")),
    }
}

fn mismatch(pair: CertifiedKey) -> Fault {
    let CertifiedKey { cert, key, .. } = pair;
    let fits = |one: &CertificateDer<'static>| {
        CertifiedKey::new(vec![one.clone()], Arc::clone(&key)).keys_match().is_ok()
    };
    match cert.iter().any(fits) {
        true => Fault::new("the certificates in this file are in the wrong order").help(
            "the server's own comes first, and behind each one the one that it was signed by",
        ),
        false => Fault::new("this certificate and the private key do not belong together"),
    }
}
