//! When to load the configuration again; a good one takes the place of the old in one step, a wrong
//! one changes nothing.

mod reader;
mod watch;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::sync::watch::Sender;

pub(crate) use self::reader::Reader;
use self::watch::Watch;
use crate::plan::Plan;

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
        Self { load: Box::new(load), watch: path.map(|path| Watch::new(&path)) }
    }

    /// The first plan.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn load(&self) -> Result<Plan, String> {
        (self.load)(None)
    }
}

/// Reloads for ever, on each hangup and each change.
pub(crate) async fn run(
    source: Source,
    reader: Reader,
    mut hangups: Signal,
    plans: Sender<Arc<Plan>>,
) -> Infallible {
    let Source { load, mut watch } = source;
    let load = Arc::<Load>::from(load);
    if watch.as_mut().is_some_and(|watch| !watch.listen()) {
        tracing::warn!("the configuration cannot be watched; it is looked at every second instead");
    }
    loop {
        tokio::select! {
            _ = hangups.recv() => {}
            () = changed(watch.as_ref(), &reader) => {}
        }
        if let Some(watch) = &mut watch {
            watch.begin_again(&reader).await;
        }
        reload(&load, &reader, &plans).await;
    }
}

async fn changed(watch: Option<&Watch>, reader: &Reader) {
    match watch {
        Some(watch) => watch.changed(reader).await,
        None => std::future::pending().await,
    }
}

/// Loads a plan and lets it serve from the next request on, or logs why not.
async fn reload(load: &Arc<Load>, reader: &Reader, plans: &Sender<Arc<Plan>>) {
    let current = Arc::clone(&plans.borrow());
    let load = Arc::clone(load);
    let loaded = reader.run(move || {
        let plan = load(Some(&current))?;
        match &plan.needs_restart(&current)[..] {
            [] => Ok(plan),
            fields => Err(format!(
                "error: {} cannot change while keygate runs\n  = help: start a second keygate \
                 beside this one, then stop this one",
                fields.join(" and ")
            )),
        }
    });
    match loaded.await {
        Some(Ok(plan)) => {
            for warning in &plan.warnings {
                tracing::warn!("{warning}");
            }
            let locations = plan.locations.len();
            plans.send_replace(Arc::new(plan));
            tracing::info!(locations, "reloaded the configuration");
        }
        Some(Err(problems)) => {
            tracing::error!("the configuration was not reloaded, the old one stays:\n{problems}");
        }
        None => tracing::error!("the configuration was not reloaded"),
    }
}
