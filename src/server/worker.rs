//! One core: a single-threaded runtime with its own view of the plan, its own connections to
//! upstreams and its own clock. Nothing here is shared with other threads but the plan itself.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use super::clock::Clock;
use super::handshake::Handshakes;
use crate::http1::stock::Stock;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::{Meter, Tally};
use crate::observe::request_id::RequestId;
use crate::observe::traces::tracer::Tracer;
use crate::plan::Plan;
use crate::socket::is_out_of_descriptors;
use crate::upstream::lease::Lease;
use crate::upstream::pool::{Here, NoLease, Pool, Wanted};

/// What a request is served by: one plan from its start to its end.
pub(crate) struct Served {
    /// The plan.
    pub(crate) plan: Arc<Plan>,
    /// This worker's connections, an entry for each of [`Plan::upstreams`].
    pub(crate) pools: Vec<Rc<Pool>>,
    /// What its requests are counted by, if anybody can ask.
    pub(crate) tally: Option<Tally>,
}

impl Served {
    /// Takes over the pools of upstreams that the new plan has unchanged.
    fn new(
        plan: Arc<Plan>,
        here: &Here,
        meter: Option<&Rc<Meter>>,
        previous: Option<&Self>,
    ) -> Self {
        let pools = plan
            .upstreams
            .iter()
            .map(|upstream| {
                previous
                    .and_then(|previous| {
                        previous.pools.iter().find(|pool| Arc::ptr_eq(pool.upstream(), upstream))
                    })
                    .map_or_else(|| Pool::new(Arc::clone(upstream), here.clone()), Rc::clone)
            })
            .collect();
        let tally = meter.map(|meter| meter.tally(&plan));
        Self { plan, pools, tally }
    }

    /// A connection to an upstream for one request. While there is no descriptor left for it, idle
    /// ones to any upstream are closed.
    ///
    /// # Errors
    /// Why there is none; it has been logged.
    pub(crate) async fn lease(&self, upstream: usize, wanted: &Wanted) -> Result<Lease, NoLease> {
        loop {
            match self.pools[upstream].lease(wanted).await {
                Err(NoLease::Unreachable(error))
                    if is_out_of_descriptors(&error) && self.close_an_idle_one() => {}
                leased => return leased,
            }
        }
    }

    /// Closes a connection to an upstream that nobody uses; false if there is none.
    fn close_an_idle_one(&self) -> bool {
        self.pools.iter().any(|pool| pool.close_an_idle_one())
    }
}

/// How many invalid keys wait for their delayed answer at a time, over all workers: each costs a
/// connection and some memory, and whoever guesses must not be able to take all of it.
const MAX_DELAYED: usize = 10_000;

/// How large the memory is that heads are written into, at first and at most where it is kept, and
/// how many pieces of it are.
const ROOM: usize = 2 * 1024;
const MAX_ROOM: usize = 32 * 1024;
const MAX_SPARE: usize = 64;

/// How much is read at a time where it is not known how much comes.
const SCRATCH_SIZE: usize = 64 * 1024;

/// How often idle connections to upstreams are looked at: once a second.
const TICKS_PER_SWEEP: u32 = 10;

/// The count of delayed answers, shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Delays(AtomicUsize);

impl Delays {
    /// A place to wait in, if there is one left.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Delay> {
        let place = Delay(Arc::clone(self));
        (self.0.fetch_add(1, Ordering::Relaxed) < MAX_DELAYED).then_some(place)
    }
}

/// One place among the delayed answers, left when it is dropped.
pub(crate) struct Delay(Arc<Delays>);

impl Drop for Delay {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The date of the second 0.
const EPOCH: HeaderValue = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");

/// The last second that a date can name, at the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// The state of one worker.
pub(crate) struct Worker {
    /// Its time.
    pub(crate) clock: Rc<Clock>,
    /// Its lines of the access log.
    pub(crate) access_log: AccessLog,
    /// What records its requests, where they are traced.
    pub(crate) tracer: Option<Tracer>,
    /// The count of delayed answers, shared by all workers.
    pub(crate) delays: Arc<Delays>,
    /// What counts its requests, if anybody can ask.
    meter: Option<Rc<Meter>>,
    /// Where it is.
    pub(crate) here: Here,
    /// What heads are read into.
    pub(crate) stock: Stock,
    /// Clients that shake hands.
    pub(super) handshakes: Handshakes,
    /// Held by every request that ends with its key.
    pub(super) grants: Rc<()>,
    served: RefCell<Rc<Served>>,
    random: RefCell<fastrand::Rng>,
    /// The latest [`Worker::date`], and the clock's time of it.
    date: RefCell<(SystemTime, HeaderValue)>,
    spare_rooms: RefCell<Vec<Vec<u8>>>,
    /// Where bytes are read to that come while nobody has memory of their own for them.
    pub(super) scratch: RefCell<Box<[u8]>>,
    ticks: Cell<u32>,
    stopping: Cell<bool>,
}

impl Worker {
    /// A worker that serves a plan.
    pub(crate) fn new(
        plan: Arc<Plan>,
        (access_log, tracer): (AccessLog, Option<Tracer>),
        delays: Arc<Delays>,
        here: Here,
        meter: Option<Meter>,
    ) -> Rc<Self> {
        let meter = meter.map(Rc::new);
        Rc::new(Self {
            clock: Clock::new(),
            access_log,
            tracer,
            delays,
            handshakes: Handshakes::default(),
            grants: Rc::default(),
            served: RefCell::new(Rc::new(Served::new(plan, &here, meter.as_ref(), None))),
            meter,
            here,
            random: RefCell::new(fastrand::Rng::new()),
            date: RefCell::new((UNIX_EPOCH, EPOCH)),
            stock: Stock::default(),
            spare_rooms: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH_SIZE].into()),
            ticks: Cell::new(0),
            stopping: Cell::new(false),
        })
    }

    /// A client's handshake of TLS has failed.
    pub(super) fn handshake_failed(&self) {
        if let Some(meter) = &self.meter {
            meter.handshake_failed();
        }
    }

    /// What the next request is served by.
    pub(crate) fn served(&self) -> Rc<Served> {
        Rc::clone(&self.served.borrow())
    }

    /// Serves another plan from the next request on.
    pub(crate) fn swap(&self, plan: Arc<Plan>) {
        self.access_log.set_format(plan.log);
        let next =
            Rc::new(Served::new(plan, &self.here, self.meter.as_ref(), Some(&self.served())));
        *self.served.borrow_mut() = next;
        if Rc::strong_count(&self.grants) > 1 {
            self.clock.wake_all();
        }
    }

    /// Frees a descriptor that is of less use than a client's connection; false if there is none.
    pub(crate) fn free_a_descriptor(&self) -> bool {
        self.served().close_an_idle_one()
    }

    /// Ends every connection after the request that it is serving.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        self.clock.wake_all();
    }

    /// Whether connections should end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// What has to be done now and then; says whether there will be more to do.
    pub(crate) fn tick(&self) -> bool {
        self.access_log.flush();
        if let Some(tracer) = &self.tracer {
            tracer.flush();
        }
        self.ticks.set(self.ticks.get().wrapping_add(1));
        let served = self.served();
        if self.ticks.get().is_multiple_of(TICKS_PER_SWEEP) {
            served.pools.iter().for_each(|pool| pool.sweep());
        }
        served.pools.iter().any(|pool| pool.has_idle())
    }

    /// Room for what is to be written to a client.
    pub(super) fn empty_room(&self) -> Vec<u8> {
        let spare = self.spare_rooms.borrow_mut().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(ROOM))
    }

    /// Keeps room that is no longer needed, unless it has grown large.
    pub(super) fn recycle_room(&self, mut room: Vec<u8>) {
        let mut spare = self.spare_rooms.borrow_mut();
        if spare.len() < MAX_SPARE && room.capacity() <= MAX_ROOM {
            room.clear();
            spare.push(room);
        }
    }

    /// The date of a response, formatted when the clock has been read again, whichever way it goes.
    pub(crate) fn date(&self) -> HeaderValue {
        let wall = self.clock.wall();
        let mut date = self.date.borrow_mut();
        if date.0 != wall {
            let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
            let whole = Duration::from_secs(since.as_secs().min(LAST_SECOND));
            let text = httpdate::fmt_http_date(UNIX_EPOCH + whole);
            *date = (wall, HeaderValue::try_from(text).unwrap_or(EPOCH));
        }
        date.1.clone()
    }

    /// A name for a request.
    pub(crate) fn request_id(&self) -> RequestId {
        RequestId::new(self.random.borrow_mut().u128(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_delayed_answers_wait_and_places_come_back() {
        let delays = Arc::<Delays>::default();
        let mut places: Vec<_> = (0..MAX_DELAYED).map_while(|_| delays.enter()).collect();
        assert_eq!(places.len(), MAX_DELAYED);
        // However often one more asks, it takes nobody's place.
        assert!((0..3).all(|_| delays.enter().is_none()));
        places.pop();
        places.extend(delays.enter());
        assert_eq!(places.len(), MAX_DELAYED);
        assert!(delays.enter().is_none());
    }
}
