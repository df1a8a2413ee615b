//! How many requests an upstream gets at a time, and those that wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

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
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes a place, or waits for one. Whoever drops this waits no more.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn enter(&self) -> Result<Place, NoPlace> {
        // While somebody waits there is no permit to be had this way.
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place { _permit: permit });
        }
        let _waiting = Waiting::begin(&self.waiting, self.bounds.max_queue)?;
        let free = Arc::clone(&self.places).acquire_owned();
        match timeout(self.bounds.queue_timeout, free).await {
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
