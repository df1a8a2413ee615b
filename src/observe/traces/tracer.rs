//! A worker's end of tracing: it writes the spans of its requests into memory of its own, and hands
//! them over now and then. It never waits: what cannot be taken is dropped and counted.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::message::Over;
use super::sampling::Sampling;
use super::span::{Coming, Span};
use crate::head::RequestHead;
use crate::reply::Code;

/// How many requests of strangers that went no further are recorded at once, and how long it takes
/// until one more is: whoever has no key must not be able to make somebody pay for a million
/// spans.
const STRANGERS: u32 = 100;
const STRANGER_INTERVAL: Duration = Duration::from_millis(100);

/// The most that a request has: the server's span, and that of the request upstream.
pub(super) const SPANS_PER_REQUEST: usize = 2;

/// Spans that are written, and how many they are.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// As fields of a `ScopeSpans`.
    pub(super) spans: Vec<u8>,
    /// How many.
    pub(super) count: usize,
}

/// What has become of spans.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// A collector has taken them.
    pub(crate) exported: AtomicU64,
    /// None would.
    pub(crate) failed: AtomicU64,
    /// Too many were waiting.
    pub(crate) dropped: AtomicU64,
    /// There were too many of strangers.
    pub(crate) limited: AtomicU64,
}

/// What all workers share: the way to the exporter, and how much of it is taken.
#[derive(Debug)]
pub(super) struct Queue {
    /// Bounded by `waiting`.
    pub(super) batches: UnboundedSender<Batch>,
    /// How many spans are on it, or being exported.
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) max_waiting: usize,
    pub(super) max_batch: usize,
    pub(super) sampling: Sampling,
    pub(super) counts: Arc<Counts>,
}

/// One worker's end.
pub(crate) struct Tracer {
    queue: Arc<Queue>,
    batch: RefCell<Batch>,
    random: RefCell<fastrand::Rng>,
    strangers: Allowance,
    /// Those beyond it since the last tick.
    limited: Cell<u64>,
}

impl Tracer {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self {
            queue,
            batch: RefCell::default(),
            random: RefCell::new(fastrand::Rng::new()),
            strangers: Allowance::new(Instant::now()),
            limited: Cell::default(),
        }
    }

    /// Begins the span of a request.
    pub(crate) fn begin(&self, head: &mut RequestHead, coming: &Coming<'_>) -> Box<Span> {
        let random = &mut self.random.borrow_mut();
        Box::new(Span::begin(head, coming, self.queue.sampling, random))
    }

    /// Records a request that is over, if it is one of those that are.
    pub(crate) fn ended(&self, span: &Span, over: &Over<'_>, has_key: bool, now: Instant) {
        if !span.is_recorded(has_key) {
            return;
        }
        let is_strangers = !has_key && over.result != Code::Allowed;
        if is_strangers && !self.strangers.take(now) {
            self.limited.set(self.limited.get() + 1);
            return;
        }
        let mut batch = self.batch.borrow_mut();
        if batch.count + SPANS_PER_REQUEST > self.queue.max_batch {
            self.hand_over(&mut batch);
        }
        batch.count += over.write(span, &mut batch.spans);
    }

    /// Hands over what has been gathered.
    pub(crate) fn flush(&self) {
        let limited = self.limited.take();
        if limited > 0 {
            self.queue.counts.limited.fetch_add(limited, Ordering::Relaxed);
        }
        let mut batch = self.batch.borrow_mut();
        if batch.count > 0 {
            self.hand_over(&mut batch);
        }
    }

    fn hand_over(&self, batch: &mut Batch) {
        let Queue { waiting, max_waiting, batches, counts, .. } = &*self.queue;
        let batch = std::mem::take(batch);
        let count = batch.count;
        let after = |before: usize| Some(before + count).filter(|after| after <= max_waiting);
        let room = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        if room.is_err() || batches.send(batch).is_err() {
            counts.dropped.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.flush();
    }
}

/// How many more may be recorded, and since when that is so.
#[derive(Debug)]
struct Allowance {
    left: Cell<u32>,
    since: Cell<Instant>,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { left: Cell::new(STRANGERS), since: Cell::new(now) }
    }

    fn take(&self, now: Instant) -> bool {
        let intervals = now.saturating_duration_since(self.since.get()).as_millis()
            / STRANGER_INTERVAL.as_millis();
        let earned = u32::try_from(intervals).unwrap_or(STRANGERS).min(STRANGERS);
        if earned > 0 {
            self.left.set((self.left.get() + earned).min(STRANGERS));
            self.since.set(now);
        }
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_recorded_at_once_and_then_one_after_the_other() {
        let begin = Instant::now();
        let allowance = Allowance::new(begin);
        let taken = |now: Instant| (0..10 * STRANGERS).filter(|_| allowance.take(now)).count();
        assert_eq!(taken(begin), STRANGERS as usize);
        assert_eq!(taken(begin + STRANGER_INTERVAL / 2), 0);
        assert_eq!(taken(begin + STRANGER_INTERVAL), 1);
        assert_eq!(taken(begin + 4 * STRANGER_INTERVAL), 3);
        assert_eq!(taken(begin + 1000 * STRANGER_INTERVAL), STRANGERS as usize);
    }
}
