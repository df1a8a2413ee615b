//! Requests by key: for so many keys, the same for all workers, and the rest together.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cell::Count;
use crate::plugin::{Authenticated, Names};

/// The numbers that stand for a key and for its consumer.
type Tags = (u64, u64);

/// Which keys are counted by their names: the first that are met, as many as there may be. All
/// workers count the same ones; otherwise some requests with a key would be among the rest.
#[derive(Debug)]
pub(super) struct KeySeries {
    limit: usize,
    known: Mutex<Vec<KnownKey>>,
}

/// A key that is counted by its name.
#[derive(Clone, Debug)]
pub(super) struct KnownKey {
    tags: Tags,
    /// The key's id.
    pub(super) id: Box<str>,
    /// Whom it belongs to.
    pub(super) consumer: Box<str>,
}

impl KeySeries {
    /// At most so many; 0: requests are not counted by key.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, known: Mutex::default() })
    }

    /// The keys that are counted by name, in the order of their counts.
    pub(super) fn known(&self) -> MutexGuard<'_, Vec<KnownKey>> {
        // The list is whole whatever happened to who held it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker's counts: one for each key, and the last for the rest.
#[derive(Debug)]
pub(super) struct KeyCounts(Box<[Count]>);

impl KeyCounts {
    /// Counts for so many keys.
    pub(super) fn new(series: &KeySeries) -> Self {
        Self((0..=series.limit).map(|_| Count::default()).collect())
    }

    /// Of one of the keys.
    pub(super) fn of(&self, index: usize) -> u64 {
        self.0[index].read()
    }

    /// Of all others.
    pub(super) fn rest(&self) -> u64 {
        self.0.last().map_or(0, Count::read)
    }
}

/// One worker's view of which keys are counted.
pub(super) struct KeyMeter {
    series: Arc<KeySeries>,
    /// The keys that it has met, in the order of their numbers, each with the place of its count.
    met: RefCell<Vec<(Tags, usize)>>,
    /// Whether it knows all that will ever be counted by name.
    is_complete: Cell<bool>,
}

impl KeyMeter {
    /// One that has met nobody.
    pub(super) fn new(series: Arc<KeySeries>) -> Self {
        Self { series, met: RefCell::default(), is_complete: Cell::new(false) }
    }

    /// Counts a request with a key.
    pub(super) fn count(&self, counts: &KeyCounts, key: Authenticated, names: Names<'_>) {
        if self.series.limit == 0 {
            return;
        }
        let tags = (key.key, key.consumer);
        let mut met = self.met.borrow_mut();
        let index = match met.binary_search_by_key(&tags, |(tags, _)| *tags) {
            Ok(place) => met[place].1,
            Err(_) if self.is_complete.get() => self.series.limit,
            Err(_) => self.meet(&mut met, tags, names),
        };
        counts.0[index].add(1);
    }

    /// The place of the count of a key that this worker has not met before.
    fn meet(&self, met: &mut Vec<(Tags, usize)>, tags: Tags, names: Names<'_>) -> usize {
        let mut known = self.series.known();
        let index = known.iter().position(|known| known.tags == tags);
        if index.is_none() && known.len() < self.series.limit {
            known.push(KnownKey { tags, id: names.id.into(), consumer: names.consumer.into() });
        }
        *met = known.iter().enumerate().map(|(index, known)| (known.tags, index)).collect();
        met.sort_unstable();
        self.is_complete.set(known.len() == self.series.limit);
        let place = met.binary_search_by_key(&tags, |(tags, _)| *tags);
        place.map_or(self.series.limit, |place| met[place].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stand {
        series: Arc<KeySeries>,
        workers: Vec<(KeyMeter, KeyCounts)>,
    }

    impl Stand {
        fn new(limit: usize) -> Self {
            let series = KeySeries::new(limit);
            let worker = |_| (KeyMeter::new(Arc::clone(&series)), KeyCounts::new(&series));
            Self { workers: (0..2).map(worker).collect(), series }
        }

        fn count(&self, worker: usize, id: u64) {
            let key = Authenticated { step: 0, position: 0, key: id, consumer: id };
            let name = id.to_string();
            let (meter, counts) = &self.workers[worker];
            meter.count(counts, key, Names { id: &name, consumer: &name });
        }

        #[track_caller]
        fn check(&self, expected: &[(&str, u64)], rest: u64) {
            let known = self.series.known();
            let sum = |index| self.workers.iter().map(|(_, counts)| counts.of(index)).sum();
            let counted: Vec<(&str, u64)> =
                known.iter().enumerate().map(|(index, known)| (&*known.id, sum(index))).collect();
            assert_eq!(counted, expected);
            assert_eq!(self.workers.iter().map(|(_, counts)| counts.rest()).sum::<u64>(), rest);
        }
    }

    #[test]
    fn all_workers_count_the_same_keys_by_name() {
        let stand = Stand::new(2);
        stand.count(0, 9);
        stand.count(1, 3);
        stand.check(&[("9", 1), ("3", 1)], 0);
        // The first worker has not met the second key yet, nor knows that there is no room.
        stand.count(0, 5);
        stand.count(0, 3);
        stand.count(1, 9);
        stand.count(1, 5);
        stand.check(&[("9", 2), ("3", 2)], 2);
    }

    #[test]
    fn no_key_is_counted_where_none_is_to_be() {
        let stand = Stand::new(0);
        stand.count(0, 1);
        stand.check(&[], 0);
    }
}
