//! How many requests an upstream gets at a time, and those that wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A request's place, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

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
        let places = Arc::new(Semaphore::new(bounds.max_connections));
        Self { bounds, places, waiting: AtomicUsize::new(0) }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        // One that is refused is counted for a moment.
        self.waiting.load(Ordering::Relaxed).min(self.bounds.max_queue)
    }

    /// Takes a place, or waits for one. Whoever drops this waits no more.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn enter(&self, timers: &Timers) -> Result<Place, NoPlace> {
        // While somebody waits there is no permit to be had this way.
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place { _permit: permit });
        }
        let _waiting = Waiting::begin(&self.waiting, self.bounds.max_queue)?;
        let free = Arc::clone(&self.places).acquire_owned();
        match timers.timeout(self.bounds.queue_timeout, free).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            // The semaphore is never closed; if it were, nobody would be let in.
            Err(_) | Ok(Err(_)) => Err(NoPlace::Late),
        }
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
}
