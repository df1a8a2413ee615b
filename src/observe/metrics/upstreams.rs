//! What is told of upstreams: how long they take, and which of their addresses get requests.

use std::sync::Arc;

use super::cell::Durations;
use super::exposition::Page;
use super::tally::WorkerCells;
use crate::plan::Plan;

/// Writes what all workers have counted, and what they know of the addresses.
pub(super) fn write(page: &mut Page, plan: &Plan, workers: &[Arc<WorkerCells>]) {
    let mut upstreams: Vec<_> =
        plan.upstreams.iter().map(|it| (&*it.name, Durations::default())).collect();
    for worker in workers {
        worker.upstreams.each(|name, histogram| {
            let known = upstreams.iter_mut().find(|(known, _)| **known == **name);
            known.into_iter().for_each(|(_, durations)| durations.add(histogram));
        });
    }
    let help = "How long upstreams took to begin an answer, with connecting to them.";
    let mut samples = page.histogram("keygate_upstream_time_to_first_byte_seconds", help);
    for (name, durations) in &upstreams {
        samples.durations(&[("upstream", name)], durations);
    }
    addresses(page, plan);
    let mut samples =
        page.gauge("keygate_upstream_queued_requests", "Requests that wait at `max_connections`.");
    for upstream in plan.upstreams.iter().filter(|upstream| upstream.live.limit().is_some()) {
        samples.sample(&[("upstream", &upstream.name)], upstream.live.waiting());
    }
}

/// What is known of each address now; of a name, of each of those that it means.
fn addresses(page: &mut Page, plan: &Plan) {
    let each = plan.upstreams.iter().flat_map(|upstream| {
        let endpoints = upstream.live.endpoints().into_iter();
        endpoints.map(|endpoint| (&*upstream.name, endpoint.to_string(), endpoint))
    });
    let each: Vec<_> = each.collect();
    let help = "Whether an address of an upstream gets requests: 0 while health checks fail, or it \
                is passed over.";
    let mut samples = page.gauge("keygate_upstream_address_up", help);
    for (upstream, address, endpoint) in &each {
        let is_up = endpoint.is_healthy() && !endpoint.is_passed_over();
        samples.sample(&[("upstream", upstream), ("address", address)], u8::from(is_up));
    }
    let help = "How often an address began to be passed over, because it failed.";
    let mut samples = page.counter("keygate_upstream_ejections", help);
    for (upstream, address, endpoint) in &each {
        samples.sample(&[("upstream", upstream), ("address", address)], endpoint.ejections());
    }
}
