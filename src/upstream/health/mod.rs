//! Active health checks: every address of an upstream is asked now and then, once for all workers.
//!
//! An address counts as healthy until checks say otherwise, as in nginx and Traefik: a gate that
//! has just started serves at once, and what does not answer is passed over in any case. Where the
//! checks have found that no address serves, requests are refused at once rather than tried.

mod check;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::endpoint::Endpoint;
use super::resolve::jittered;
use super::tend::Tended;
use crate::http1::stock::Stock;
use crate::plan::{ListenAddr, Upstream};

/// How an upstream's addresses are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The target that is asked for.
    pub path: Box<str>,
    /// How long it is from one check to the next, about.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// How many checks must fail, one after the other, until an address gets no more requests.
    pub unhealthy: u32,
    /// How many must succeed until it gets requests again.
    pub healthy: u32,
}

/// When the first check is due, at most: what is down should be known before many meet it.
const FIRST: Duration = Duration::from_secs(1);

/// Checks an upstream's addresses for ever, whatever its names mean then.
pub(super) async fn watch(upstream: Arc<Upstream>, own: Arc<[ListenAddr]>) {
    let Some(health) = upstream.health.clone() else { return };
    let health = Arc::new(health);
    let mut known = upstream.live.subscribe();
    let mut checked = Vec::new();
    loop {
        let endpoints: Vec<_> = known.borrow_and_update().endpoints().cloned().collect();
        Tended::update(&mut checked, endpoints, |endpoint, tasks| {
            let (upstream, own) = (Arc::clone(&upstream), Arc::clone(&own));
            let (endpoint, health) = (Arc::clone(endpoint), Arc::clone(&health));
            tasks.spawn_local(async move { check(&upstream, &endpoint, &health, &own).await });
        });
        if known.changed().await.is_err() {
            return;
        }
    }
}

/// Checks one address for ever.
async fn check(upstream: &Upstream, endpoint: &Endpoint, health: &Health, own: &[ListenAddr]) {
    let (stock, mut verdict) = (Stock::default(), Verdict::default());
    sleep(FIRST.min(health.interval).mul_f64(fastrand::f64())).await;
    loop {
        let found = check::once(upstream, endpoint, health, own, &stock).await;
        if verdict.changes(found.is_ok(), health) {
            endpoint.set_healthy(found.is_ok());
            let (upstream, address) = (&*upstream.name, endpoint);
            match found {
                Ok(()) => tracing::info!(upstream, %address, "healthy again"),
                Err(why) => tracing::warn!(upstream, %address, why, "unhealthy: gets no requests"),
            }
        }
        sleep(jittered(health.interval)).await;
    }
}

/// What the checks so far have shown.
#[derive(Debug, Default)]
struct Verdict {
    is_unhealthy: bool,
    /// How many checks, one after the other, have said otherwise.
    against: u32,
}

impl Verdict {
    /// Takes what one more check has found; whether that changes the verdict.
    fn changes(&mut self, is_well: bool, health: &Health) -> bool {
        if is_well != self.is_unhealthy {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let needed = if is_well { health.healthy } else { health.unhealthy };
        let changes = self.against >= needed;
        if changes {
            *self = Self { is_unhealthy: !is_well, against: 0 };
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After each check of a row (`+` or `-`) there is the verdict after it.
    #[track_caller]
    fn check(unhealthy: u32, healthy: u32, checks: &str, expected: &str) {
        let second = Duration::from_secs(1);
        let health =
            Health { path: "/".into(), interval: second, timeout: second, unhealthy, healthy };
        let (mut verdict, mut is_healthy) = (Verdict::default(), true);
        let verdicts = checks.chars().map(|found| {
            is_healthy ^= verdict.changes(found == '+', &health);
            if is_healthy { '+' } else { '-' }
        });
        assert_eq!(verdicts.collect::<String>(), expected, "{unhealthy}, {healthy}: {checks}");
    }

    #[test]
    fn so_many_checks_one_after_the_other_change_the_verdict() {
        check(1, 1, "+-+--+", "+-+--+");
        check(2, 1, "-+-+--+-", "+++++-++");
        check(2, 3, "--++-+++-", "+------++");
        check(3, 1, "++--+--+---", "++++++++++-");
    }
}
