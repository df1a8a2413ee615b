//! Numbers that one thread writes and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A count with one writer. It loads and stores: to add in one step is for several writers, and
/// takes as long as twenty instructions even where there is only one.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Counts so many more; only ever called by one thread.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper bounds of the buckets of a [`Histogram`], in milliseconds: those that OpenTelemetry
/// advises for HTTP, and on to the ten minutes that a model may think.
pub(super) const BOUNDS_MS: [u64; 19] = [
    5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000, 30_000, 60_000,
    120_000, 300_000, 600_000,
];

/// One more than there are bounds, for what is longer.
const BUCKETS: usize = BOUNDS_MS.len() + 1;

/// How long something took, how often; with one writer.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Count; BUCKETS],
    sum_ns: Count,
}

impl Histogram {
    /// Counts one that took so long; only ever called by one thread.
    pub(crate) fn observe(&self, time: Duration) {
        // No request takes 500 years; `as_nanos` would reckon with 128 bits.
        let nanos = time.as_secs().saturating_mul(1_000_000_000);
        let nanos = nanos.saturating_add(time.subsec_nanos().into());
        // One after the other: most answers are in the first few.
        let place = BOUNDS_MS.iter().position(|bound| nanos <= bound * 1_000_000);
        self.buckets[place.unwrap_or(BOUNDS_MS.len())].add(1);
        self.sum_ns.add(nanos);
    }
}

/// The sum of several histograms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Durations {
    /// How many fell into each bucket, those below it not counted.
    pub(super) buckets: [u64; BUCKETS],
    /// How long all took together.
    pub(super) sum: Duration,
}

impl Durations {
    /// Adds one worker's.
    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.read();
        }
        self.sum += Duration::from_nanos(histogram.sum_ns.read());
    }
}

/// Cells by what they count. A worker that meets something for the first time takes the lock to add
/// a cell, and keeps hold of it.
#[derive(Debug)]
pub(super) struct Cells<K, C>(Mutex<Vec<(K, Arc<C>)>>);

impl<K, C> Default for Cells<K, C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, C: Default> Cells<K, C> {
    fn list(&self) -> MutexGuard<'_, Vec<(K, Arc<C>)>> {
        // The list is whole whatever happened to who held it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cell of this key; a new one if there is none.
    pub(super) fn of(&self, key: K) -> Arc<C> {
        let mut list = self.list();
        if let Some((_, cell)) = list.iter().find(|(known, _)| *known == key) {
            return Arc::clone(cell);
        }
        let cell = Arc::<C>::default();
        list.push((key, Arc::clone(&cell)));
        cell
    }

    /// Forgets the others.
    pub(super) fn keep(&self, mut wanted: impl FnMut(&K) -> bool) {
        self.list().retain(|(key, _)| wanted(key));
    }

    /// Looks at all of them.
    pub(super) fn each(&self, mut see: impl FnMut(&K, &C)) {
        self.list().iter().for_each(|(key, cell)| see(key, cell));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(micros: u64, bucket: usize) {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_micros(micros));
        let mut durations = Durations::default();
        durations.add(&histogram);
        let mut expected = [0; BUCKETS];
        expected[bucket] = 1;
        assert_eq!(durations.buckets, expected, "{micros} µs");
        assert_eq!(durations.sum, Duration::from_micros(micros));
    }

    #[test]
    fn a_duration_is_in_the_first_bucket_that_holds_it() {
        check(0, 0);
        check(5_000, 0);
        check(5_001, 1);
        check(1_000_000, 9);
        check(600_000_000, 18);
        check(600_000_001, 19);
    }

    #[test]
    fn a_cell_is_made_once_and_forgotten_when_nobody_wants_it() {
        let cells = Cells::<Box<str>, Count>::default();
        cells.of("a".into()).add(2);
        cells.of("a".into()).add(3);
        cells.of("b".into()).add(7);
        cells.keep(|key| **key == *"a");
        let mut seen = Vec::new();
        cells.each(|key, count| seen.push((key.to_string(), count.read())));
        assert_eq!(seen, [("a".to_owned(), 5)]);
        assert_eq!(cells.of("b".into()).read(), 0);
    }
}
