//! What is told of TLS: when certificates end, and how often hands were not shaken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::exposition::Page;
use super::tally::WorkerCells;
use crate::plan::Plan;

/// Writes what all workers have counted, and what the plan shows clients and upstreams.
pub(super) fn write(page: &mut Page, plan: &Plan, workers: &[Arc<WorkerCells>]) {
    let help = "Handshakes of TLS with clients that failed, or took too long.";
    let count: u64 = workers.iter().map(|worker| worker.failed_handshakes.read()).sum();
    page.counter("keygate_tls_handshake_errors", help).sample(&[], count);
    let help = "When a certificate that keygate shows ends, since 1970, or one of those behind it.";
    let mut samples = page.gauge("keygate_tls_certificate_expiry_timestamp_seconds", help);
    for (file, end) in ends(plan) {
        samples.sample(&[("certificate", file)], end.as_secs());
    }
}

/// When the certificates in each file end; one may be shown to clients and to several upstreams.
fn ends(plan: &Plan) -> BTreeMap<&str, Duration> {
    let of_upstreams = plan.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref());
    let of_upstreams = of_upstreams.flat_map(|tls| &tls.shown);
    let mut ends = BTreeMap::new();
    for shown in plan.tls.iter().flat_map(|tls| &tls.shown).chain(of_upstreams) {
        let end = ends.entry(&*shown.file).or_insert(shown.end);
        *end = shown.end.min(*end);
    }
    ends
}
