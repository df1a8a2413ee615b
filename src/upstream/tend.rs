//! What is done for upstreams beside their requests, once for all workers.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{health, resolve};
use crate::plan::{ListenAddr, Plan};

/// Tends the upstreams of the plan that serves, for ever; must be called within a local runtime.
/// The gate listens at `own`.
pub(crate) async fn run(
    mut plans: watch::Receiver<Arc<Plan>>,
    own: Arc<[ListenAddr]>,
) -> Infallible {
    let mut tended = Vec::new();
    loop {
        let upstreams = plans.borrow_and_update().upstreams.clone();
        Tended::update(&mut tended, upstreams, |upstream, tasks| {
            for index in 0..upstream.addrs.len() {
                tasks.spawn_local(resolve::follow(Arc::clone(upstream), index));
            }
            tasks.spawn_local(health::watch(Arc::clone(upstream), Arc::clone(&own)));
        });
        if plans.changed().await.is_err() {
            // No plan follows any more, but the last may still serve.
            return pending().await;
        }
    }
}

/// Something that tasks are for; they end when it is dropped.
pub(super) struct Tended<T> {
    what: Arc<T>,
    _tasks: JoinSet<()>,
}

impl<T> Tended<T> {
    /// Lets go what is not wanted any more, and begins what is wanted and not there.
    pub(super) fn update(
        tended: &mut Vec<Self>,
        wanted: Vec<Arc<T>>,
        mut begin: impl FnMut(&Arc<T>, &mut JoinSet<()>),
    ) {
        tended.retain(|known| wanted.iter().any(|one| Arc::ptr_eq(one, &known.what)));
        for what in wanted {
            if !tended.iter().any(|known| Arc::ptr_eq(&what, &known.what)) {
                let mut tasks = JoinSet::new();
                begin(&what, &mut tasks);
                tended.push(Self { what, _tasks: tasks });
            }
        }
    }
}
