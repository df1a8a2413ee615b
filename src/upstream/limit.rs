//! How many requests an upstream gets at a time, and those that wait for their turn.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::timers::Timers;

/// How many requests an upstream gets at a time, over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many it gets.
    pub max_connections: usize,
    /// How many more may wait.
    pub max_queue: usize,
    /// For how long.
    pub queue_timeout: Duration,
}

/// Counts the requests that an upstream has, and lets others wait. First come, first served: a
/// place that becomes free goes to whoever has waited longest; nobody who comes later can take it.
#[derive(Debug)]
pub(crate) struct Limit {
    bounds: Bounds,
    places: Arc<Places>,
    /// The how-manieth it is of those that have the same places.
    number: u64,
}

/// The places of an upstream, for as long as there is one of its name.
#[derive(Debug)]
struct Places {
    free: Semaphore,
    waiting: AtomicUsize,
    /// How many that are taken are not to be free again, since there may be fewer now.
    owed: AtomicUsize,
    /// Which limit says how many there are.
    number: AtomicU64,
    /// How many that is.
    max: Mutex<usize>,
}

/// A request's place, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

/// Why a request gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// As many as may wait do.
    QueueFull,
    /// It has waited for as long as it may.
    Late,
}

impl Limit {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let places = Arc::new(Places {
            free: Semaphore::new(bounds.max_connections),
            waiting: AtomicUsize::new(0),
            owed: AtomicUsize::new(0),
            number: AtomicU64::new(0),
            max: Mutex::new(bounds.max_connections),
        });
        Self { bounds, places, number: 0 }
    }

    /// One that goes on with the requests that were counted by `previous`. It holds with the first
    /// request that it is asked for: a plan may be made and never serve.
    pub(crate) fn after(previous: &Self, bounds: Bounds) -> Self {
        let number = previous.number + 1;
        Self { bounds, places: Arc::clone(&previous.places), number }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        // One that is refused is counted for a moment.
        self.places.waiting.load(Ordering::Relaxed).min(self.bounds.max_queue)
    }

    /// Takes a place, or waits for one. Whoever drops this waits no more.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn enter(&self, timers: &Timers) -> Result<Place, NoPlace> {
        self.places.are(self.bounds.max_connections, self.number);
        // While somebody waits there is no permit to be had this way.
        if let Ok(permit) = self.places.free.try_acquire() {
            return Ok(self.place(permit));
        }
        let _waiting = Waiting::begin(&self.places.waiting, self.bounds.max_queue)?;
        match timers.timeout(self.bounds.queue_timeout, self.places.free.acquire()).await {
            Ok(Ok(permit)) => Ok(self.place(permit)),
            // The semaphore is never closed; if it were, nobody would be let in.
            Err(_) | Ok(Err(_)) => Err(NoPlace::Late),
        }
    }

    fn place(&self, permit: SemaphorePermit<'_>) -> Place {
        permit.forget();
        Place(Arc::clone(&self.places))
    }
}

impl Places {
    /// There are so many from now on, as the limit of this number says; an older one has no say.
    fn are(&self, max: usize, number: u64) {
        if self.number.load(Ordering::Acquire) >= number {
            return;
        }
        let mut before = self.max.lock().unwrap_or_else(PoisonError::into_inner);
        if self.number.load(Ordering::Acquire) >= number {
            return;
        }
        let before = std::mem::replace(&mut *before, max);
        let (fewer, more) = (before.saturating_sub(max), max.saturating_sub(before));
        self.owed.fetch_add(fewer - self.free.forget_permits(fewer), Ordering::AcqRel);
        let pay = |owed: usize| Some(owed.saturating_sub(more));
        let owed = self.owed.fetch_update(Ordering::AcqRel, Ordering::Acquire, pay);
        self.free.add_permits(more.saturating_sub(owed.unwrap_or(0)));
        self.number.store(number, Ordering::Release);
    }

    fn free_one(&self) {
        let pay = |owed: usize| owed.checked_sub(1);
        if self.owed.fetch_update(Ordering::AcqRel, Ordering::Acquire, pay).is_err() {
            self.free.add_permits(1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free_one();
    }
}

/// One that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize, max: usize) -> Result<Self, NoPlace> {
        let this = Self(waiting);
        match waiting.fetch_add(1, Ordering::Relaxed) < max {
            true => Ok(this),
            false => Err(NoPlace::QueueFull),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn limit(max_connections: usize, max_queue: usize, queue_timeout: Duration) -> Limit {
        Limit::new(Bounds { max_connections, max_queue, queue_timeout })
    }

    type Entering<'a> = Pin<Box<dyn Future<Output = Result<Place, NoPlace>> + 'a>>;

    fn poll(entering: &mut Entering<'_>) -> Option<Result<Place, NoPlace>> {
        match entering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(entered) => Some(entered),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn who_has_waited_longest_is_next_and_nobody_comes_before() {
        let timers = Timers::of_this_runtime();
        let limit = limit(1, 3, HOUR);
        let mut place = limit.enter(&timers).await.ok();
        let mut waiting: Vec<Entering<'_>> = Vec::new();
        for count in 1..=3 {
            waiting.push(Box::pin(limit.enter(&timers)));
            assert!(poll(waiting.last_mut().expect("it is there")).is_none());
            assert_eq!(limit.waiting(), count);
        }
        while !waiting.is_empty() {
            place.take();
            // Who comes now finds no place, although one has become free.
            let mut late: Entering<'_> = Box::pin(limit.enter(&timers));
            assert!(!matches!(poll(&mut late), Some(Ok(_))));
            drop(late);
            assert!(waiting.iter_mut().skip(1).all(|one| poll(one).is_none()));
            place = poll(&mut waiting.remove(0)).and_then(Result::ok);
            assert!(place.is_some());
        }
        assert_eq!(limit.waiting(), 0);
    }

    #[tokio::test]
    async fn who_leaves_leaves_nothing_behind() {
        let timers = Timers::of_this_runtime();
        let limit = limit(1, 2, HOUR);
        let place = limit.enter(&timers).await.ok();
        let mut gone: Entering<'_> = Box::pin(limit.enter(&timers));
        let mut stays: Entering<'_> = Box::pin(limit.enter(&timers));
        assert!(poll(&mut gone).is_none() && poll(&mut stays).is_none());
        assert_eq!(limit.enter(&timers).await.err(), Some(NoPlace::QueueFull));
        // The place was given to it already when it leaves.
        drop(place);
        drop(gone);
        let place = poll(&mut stays).and_then(Result::ok);
        assert!(place.is_some() && limit.waiting() == 0);
        drop(place);
        assert!(limit.enter(&timers).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let timers = Timers::of_this_runtime();
        let limit = limit(1, 1, Duration::from_millis(50));
        let _place = limit.enter(&timers).await.ok();
        let begun = tokio::time::Instant::now();
        assert_eq!(limit.enter(&timers).await.err(), Some(NoPlace::Late));
        assert!(begun.elapsed() >= limit.bounds.queue_timeout);
        assert_eq!(limit.waiting(), 0);
    }

    /// Takes places until there is none left, and says how many there were.
    fn fill(limit: &Limit, taken: &mut Vec<Place>) -> usize {
        let (timers, before) = (Timers::of_this_runtime(), taken.len());
        loop {
            let mut entering: Entering<'_> = Box::pin(limit.enter(&timers));
            match poll(&mut entering) {
                Some(Ok(place)) => taken.push(place),
                _ => return taken.len() - before,
            }
        }
    }

    fn bounds(max_connections: usize) -> Bounds {
        Bounds { max_connections, max_queue: 3, queue_timeout: HOUR }
    }

    #[tokio::test]
    async fn what_was_counted_before_counts_still() {
        let (old, mut taken) = (Limit::new(bounds(3)), Vec::new());
        assert_eq!(fill(&old, &mut taken), 3);
        let same = Limit::after(&old, bounds(3));
        assert_eq!(fill(&same, &mut taken), 0);
        let more = Limit::after(&same, bounds(5));
        assert_eq!(fill(&more, &mut taken), 2);
        // What is served by the old one has its places among those of now.
        assert_eq!(fill(&old, &mut taken), 0);
        let fewer = Limit::after(&more, bounds(2));
        for left in [4, 3, 2] {
            assert_eq!(fill(&fewer, &mut taken), 0, "with {left} there is room");
            taken.truncate(left);
        }
        taken.truncate(1);
        assert_eq!(fill(&fewer, &mut taken), 1);
        // Of those that are owed some are paid by there being more.
        let fewest = Limit::after(&fewer, bounds(1));
        assert_eq!(fill(&fewest, &mut taken), 0);
        let again = Limit::after(&fewest, bounds(4));
        assert_eq!(fill(&again, &mut taken), 2);
        taken.clear();
        assert_eq!(fill(&again, &mut taken), 4);
    }

    #[tokio::test]
    async fn a_limit_that_never_serves_changes_nothing() {
        let (old, mut taken) = (Limit::new(bounds(1)), Vec::new());
        let _refused = Limit::after(&old, bounds(9));
        assert_eq!(fill(&old, &mut taken), 1);
        let next = Limit::after(&old, bounds(2));
        assert_eq!(fill(&next, &mut taken), 1);
    }

    #[tokio::test]
    async fn who_waited_before_is_served_before() {
        let (timers, old) = (Timers::of_this_runtime(), Limit::new(bounds(1)));
        let place = old.enter(&timers).await.ok();
        let mut first: Entering<'_> = Box::pin(old.enter(&timers));
        assert!(poll(&mut first).is_none());
        let new = Limit::after(&old, bounds(1));
        let mut second: Entering<'_> = Box::pin(new.enter(&timers));
        assert!(poll(&mut second).is_none());
        assert_eq!(new.waiting(), 2);
        drop(place);
        assert!(poll(&mut second).is_none());
        assert!(matches!(poll(&mut first), Some(Ok(_))));
    }
}
