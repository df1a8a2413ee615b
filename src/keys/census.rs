//! How many keys there are in which state, and which of them end soonest.

use std::collections::BinaryHeap;
use std::time::{Duration, SystemTime};

/// How many of the keys that end are named: enough for one look at what is to be done, and few
/// enough to be a list of labels.
const NAMED: usize = 20;

/// A count of keys at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Keys that let requests in.
    pub valid: u64,
    /// Keys whose time has not come.
    pub not_yet: u64,
    /// Keys whose time is over.
    pub expired: u64,
    /// Keys that are disabled.
    pub disabled: u64,
    /// The valid keys that end soonest, each with its id and its consumer; the next first.
    pub ending: Vec<Ending>,
}

/// A valid key that ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// When.
    pub at: SystemTime,
    /// The key's id.
    pub id: Box<str>,
    /// Whom it belongs to.
    pub consumer: Box<str>,
}

/// The soonest ends among many, by the positions of keys.
#[derive(Default)]
pub(super) struct Soonest(BinaryHeap<(u64, usize)>);

impl Soonest {
    /// Looks at one more end, in seconds since 1970.
    pub(super) fn see(&mut self, end: u64, position: usize) {
        if self.0.len() < NAMED {
            self.0.push((end, position));
        } else if let Some(mut latest) = self.0.peek_mut()
            && end < latest.0
        {
            *latest = (end, position);
        }
    }

    /// Those that were the soonest, with their time.
    pub(super) fn list(self) -> impl Iterator<Item = (SystemTime, usize)> {
        let time = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        self.0.into_iter().filter_map(move |(end, position)| Some((time(end)?, position)))
    }
}

impl Census {
    /// Adds the count of other keys.
    pub fn add(&mut self, other: Self) {
        self.valid += other.valid;
        self.not_yet += other.not_yet;
        self.expired += other.expired;
        self.disabled += other.disabled;
        self.ending.extend(other.ending);
        self.ending.sort_unstable();
        self.ending.truncate(NAMED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soonest_of_many_are_kept() {
        let mut soonest = Soonest::default();
        for (position, end) in (0..100).map(|n| (n * 37) % 100).enumerate() {
            soonest.see(end, position);
        }
        let mut ends: Vec<_> = soonest.list().map(|(at, _)| at).collect();
        ends.sort_unstable();
        let expected = (0..NAMED as u64).map(|n| SystemTime::UNIX_EPOCH + Duration::from_secs(n));
        assert_eq!(ends, expected.collect::<Vec<_>>());
    }
}
