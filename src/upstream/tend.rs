//! What is done for upstreams beside their requests, once for all workers.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::resolve;
use crate::plan::{Plan, Upstream};

/// Tends the upstreams of the plan that serves, for ever; must be called within a local runtime.
pub(crate) async fn run(mut plans: watch::Receiver<Arc<Plan>>) -> Infallible {
    let mut tended: Vec<Tended> = Vec::new();
    loop {
        let upstreams = plans.borrow_and_update().upstreams.clone();
        // Tasks of those that are gone end when they are dropped.
        tended.retain(|known| upstreams.iter().any(|one| Arc::ptr_eq(one, &known.upstream)));
        for upstream in upstreams {
            if !tended.iter().any(|known| Arc::ptr_eq(&upstream, &known.upstream)) {
                tended.push(Tended::new(upstream));
            }
        }
        if plans.changed().await.is_err() {
            // No plan follows any more, but the last may still serve.
            return std::future::pending().await;
        }
    }
}

/// An upstream and the tasks that tend it.
struct Tended {
    upstream: Arc<Upstream>,
    _tasks: JoinSet<()>,
}

impl Tended {
    fn new(upstream: Arc<Upstream>) -> Self {
        let mut tasks = JoinSet::new();
        for index in 0..upstream.addrs.len() {
            tasks.spawn_local(resolve::follow(Arc::clone(&upstream), index));
        }
        Self { upstream, _tasks: tasks }
    }
}
