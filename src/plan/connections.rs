//! What the file-descriptor limit allows: how many client connections, and whether to start at all.

use rustix::process::{Resource, getrlimit};

use crate::admin::MAX_CONNECTIONS;

/// Descriptors that are no connections: listeners, log, epoll, resolver, the configuration.
const RESERVE: u64 = 64;

/// A proxied request holds two: its client's and its upstream's.
const DESCRIPTORS_PER_CONNECTION: u64 = 2;

/// What is open for a while when metrics are asked for: a file of the kernel's, and a folder.
const WHILE_ANSWERING: usize = 2;

/// With an unlimited or a very large limit memory ends first.
const MOST: u64 = 500_000;

/// With fewer the gate is of no use, and the limit is an accident; accepting fails then, and says
/// so.
const FEWEST: u64 = 16;

/// Fewer than this is worth a warning: what most systems give a process, 1024 descriptors, allows
/// several times as many.
pub(super) const FEW: usize = 100;

/// The number of connections that the soft limit of this process allows, where health and metrics
/// are told at so many addresses.
pub(super) fn allowed(admin_listeners: usize) -> usize {
    from_limit(getrlimit(Resource::Nofile).current, of_admin(admin_listeners))
}

/// The descriptors of so many listeners that tell health and metrics, and of who asks there.
fn of_admin(listeners: usize) -> u64 {
    let connections = if listeners == 0 { 0 } else { MAX_CONNECTIONS + WHILE_ANSWERING };
    (listeners + connections) as u64
}

/// Descriptors that are open before there is a worker, generously: standard streams, signals, the
/// watch, the configuration while it is read, and some connections.
const TO_START: u64 = 24;

/// Those of a worker besides its listeners.
const PER_WORKER: u64 = 5;

/// Whether the limit is enough to start: where it ends in the middle, libraries panic.
///
/// # Errors
/// What is wrong and what to do about it.
pub(crate) fn enough_for(
    workers: usize,
    listeners: usize,
    admin_listeners: usize,
) -> Result<(), String> {
    let workers_own = workers as u64 * (PER_WORKER + listeners as u64);
    let needed = TO_START + workers_own + of_admin(admin_listeners);
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => Err(format!(
            "the file-descriptor limit of {limit} is too low for {workers} workers: raise it to \
             {needed} at least (`ulimit -n`, LimitNOFILE=), or have fewer `workers`"
        )),
        _ => Ok(()),
    }
}

fn from_limit(descriptors: Option<u64>, others: u64) -> usize {
    let connections = descriptors.map_or(MOST, |limit| {
        (limit.saturating_sub(RESERVE + others) / DESCRIPTORS_PER_CONNECTION).clamp(FEWEST, MOST)
    });
    usize::try_from(connections).expect("half a million fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descriptors_a_connection_and_a_reserve() {
        assert_eq!(from_limit(Some(1024), 0), 480);
        assert_eq!(from_limit(Some(1024), 20), 470);
        assert_eq!(from_limit(Some(0), 20), 16);
        assert_eq!(from_limit(Some(u64::MAX), 20), 500_000);
        assert_eq!(from_limit(None, 20), 500_000);
    }

    #[test]
    fn who_asks_for_health_and_metrics_has_descriptors_of_its_own() {
        assert_eq!(of_admin(0), 0);
        assert_eq!(of_admin(2), 20);
        assert_eq!(from_limit(Some(1024), of_admin(2)), 470);
    }
}
