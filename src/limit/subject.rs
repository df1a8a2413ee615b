//! What is counted for itself.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;

use serde::Deserialize;

use super::clients::LEVELS;
use crate::plugin::Cx;

/// What requests must have in common to be counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The client's address; of IPv6 the network of 64 bits.
    #[default]
    Client,
    /// Whom the key belongs to.
    Consumer,
    /// The key.
    Key,
    /// The location.
    Location,
}

impl By {
    /// Whether only authentication can say it.
    pub fn needs_key(self) -> bool {
        matches!(self, Self::Consumer | Self::Key)
    }
}

/// What tells the subject of a request.
#[derive(Debug)]
pub struct Counting {
    /// What requests must have in common.
    pub by: By,
    /// The numbers of all locations by their indices, which differ after a reload.
    locations: Box<[u64]>,
}

impl Counting {
    /// Counts by this among the locations with these names.
    pub fn new(by: By, locations: &[&str]) -> Self {
        // Names that the operator chose; a subject's number is kept from strangers by the table.
        let number = |name: &&str| BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
        Self { by, locations: locations.iter().map(number).collect() }
    }

    /// As what a request counts; none if that cannot be decided, because it may be for more than
    /// one location. One that was let through without a key, as a preflight, counts as its client:
    /// if all of them were one, any stranger could have the pages of all others stopped.
    pub fn subject(&self, cx: &Cx) -> Option<Subject> {
        let number = match self.by {
            By::Client => return Some(Subject::Client(cx.client.into())),
            By::Consumer => cx.key.map(|key| key.consumer),
            By::Key => cx.key.map(|key| key.key),
            By::Location if cx.also.is_empty() => Some(*self.locations.get(cx.location)?),
            By::Location => return None,
        };
        Some(number.map_or_else(|| Subject::Client(cx.client.into()), Subject::Number))
    }
}

/// One of what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Who sends requests from one network.
    Client(Client),
    /// A key, a consumer or a location.
    Number(u64),
}

impl Subject {
    /// By what it is counted, where `by` is what is counted otherwise.
    pub fn by(self, by: By) -> By {
        if let Self::Client(_) = self { By::Client } else { by }
    }
}

/// Whose requests come from one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// An address.
    V4([u8; 4]),
    /// A network of 64 bits: what one subscriber gets.
    V6([u8; 8]),
    /// All without an address, as on a unix socket.
    Unknown,
}

impl Client {
    /// The networks that it counts in where it is not counted for itself, each in the next: itself,
    /// its site (of IPv4 24 bits, of IPv6 48) and its provider (16, and 32). They are what a site
    /// is given of IPv6 (RFC 6177), what routers of IPv4 know at least, and what registries give
    /// away.
    pub(super) fn networks(self) -> [u64; LEVELS] {
        match self {
            Self::V4(address) => {
                let address = u64::from(u32::from_be_bytes(address));
                [address, address >> 8, address >> 16]
            }
            Self::V6(network) => {
                let network = u64::from_be_bytes(network);
                [network, network >> 16, network >> 32]
            }
            // No address.
            Self::Unknown => [u64::MAX; LEVELS],
        }
    }
}

impl From<Option<IpAddr>> for Client {
    fn from(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Unknown,
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::*;
    use crate::plugin::Authenticated;

    fn cx() -> Cx {
        Cx::new("192.0.2.1".parse().ok(), Instant::now(), SystemTime::now())
    }

    #[test]
    fn requests_are_counted_by_what_was_decided() {
        let key = Authenticated { step: 0, position: 0, key: 7, consumer: 9 };
        let known = Cx { key: Some(key), ..cx() };
        let subject = |by, cx: &Cx| Counting::new(by, &["a"]).subject(cx).unwrap();
        assert_eq!(subject(By::Key, &known), Subject::Number(7));
        assert_eq!(subject(By::Consumer, &known), Subject::Number(9));
        assert_eq!(subject(By::Client, &known), Subject::Client(Client::V4([192, 0, 2, 1])));
        let client = Subject::Client(Client::V4([192, 0, 2, 1]));
        assert_eq!(subject(By::Key, &cx()), client);
        assert_eq!(subject(By::Consumer, &cx()), client);
    }

    #[test]
    fn a_location_counts_as_the_same_wherever_it_stands_in_the_files() {
        let (before, after) =
            (Counting::new(By::Location, &["a", "b"]), Counting::new(By::Location, &["b", "a"]));
        let (first, second) = (cx(), Cx { location: 1, ..cx() });
        assert_eq!(before.subject(&first), after.subject(&second));
        assert_eq!(before.subject(&second), after.subject(&first));
        assert_ne!(before.subject(&first), before.subject(&second));
    }

    #[test]
    fn what_may_be_for_two_locations_counts_for_none() {
        let ambiguous = Cx { also: vec![1], ..cx() };
        assert_eq!(Counting::new(By::Location, &["a", "b"]).subject(&ambiguous), None);
        assert!(Counting::new(By::Client, &["a", "b"]).subject(&ambiguous).is_some());
    }
}
