//! keygate: one binary in front of an HTTP API that lets a request through only with a valid key.
//!
//! The modules in reading order. What the operator wrote, [`config`], is compiled into what the
//! gate does, [`plan`], at start and at each [`reload`]. A `server` accepts connections on one
//! thread a core, and gives each request to the `pipeline`. It `decide`s: `screen` refuses what
//! could be read in two ways, [`route`] chooses a location, its [`plugin`]s let the request go on
//! or answer it with a [`reply`]. Then `forward` sends it to an `upstream` and the `answer` back,
//! or a `verdict` tells another proxy that it may go on; what they hand on is a [`head`] with its
//! [`fields`]. [`keys`] and [`query`] are the pure parts of authentication, [`keystore`] is where
//! files of keys are, [`limit`] counts; `tls` is what encrypts both sides, [`systemd`] passes
//! sockets and is told how the gate is, [`observe`] is what can be seen from outside, and `admin`
//! where the gate itself is asked.

mod admin;
mod answer;
pub mod cli;
pub mod config;
mod core_dump;
mod decide;
mod edit;
pub mod explain;
pub mod fields;
mod forward;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod head;
mod headers;
mod http1;
pub mod keys;
pub mod keystore;
pub mod limit;
pub mod observe;
mod pipeline;
pub mod plan;
pub mod plugin;
pub mod query;
pub mod reload;
pub mod reply;
pub mod route;
#[cfg(test)]
mod sample;
mod screen;
mod server;
mod socket;
mod stack;
pub mod systemd;
mod timers;
mod tls;
mod upstream;
mod verdict;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::cli::Failure;
use crate::observe::access_log::Writer;
use crate::observe::metrics::{Gate, Metrics};
use crate::observe::traces::{self, Exporter, Traces, Unsent};
use crate::plan::connections::enough_for;
use crate::plan::{ListenAddr, Plan};
use crate::reload::{Outcome, Readers, Source, Target};
use crate::server::listener::{self, Sockets};
use crate::server::spread::Spread;
use crate::server::threads::{Thread, Threads};
use crate::server::worker::Delays;
use crate::server::{Seed, start};
use crate::systemd::notify;
use crate::systemd::sockets::Sockets as Passed;
use crate::timers::Timers;
use crate::upstream::pool::Here;
use crate::upstream::tend;

/// Serves until a signal says stop: the only place where things are wired together. `passed` are
/// the sockets that were passed to this process, `lost` counts the messages that the log could not
/// take; `ready` is told the addresses that are listened on, before the first request is answered.
///
/// # Errors
/// When an address cannot be bound, a thread cannot be started, or a second signal ends it at once.
pub fn run(
    plan: Plan,
    source: Source,
    traces: Option<traces::Settings>,
    (mut passed, lost): (Passed, Arc<AtomicU64>),
    ready: impl FnOnce(&[ListenAddr]),
) -> Result<(), Failure> {
    let told_at = plan.admin.as_ref().map_or(&[][..], |admin| &admin.listen);
    enough_for(plan.workers, plan.listen.len(), told_at.len()).map_err(Failure::runtime)?;
    let Sockets { by_worker, addresses, secured } =
        listener::bind(&plan.listen, plan.workers, &mut passed).map_err(cannot_listen)?;
    passed.finish().map_err(Failure::runtime)?;
    let (admin, admin_addresses) = admin::bind(told_at).map_err(cannot_listen)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(|error| Failure::runtime(format!("cannot start: {error}")))?;
    let writer = Writer::start(io::stdout()).map_err(cannot_start)?;
    let readers = Readers::start().map_err(cannot_start)?;
    let (inboxes, receivers): (Vec<_>, Vec<_>) =
        by_worker.iter().map(|_| mpsc::unbounded_channel()).unzip();
    let spread = Spread::new(inboxes, plan.server.max_connections);
    let delays = Arc::<Delays>::default();
    let metrics = plan.admin.as_ref().map(|admin| Metrics::new(admin.counted_keys));
    let (traces, unsent) = traces.map(Traces::new).unzip();
    let (plans, plan_receiver) = watch::channel(Arc::new(plan));
    let latest = plan_receiver.clone();
    let (stop, stop_receiver) = watch::channel(false);
    let own: Arc<[ListenAddr]> = addresses.as_slice().into();
    let here = Here { own: Arc::clone(&own), timers: Timers::start().map_err(cannot_start)? };
    let mut workers = Vec::new();
    for (index, (sockets, inbox)) in by_worker.into_iter().zip(receivers).enumerate() {
        let seed = Seed {
            index,
            sockets,
            plans: plan_receiver.clone(),
            stop: stop_receiver.clone(),
            inbox,
            spread: Arc::clone(&spread),
            delays: Arc::clone(&delays),
            here: here.clone(),
            metrics: metrics.clone(),
            traces: traces.clone(),
        };
        workers.push(start(seed, &writer).map_err(cannot_start)?);
    }
    let (outcome, reloads) = watch::channel(Outcome::of_start());
    let signals = runtime.block_on(async { Signals::new() }).map_err(cannot_start)?;
    if let Some(metrics) = metrics {
        let lost = [("access", writer.lost()), ("messages", lost)];
        let spans = traces.as_ref().map(Traces::counts);
        let gate = Gate { metrics, plans: plan_receiver, spread, reloads, lost, spans };
        let state = admin::State { gate, stop: stop_receiver };
        runtime.block_on(async { admin.serve(state) }).map_err(cannot_start)?;
    }
    drop(traces);
    let exporter = runtime.block_on(async { unsent.map(Unsent::export) });
    tell(addresses.iter().zip(secured), &admin_addresses);
    ready(&addresses);
    notify::ready();
    let target = Target { plans, outcome };
    let threads = (workers, exporter);
    let ended = runtime.block_on(control((source, readers), (target, own), stop, signals, threads));
    ended?;
    latest.borrow().note_used();
    writer.finish();
    Ok(())
}

/// Says where it listens, and where with TLS; and where it tells about itself.
fn tell<'a>(listens: impl Iterator<Item = (&'a ListenAddr, bool)>, admin: &[ListenAddr]) {
    for (address, tls) in listens {
        tracing::info!("listening on {address}{}", if tls { " with TLS" } else { "" });
    }
    for address in admin {
        tracing::info!("telling health and metrics at {address}");
    }
}

fn cannot_listen((address, error): (ListenAddr, io::Error)) -> Failure {
    Failure::runtime(format!("cannot listen on {address}: {error}"))
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::runtime(format!("cannot start: {error}"))
}

/// How long the last spans may take, where requests in flight have taken all the time.
const LAST_SPANS: Duration = Duration::from_secs(1);

struct Signals {
    reload: Signal,
    stop: StopSignals,
}

struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let stop = StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        Ok(Self { reload: signal(SignalKind::hangup())?, stop })
    }
}

impl StopSignals {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Reloads and stops the workers as signals and the files say. A stop waits for no reload: what it
/// reads may take for ever.
async fn control(
    (source, readers): (Source, Readers),
    (target, own): (Target, Arc<[ListenAddr]>),
    stop: watch::Sender<bool>,
    signals: Signals,
    (workers, exporter): (Vec<Thread>, Option<Exporter>),
) -> Result<(), Failure> {
    let mut workers = Threads::watch(workers);
    let plans = target.plans.subscribe();
    let tend = tend::run(target.plans.subscribe(), own);
    let Signals { reload: hangups, stop: mut stops } = signals;
    tokio::select! {
        reason = workers.broken() => return Err(Failure::runtime(reason)),
        never = tend => match never {},
        never = reload::run(source, readers, hangups, target) => match never {},
        () = stops.recv() => {}
    }
    notify::stopping();
    tracing::info!("stopping: answering what is in flight");
    stop.send_replace(true);
    let by = Instant::now() + plans.borrow().server.shutdown_timeout;
    tokio::select! {
        ended = workers.finish() => ended.map_err(Failure::runtime)?,
        () = stops.recv() => {
            return Err(Failure::runtime("stopped at once, with requests in flight"));
        }
    }
    if let Some(exporter) = exporter {
        tokio::select! {
            () = exporter.finish(by.max(Instant::now() + LAST_SPANS)) => {}
            () = stops.recv() => {}
        }
    }
    Ok(())
}
