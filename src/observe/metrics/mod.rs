//! What is counted, and how it is told to a scraper. Workers count for themselves ([`tally`]);
//! whoever asks adds them up ([`families`]).

mod cell;
mod exposition;
mod families;
mod keys;
mod labels;
mod process;
mod tally;
mod tls;
mod upstreams;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use self::keys::KeySeries;
use self::tally::WorkerCells;
use crate::observe::traces::tracer::Counts;
use crate::plan::Plan;
use crate::reload::Outcome;
use crate::server::spread::Spread;

pub(crate) use self::exposition::Format;
pub(crate) use self::labels::Answer;
pub(crate) use self::tally::{Ended, Meter, Tally};

/// What all workers have counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    workers: Mutex<Vec<Arc<WorkerCells>>>,
    keys: Arc<KeySeries>,
}

impl Metrics {
    /// Metrics that count requests by so many keys.
    pub(crate) fn new(counted_keys: usize) -> Arc<Self> {
        Arc::new(Self { workers: Mutex::default(), keys: KeySeries::new(counted_keys) })
    }

    /// One worker's end.
    pub(crate) fn meter(&self) -> Meter {
        let (meter, cells) = Meter::new(&self.keys);
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(cells);
        meter
    }

    fn workers(&self) -> Vec<Arc<WorkerCells>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Everything about a running gate that metrics are made of.
pub(crate) struct Gate {
    /// What workers count.
    pub(crate) metrics: Arc<Metrics>,
    /// What serves now.
    pub(crate) plans: watch::Receiver<Arc<Plan>>,
    /// The connections of clients.
    pub(crate) spread: Arc<Spread>,
    /// What came of reloads.
    pub(crate) reloads: watch::Receiver<Outcome>,
    /// How many lines of each log were lost, by its name.
    pub(crate) lost: [(&'static str, Arc<AtomicU64>); 2],
    /// What has become of spans, where requests are traced.
    pub(crate) spans: Option<Arc<Counts>>,
}
