//! When to load the configuration again; a good one takes the place of the old in one step, a wrong
//! one changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};

use crate::plan::Plan;

/// Makes a plan; it is given the one that serves now.
pub type Load = dyn Fn(Option<&Plan>) -> Result<Plan, String> + Send + Sync;

/// How a plan is made, at start and at each reload.
pub struct Source {
    /// Reads, compiles, or says everything that is wrong.
    pub load: Box<Load>,
    /// The folder whose changes matter, if there is one.
    pub folder: Option<PathBuf>,
}

/// How long the folder must be quiet before it is read: editors and Kubernetes write in steps.
const QUIET: Duration = Duration::from_millis(100);

/// Loads a plan and lets it serve from the next request on, or logs why not.
pub(crate) async fn reload(source: &Arc<Source>, plans: &watch::Sender<Arc<Plan>>) {
    let current = Arc::clone(&plans.borrow());
    let loading = Arc::clone(source);
    let loaded = tokio::task::spawn_blocking(move || {
        let plan = (loading.load)(Some(&current))?;
        match &plan.needs_restart(&current)[..] {
            [] => Ok(plan),
            fields => Err(format!(
                "error: {} cannot change while keygate runs\n  = help: start a second keygate \
                 beside this one, then stop this one",
                fields.join(" and ")
            )),
        }
    })
    .await;
    match loaded {
        Ok(Ok(plan)) => {
            for warning in &plan.warnings {
                tracing::warn!("{warning}");
            }
            tracing::info!(locations = plan.locations.len(), "reloaded the configuration");
            plans.send_replace(Arc::new(plan));
        }
        Ok(Err(problems)) => {
            tracing::error!("the configuration was not reloaded, the old one stays:\n{problems}");
        }
        Err(error) => tracing::error!(%error, "the configuration was not reloaded"),
    }
}

/// Watches the folder, not its files: Kubernetes swaps a link, and a watch on a file is deaf after
/// the first swap. Each item received is a reason to reload; the watch ends with the watcher.
pub(crate) fn watch_folder(
    folder: &Path,
) -> notify::Result<(RecommendedWatcher, mpsc::Receiver<()>)> {
    let (changed, changes) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let read_only = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_)));
        if !read_only {
            // A full channel holds a reason to reload already.
            let _ = changed.try_send(());
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok((watcher, changes))
}

/// Waits for a change, and then until the folder is quiet.
pub(crate) async fn changed(changes: &mut Option<mpsc::Receiver<()>>) {
    let Some(changes) = changes else { return std::future::pending().await };
    if changes.recv().await.is_none() {
        return std::future::pending().await;
    }
    while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {}
}
