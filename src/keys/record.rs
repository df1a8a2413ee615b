//! One record of a keys file, as it is written.

use std::time::SystemTime;

use http::Method;
use ipnet::IpNet;
use toml::Spanned;

use super::digest::Digest;
use crate::limit::rate::Rate;

/// A key with its name, its owner, and what it may do. Where a value can turn out to be wrong only
/// beside others, it comes with its place in the file, in bytes.
#[derive(Clone, Debug)]
pub struct Record {
    /// Stable, public, unique: what logs, limits and metrics name. Printable ASCII without blanks.
    pub id: Spanned<String>,
    /// Whom the key belongs to; absent: as `id`. Printable ASCII without blanks.
    pub consumer: Option<String>,
    /// The digest of the key.
    pub hash: Spanned<Digest>,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// Until then it is no key.
    pub not_before: Option<SystemTime>,
    /// From then on it is no key.
    pub expires: Option<SystemTime>,
    /// The key before it, which stays valid for a while.
    pub previous: Option<Previous>,
    /// Whether it is no key for now.
    pub disabled: bool,
    /// The names of the locations where it is allowed; absent: all that use it, empty: none.
    pub locations: Option<Vec<Spanned<String>>>,
    /// The methods that it may use; absent: any, empty: none.
    pub methods: Option<Vec<Method>>,
    /// The networks of clients that may use it; absent: any, empty: none.
    pub allow_ips: Option<Vec<IpNet>>,
    /// How often, and how much at once.
    pub limits: Limits,
}

impl Record {
    /// A key that may do everything, for ever.
    pub fn new(id: Spanned<String>, hash: Spanned<Digest>) -> Self {
        Self {
            id,
            consumer: None,
            hash,
            created: None,
            not_before: None,
            expires: None,
            previous: None,
            disabled: false,
            locations: None,
            methods: None,
            allow_ips: None,
            limits: Limits::default(),
        }
    }
}

/// A key that was replaced.
#[derive(Clone, Debug)]
pub struct Previous {
    /// Its digest.
    pub hash: Spanned<Digest>,
    /// From then on it is no key.
    pub until: SystemTime,
}

/// How often a key may be used, and how much at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Requests in a short time, in several windows: `rate`.
    pub rate: Vec<Rate>,
    /// Requests in a long time, in several windows: `requests`. Waiting does not help soon.
    pub requests: Vec<Rate>,
    /// Requests at once: `concurrency`; at least 1.
    pub concurrency: Option<u32>,
}
