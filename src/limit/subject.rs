//! What is counted for itself.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;

use serde::Deserialize;

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
    /// one location. Requests that were let through without a key count as one.
    pub fn subject(&self, cx: &Cx) -> Option<Subject> {
        let number = match self.by {
            By::Client => return Some(Subject::Client(cx.client.into())),
            By::Consumer => cx.key.map(|key| key.consumer),
            By::Key => cx.key.map(|key| key.key),
            By::Location if cx.also.is_empty() => Some(*self.locations.get(cx.location)?),
            By::Location => return None,
        };
        Some(number.map_or(Subject::Nobody, Subject::Number))
    }
}

/// One of what is counted. A table counts subjects of one sort only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Who sends requests from one network.
    Client(Client),
    /// A key, a consumer or a location.
    Number(u64),
    /// What has no number.
    Nobody,
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
        assert_eq!(subject(By::Key, &cx()), Subject::Nobody);
        assert_eq!(subject(By::Consumer, &cx()), Subject::Nobody);
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
