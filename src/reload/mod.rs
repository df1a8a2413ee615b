//! When to load the configuration again; a good one takes the place of the old in one step, a wrong
//! one changes nothing.

mod outcome;
mod reader;
mod watch;

use std::convert::Infallible;
use std::future::pending;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::Signal;
use tokio::sync::watch::Sender;
use tokio::time::{interval_at, sleep, sleep_until};

pub(crate) use self::outcome::{Outcome, Target};
use self::reader::Reader;
pub(crate) use self::reader::Readers;
use self::watch::Watch;
use crate::plan::{Plan, Renewed};
use crate::systemd::notify;

/// Makes a plan; it is given the one that serves now.
pub type Load = dyn Fn(Option<&Plan>) -> Result<Plan, String> + Send + Sync;

/// How a plan is made, at start and at each reload.
pub struct Source {
    load: Box<Load>,
    watch: Option<Watch>,
}

impl Source {
    /// A plan that `load` makes, or else it says everything that is wrong. A file or a folder whose
    /// changes matter is watched from now on, so that none is lost while the first plan is made.
    pub fn new(
        load: impl Fn(Option<&Plan>) -> Result<Plan, String> + Send + Sync + 'static,
        path: Option<PathBuf>,
    ) -> Self {
        Self { load: Box::new(load), watch: path.map(Watch::new) }
    }

    /// The first plan.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn load(&self) -> Result<Plan, String> {
        (self.load)(None)
    }
}

/// How often it is written down when keys were used last.
const NOTE_INTERVAL: Duration = Duration::from_secs(60);

/// How long keys are not asked for after that broke off.
const PAUSE: Duration = Duration::from_secs(10);

/// Reloads for ever, on each hangup and each change.
pub(crate) async fn run(
    source: Source,
    readers: Readers,
    mut hangups: Signal,
    to: Target,
) -> Infallible {
    let Source { load, mut watch } = source;
    let Readers { files: reader, commands } = readers;
    let mut asking = None;
    let load = Arc::<Load>::from(load);
    if watch.as_mut().is_some_and(|watch| !watch.listen()) {
        tracing::warn!("the configuration cannot be watched; it is looked at every second instead");
    }
    loop {
        // What the plan names is watched only now, and may have changed since it was read.
        while let Some(watch) = &mut watch
            && watch.follow(to.plans.borrow().files())
        {
            watch.begin_again(&reader).await;
            reload(&load, &reader, &to, Wanted::News).await;
        }
        let readers = (&reader, &commands);
        wait(&mut hangups, watch.as_ref(), &load, readers, &to, &mut asking).await;
        if let Some(watch) = &mut watch {
            watch.begin_again(&reader).await;
        }
        notify::reloading();
        reload(&load, &reader, &to, Wanted::All).await;
        notify::reloaded(to.outcome.borrow().is_success());
    }
}

/// A command that is asked for keys, until it has answered.
type Asking<'a> = Option<Pin<Box<dyn Future<Output = ()> + 'a>>>;

/// Waits until everything is to be loaded. Meanwhile it asks for keys that are due, and now and
/// then writes down when keys were used.
async fn wait<'a>(
    hangups: &mut Signal,
    watch: Option<&Watch>,
    load: &Arc<Load>,
    (reader, commands): (&Reader, &'a Reader),
    to: &Target,
    asking: &mut Asking<'a>,
) {
    // What was noticed is lost with the future: keys that are due again and again must not end it.
    let mut changed = pin!(changed(watch, reader));
    let mut note = interval_at((Instant::now() + NOTE_INTERVAL).into(), NOTE_INTERVAL);
    loop {
        let due = if asking.is_none() { to.plans.borrow().due() } else { None };
        tokio::select! {
            _ = hangups.recv() => {
                to.plans.borrow().expire();
                return;
            }
            () = &mut changed => return,
            () = until(due) => {
                *asking = Some(Box::pin(ask(commands, Arc::clone(&to.plans.borrow()))));
            }
            () = answered(asking) => {
                *asking = None;
                reload(load, reader, to, Wanted::News).await;
            }
            _ = note.tick() => {
                let plan = Arc::clone(&to.plans.borrow());
                reader.run(move || plan.note_used()).await;
            }
        }
    }
}

async fn ask(commands: &Reader, plan: Arc<Plan>) {
    if commands.read(move || plan.ask()).await.is_none() {
        // A panic, and perhaps the next time again.
        tracing::error!("keys could not be asked for");
        sleep(PAUSE).await;
    }
}

async fn answered(asking: &mut Asking<'_>) {
    match asking {
        Some(asking) => asking.await,
        None => pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}

async fn changed(watch: Option<&Watch>, reader: &Reader) {
    match watch {
        Some(watch) => watch.changed(reader).await,
        None => pending().await,
    }
}

/// What a reload is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Everything.
    All,
    /// Only the keys that changed since they were read.
    News,
}

/// What came of a reload.
struct Reloaded {
    plan: Option<Plan>,
    /// Whether there is something in it that was read.
    has_news: bool,
    /// Everything that is wrong.
    problems: Option<String>,
}

/// Loads a plan and lets it serve from the next request on, and notes what came of it.
async fn reload(load: &Arc<Load>, reader: &Reader, to: &Target, wanted: Wanted) {
    let whole = swap(load, reader, &to.plans, wanted).await;
    let stale = to.plans.borrow().is_stale();
    to.outcome.send_modify(|outcome| outcome.note(wanted, whole, stale));
}

/// Lets a plan serve, or logs why not; says whether nothing was wrong.
async fn swap(
    load: &Arc<Load>,
    reader: &Reader,
    plans: &Sender<Arc<Plan>>,
    wanted: Wanted,
) -> bool {
    let current = Arc::clone(&plans.borrow());
    let load = Arc::clone(load);
    let loaded = reader.read(move || {
        // What the old keys know goes with them.
        current.note_used();
        match wanted {
            Wanted::All => reloaded(&*load, &current),
            Wanted::News => renewed(&current),
        }
    });
    let Some(Reloaded { plan, has_news, problems }) = loaded.await else {
        tracing::error!("the configuration was not reloaded");
        return false;
    };
    let whole = problems.is_none();
    if let Some(problems) = problems {
        tracing::error!("the configuration was not reloaded, the old one stays:\n{problems}");
    }
    let Some(plan) = plan else { return whole };
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    let locations = plan.locations.len();
    plans.send_replace(Arc::new(plan));
    match (wanted, whole) {
        (Wanted::All, true) => tracing::info!(locations, "reloaded the configuration"),
        _ if has_news => tracing::info!("reloaded the keys"),
        // A command has failed, which the warnings have said.
        _ => {}
    }
    whole
}

/// Loads everything. Where that is wrong the old configuration stays, but not with keys that have
/// been revoked meanwhile.
fn reloaded(load: &Load, current: &Plan) -> Reloaded {
    let loaded = load(Some(current)).and_then(|plan| match &plan.needs_restart(current)[..] {
        [] => Ok(plan),
        fields => Err(format!(
            "error: {} cannot change while keygate runs\n  = help: start a second keygate beside \
             this one, then stop this one",
            fields.join(" and ")
        )),
    });
    match loaded {
        Ok(plan) => Reloaded { plan: Some(plan), has_news: true, problems: None },
        Err(problems) => {
            let keys = renewed(current);
            let more = keys.problems.filter(|more| !problems.contains(more.as_str()));
            Reloaded { problems: Some(problems + &more.unwrap_or_default()), ..keys }
        }
    }
}

/// Reads the keys that have changed.
fn renewed(current: &Plan) -> Reloaded {
    let Renewed { plan, has_news, problems } = current.renewed();
    let problems: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    Reloaded { plan, has_news, problems: Some(problems).filter(|problems| !problems.is_empty()) }
}
