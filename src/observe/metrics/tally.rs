//! What a worker counts: into cells that only it writes, so that counting costs a load and a store.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::cell::{Cells, Count, Histogram};
use super::keys::{KeyCounts, KeyMeter, KeySeries};
use super::labels::Answer;
use crate::plan::Plan;
use crate::plugin::{Authenticated, Names};
use crate::reply::Code;

/// What one worker has counted.
#[derive(Debug)]
pub(super) struct WorkerCells {
    /// By the name of the location.
    pub(super) locations: Cells<Box<str>, LocationCells>,
    /// Requests that belong to no location.
    pub(super) nowhere: Arc<LocationCells>,
    /// How long upstreams took to answer, by their names.
    pub(super) upstreams: Cells<Box<str>, Histogram>,
    /// Requests by key.
    pub(super) keys: KeyCounts,
    /// Handshakes of TLS with clients that failed.
    pub(super) failed_handshakes: Count,
}

/// What was counted of one location.
#[derive(Debug, Default)]
pub(super) struct LocationCells {
    /// Requests that were found to be for it.
    pub(super) begun: Count,
    /// Requests that have ended, by what came of them.
    pub(super) results: [Count; Code::ALL.len()],
    /// How long they took.
    pub(super) durations: Cells<Answer, Histogram>,
}

/// One worker's end.
pub(crate) struct Meter {
    cells: Arc<WorkerCells>,
    nowhere: LocationMeter,
    keys: KeyMeter,
}

impl Meter {
    /// One that counts requests by so many keys.
    pub(super) fn new(series: &Arc<KeySeries>) -> (Self, Arc<WorkerCells>) {
        let cells = Arc::new(WorkerCells {
            locations: Cells::default(),
            nowhere: Arc::default(),
            upstreams: Cells::default(),
            keys: KeyCounts::new(series),
            failed_handshakes: Count::default(),
        });
        let nowhere = LocationMeter::new(Arc::clone(&cells.nowhere));
        let keys = KeyMeter::new(Arc::clone(series));
        (Self { cells: Arc::clone(&cells), nowhere, keys }, cells)
    }

    /// A client's handshake of TLS has failed.
    pub(crate) fn handshake_failed(&self) {
        self.cells.failed_handshakes.add(1);
    }

    /// What counts the requests of a plan. Locations and upstreams go on where they were; what is
    /// no longer there is forgotten.
    pub(crate) fn tally(self: &Rc<Self>, plan: &Plan) -> Tally {
        let named = |name: &str| plan.locations.iter().any(|location| *location.name == *name);
        self.cells.locations.keep(|name| named(name));
        let named = |name: &str| plan.upstreams.iter().any(|upstream| *upstream.name == *name);
        self.cells.upstreams.keep(|name| named(name));
        let locations = plan
            .locations
            .iter()
            .map(|location| LocationMeter::new(self.cells.locations.of(location.name.clone())));
        let upstreams =
            plan.upstreams.iter().map(|upstream| self.cells.upstreams.of(upstream.name.clone()));
        Tally {
            meter: Rc::clone(self),
            locations: locations.collect(),
            upstreams: upstreams.collect(),
        }
    }
}

/// One worker's end for one location.
struct LocationMeter {
    cells: Arc<LocationCells>,
    /// The cells that it has met, so that it need not take the lock to find them.
    durations: RefCell<Vec<(Answer, Arc<Histogram>)>>,
}

impl LocationMeter {
    fn new(cells: Arc<LocationCells>) -> Self {
        Self { cells, durations: RefCell::default() }
    }

    fn ended(&self, answer: Answer, result: Code, time: Duration) {
        self.cells.results[result as usize].add(1);
        let known = self.durations.borrow();
        if let Some((_, histogram)) = known.iter().find(|(known, _)| *known == answer) {
            return histogram.observe(time);
        }
        drop(known);
        let histogram = self.cells.durations.of(answer);
        histogram.observe(time);
        self.durations.borrow_mut().push((answer, histogram));
    }
}

/// What counts the requests that one plan serves.
pub(crate) struct Tally {
    meter: Rc<Meter>,
    /// An entry for each of [`Plan::locations`].
    locations: Vec<LocationMeter>,
    /// An entry for each of [`Plan::upstreams`].
    upstreams: Vec<Arc<Histogram>>,
}

/// A request that is over.
pub(crate) struct Ended<'a> {
    /// Index of its location; none, if it belongs to none.
    pub(crate) location: Option<usize>,
    /// Its method, if it could be read.
    pub(crate) method: Option<&'a Method>,
    /// The status that was answered.
    pub(crate) status: StatusCode,
    /// What came of it.
    pub(crate) result: Code,
    /// How long it took.
    pub(crate) time: Duration,
    /// Its valid key, with its names.
    pub(crate) key: Option<(Authenticated, Names<'a>)>,
}

impl Tally {
    /// A request is for this location.
    pub(crate) fn located(&self, location: usize) {
        self.locations[location].cells.begun.add(1);
    }

    /// An upstream has answered, after so long.
    pub(crate) fn answered(&self, upstream: usize, after: Duration) {
        self.upstreams[upstream].observe(after);
    }

    /// A request is over.
    pub(crate) fn ended(&self, request: &Ended<'_>) {
        let Meter { cells, nowhere, keys } = &*self.meter;
        let location = request.location.map_or(nowhere, |location| &self.locations[location]);
        let answer = Answer::new(request.method, request.status);
        location.ended(answer, request.result, request.time);
        if let Some((key, names)) = request.key {
            keys.count(&cells.keys, key, names);
        }
    }
}
