//! The server: sockets, workers, connections.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod clock;
mod connection;
mod grant;
pub(crate) mod h1;
pub(crate) mod h2;
mod handshake;
mod linger;
pub(crate) mod listener;
pub(crate) mod pace;
pub(crate) mod spread;
#[cfg(test)]
mod tests;
pub(crate) mod threads;
pub(crate) mod tunnel;
pub(crate) mod worker;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinSet, spawn_local};

use self::listener::{Bound, Listener};
use self::spread::{Accepted, Spread, Taker};
use self::threads::Thread;
use self::worker::{Delays, Worker};
use crate::observe::access_log::Writer;
use crate::observe::metrics::Metrics;
use crate::observe::traces::Traces;
use crate::plan::Plan;
use crate::socket::Registered;
use crate::timers::Timers;
use crate::upstream::pool::Here;

/// How long an idle connection is kept after a stop: long enough for a request that is on its way,
/// which is answered with `Connection: close`. Closing at once would lose it.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// The most that informational responses may hold back for one request.
const MAX_HINTS: usize = 16 * 1024;

/// What a worker's thread begins with.
pub(crate) struct Seed {
    /// Its place among the workers.
    pub(crate) index: usize,
    /// The sockets that it accepts from.
    pub(crate) sockets: Vec<Bound>,
    /// The plan, and those that replace it.
    pub(crate) plans: watch::Receiver<Arc<Plan>>,
    /// Becomes true when it is time to stop.
    pub(crate) stop: watch::Receiver<bool>,
    /// Connections from other workers.
    pub(crate) inbox: mpsc::UnboundedReceiver<Accepted>,
    /// How connections are spread.
    pub(crate) spread: Arc<Spread>,
    /// The count of delayed answers.
    pub(crate) delays: Arc<Delays>,
    /// Where it is.
    pub(crate) here: Here,
    /// What requests are counted by, if anybody can ask.
    pub(crate) metrics: Option<Arc<Metrics>>,
    /// Where their spans go, if they are traced.
    pub(crate) traces: Option<Traces>,
}

/// Starts a worker's thread.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn start(seed: Seed, writer: &Writer) -> io::Result<Thread> {
    let log = seed.plans.borrow().log;
    let access_log = writer.log(log);
    threads::start(format!("worker-{}", seed.index), move || {
        let runtime =
            Builder::new_current_thread().enable_io().build_local(LocalOptions::default())?;
        let plan = Arc::clone(&seed.plans.borrow());
        let meter = seed.metrics.as_ref().map(|metrics| metrics.meter());
        let (delays, here) = (Arc::clone(&seed.delays), seed.here.clone());
        let tracer = seed.traces.as_ref().map(Traces::tracer);
        let worker = Worker::new(plan, (access_log, tracer), delays, here, meter);
        runtime.block_on(work(worker, seed))
    })
}

/// The connections of one worker, to wait for when it stops.
#[derive(Default)]
struct Open {
    count: Cell<usize>,
    changed: Notify,
    /// Told when no more may be handed over.
    is_last: Notify,
}

async fn work(worker: Rc<Worker>, mut seed: Seed) -> io::Result<()> {
    let open = Rc::<Open>::default();
    let taker = Connections { worker: Rc::clone(&worker), open: Rc::clone(&open) };
    // Without its clock a worker has no timeouts, and without the others no connections.
    let mut lasting = JoinSet::new();
    let ticking = Rc::clone(&worker);
    lasting.spawn_local(
        async move { ticking.clock.run(&ticking.here.timers, || ticking.tick()).await },
    );
    let mut listeners = JoinSet::new();
    for socket in seed.sockets {
        let listener = Listener::register(socket)?;
        let (spread, taker, mut stop) =
            (Arc::clone(&seed.spread), taker.clone(), seed.stop.clone());
        listeners.spawn_local(async move {
            tokio::select! {
                () = stopped(&mut stop) => {}
                never = listener.run(seed.index, &spread, &taker) => never,
            }
            listener.retire(seed.index, &spread, &taker).await;
        });
    }
    lasting.spawn_local(take_over(seed.inbox, taker));
    loop {
        tokio::select! {
            // First, because listeners end when they are told to stop.
            biased;
            () = stopped(&mut seed.stop) => break,
            Some(_) = lasting.join_next() => return Err(io::Error::other("a task broke off")),
            Some(_) = listeners.join_next() => return Err(io::Error::other("a listener broke off")),
            changed = seed.plans.changed() => {
                if changed.is_err() {
                    break;
                }
                worker.swap(Arc::clone(&seed.plans.borrow_and_update()));
            }
        }
    }
    worker.stop();
    let timeout = worker.served().plan.server.shutdown_timeout;
    if worker.here.timers.timeout(timeout, drained(listeners, lasting, &open)).await.is_err() {
        tracing::warn!(connections = open.count.get(), "stopping with requests in flight");
    }
    Ok(())
}

/// Serves what other workers hand over, until that is to end, and then what is there already.
async fn take_over(mut inbox: mpsc::UnboundedReceiver<Accepted>, taker: Connections) {
    loop {
        tokio::select! {
            handed_over = inbox.recv() => match handed_over.map(|accepted| taker.serve(accepted)) {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::error!(%error, "cannot take a connection over"),
                None => return,
            },
            () = taker.open.is_last.notified() => inbox.close(),
        }
    }
}

async fn drained(mut listeners: JoinSet<()>, mut lasting: JoinSet<()>, open: &Open) {
    // A listener's task ends by itself; if it broke, it accepts nothing any more.
    while listeners.join_next().await.is_some() {}
    // Other workers may still accept, and keep then what they would hand over. The clock goes on.
    open.is_last.notify_one();
    let _inbox = lasting.join_next().await;
    while open.count.get() > 0 {
        open.changed.notified().await;
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone can never say go on: that is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The connections of one worker, and how it takes more.
#[derive(Clone)]
struct Connections {
    worker: Rc<Worker>,
    open: Rc<Open>,
}

impl Taker for Connections {
    fn serve(&self, accepted: Accepted) -> io::Result<()> {
        let Accepted { stream, peer, place } = accepted;
        let registered = stream.register()?;
        let counted = Counted::new(&self.open);
        let worker = Rc::clone(&self.worker);
        spawn_local(async move {
            let open = match registered {
                Registered::Open(socket) => Some(socket),
                // Boxed, because every connection would be larger by it.
                Registered::Handshake(tcp) => Box::pin(handshake::accept(&worker, tcp, peer)).await,
            };
            if let Some(socket) = open {
                connection::serve(worker, socket, peer).await;
            }
            drop((place, counted));
        });
        Ok(())
    }

    fn timers(&self) -> &Timers {
        &self.worker.here.timers
    }

    fn end_longest_wait(&self) -> bool {
        self.worker.clock.end_longest_wait()
    }

    fn free_a_descriptor(&self) -> bool {
        self.worker.free_a_descriptor()
    }
}

struct Counted(Rc<Open>);

impl Counted {
    fn new(open: &Rc<Open>) -> Self {
        open.count.set(open.count.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.changed.notify_one();
    }
}
