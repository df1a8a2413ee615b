//! Every metric there is: its name, what it says, and where its values come from.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use super::cell::Durations;
use super::exposition::{Format, Page};
use super::labels::Answer;
use super::tally::{LocationCells, WorkerCells};
use super::{Gate, process, tls, upstreams};
use crate::keys::census::Census;
use crate::plan::Plan;
use crate::reply::Code;

/// What was counted of one location, by all workers.
#[derive(Default)]
struct Location {
    begun: u64,
    results: [u64; Code::ALL.len()],
    durations: Vec<(Answer, Durations)>,
}

impl Location {
    fn add(&mut self, cells: &LocationCells) {
        for (sum, count) in self.results.iter_mut().zip(&cells.results) {
            *sum += count.read();
        }
        // Read last: what has ended had begun.
        self.begun += cells.begun.read();
        cells.durations.each(|answer, histogram| {
            let known = self.durations.iter().position(|(known, _)| known == answer);
            let place = known.unwrap_or_else(|| {
                self.durations.push((*answer, Durations::default()));
                self.durations.len() - 1
            });
            self.durations[place].1.add(histogram);
        });
    }
}

impl Gate {
    /// The page of all metrics as they are now.
    pub(crate) fn page(&self, format: Format) -> String {
        let plan = Arc::clone(&self.plans.borrow());
        let workers = self.metrics.workers();
        let mut page = Page::new(format);
        page.gauge("keygate_build_info", "The version that runs.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        requests(&mut page, &plan, &workers);
        upstreams::write(&mut page, &plan, &workers);
        self.key_requests(&mut page, &workers);
        keys(&mut page, &plan);
        self.connections(&mut page);
        tls::write(&mut page, &plan, &workers);
        self.configuration(&mut page);
        self.spans(&mut page);
        process::write(&mut page);
        page.finish()
    }

    fn key_requests(&self, page: &mut Page, workers: &[Arc<WorkerCells>]) {
        let help = "Requests with a valid key, whatever came of them; those of keys beyond \
                    `counted_keys` under `(others)`.";
        let mut samples = page.counter("keygate_key_requests", help);
        let known = self.metrics.keys.known().clone();
        for (index, key) in known.iter().enumerate() {
            let count: u64 = workers.iter().map(|worker| worker.keys.of(index)).sum();
            samples.sample(&[("key_id", &key.id), ("consumer", &key.consumer)], count);
        }
        let rest: u64 = workers.iter().map(|worker| worker.keys.rest()).sum();
        if rest > 0 {
            samples.sample(&[("key_id", OTHERS), ("consumer", OTHERS)], rest);
        }
    }

    fn connections(&self, page: &mut Page) {
        let counts = self.spread.counts();
        page.gauge("keygate_connections", "Open connections of clients.").sample(&[], counts.open);
        page.counter("keygate_connections_accepted", "Connections of clients, ever.")
            .sample(&[], counts.accepted);
        let help = "Idle connections that were closed to make room at `max_connections`.";
        page.counter("keygate_connections_evicted", help).sample(&[], counts.evicted);
        let help = "Connections that could not be accepted, for want of descriptors or memory.";
        page.counter("keygate_accept_errors", help).sample(&[], counts.errors);
        let mut samples =
            page.counter("keygate_log_lines_dropped", "Lines of logs that were lost.");
        for (log, lost) in &self.lost {
            samples.sample(&[("log", log)], lost.load(Ordering::Relaxed));
        }
    }

    fn spans(&self, page: &mut Page) {
        let Some(counts) = &self.spans else { return };
        let help = "Spans of traces, by what became of them: taken by the collector, or not; lost \
                    because too many waited; or left out, because too many strangers were refused.";
        let mut samples = page.counter("keygate_trace_spans", help);
        for (result, count) in [
            ("exported", &counts.exported),
            ("failed", &counts.failed),
            ("dropped", &counts.dropped),
            ("limited", &counts.limited),
        ] {
            samples.sample(&[("result", result)], count.load(Ordering::Relaxed));
        }
    }

    fn configuration(&self, page: &mut Page) {
        let outcome = *self.reloads.borrow();
        let help = "Whether the configuration that is there now serves: 0 after a reload that \
                    was refused, and while a keys_command fails.";
        page.gauge("keygate_config_last_reload_successful", help)
            .sample(&[], u8::from(outcome.is_success()));
        let help = "When the configuration that serves was loaded, since 1970.";
        page.gauge("keygate_config_last_reload_success_timestamp_seconds", help)
            .sample(&[], seconds(outcome.loaded));
    }
}

/// What the keys are called that are not counted by their names. No name holds a bracket.
const OTHERS: &str = "(others)";

fn requests(page: &mut Page, plan: &Plan, workers: &[Arc<WorkerCells>]) {
    // What belongs to no location has none in its label, which is as if the label were not there.
    let mut locations = vec![("", Location::default())];
    locations.extend(plan.locations.iter().map(|it| (&*it.name, Location::default())));
    for worker in workers {
        locations[0].1.add(&worker.nowhere);
        worker.locations.each(|name, cells| {
            let known = locations.iter_mut().find(|(known, _)| **known == **name);
            // One that is no longer there may be known to a worker for a moment.
            known.into_iter().for_each(|(_, location)| location.add(cells));
        });
    }
    let help = "How long requests took, from the whole head to the end of the answer.";
    let mut samples = page.histogram("http_server_request_duration_seconds", help);
    for (name, location) in &locations {
        for (answer, durations) in &location.durations {
            let status = answer.status();
            let labels = [
                ("http_request_method", answer.method()),
                ("http_response_status_code", &*status),
                ("http_route", name),
            ];
            samples.durations(&labels, durations);
        }
    }
    let mut samples = page.gauge("http_server_active_requests", "Requests that have not ended.");
    for (name, location) in &locations[1..] {
        let ended = location.results.iter().sum();
        samples.sample(&[("http_route", name)], location.begun.saturating_sub(ended));
    }
    let help = "Requests that have ended, by what came of them: passed on, or why not.";
    let mut samples = page.counter("keygate_decisions", help);
    for (name, location) in &locations {
        for (code, count) in Code::ALL.into_iter().zip(location.results) {
            // What never happens on a location need not be there; but whoever asks how often
            // something did wants 0 before the first time.
            if count > 0 || !name.is_empty() && ALWAYS.contains(&code) {
                samples.sample(&[("location", name), ("result", code.as_str())], count);
            }
        }
    }
}

/// The results of which there is a series before the first.
const ALWAYS: [Code; 6] = [
    Code::Allowed,
    Code::MissingApiKey,
    Code::InvalidApiKey,
    Code::KeyNotAllowed,
    Code::RateLimited,
    Code::BadGateway,
];

fn keys(page: &mut Page, plan: &Plan) {
    let now = SystemTime::now();
    let plugins = plan.plugins.iter();
    let counted = plugins.filter_map(|it| Some((&*it.name, it.plugin.census(now)?)));
    let counted: Vec<(&str, Census)> = counted.collect();
    let mut samples = page.gauge("keygate_keys", "Keys that a plugin knows, by their state.");
    for (plugin, census) in &counted {
        for (state, count) in [
            ("valid", census.valid),
            ("not_yet", census.not_yet),
            ("expired", census.expired),
            ("disabled", census.disabled),
        ] {
            samples.sample(&[("plugin", plugin), ("state", state)], count);
        }
    }
    let help = "When a valid key ends, since 1970: of each plugin the 20 keys that end soonest.";
    let mut samples = page.gauge("keygate_key_expiry_timestamp_seconds", help);
    for (plugin, census) in &counted {
        for key in &census.ending {
            let labels = [("plugin", *plugin), ("key_id", &key.id), ("consumer", &key.consumer)];
            samples.sample(&labels, seconds(key.at));
        }
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
