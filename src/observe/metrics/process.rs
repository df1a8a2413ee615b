//! What the kernel says of the process, by the names that Prometheus's client libraries use.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::exposition::Page;

/// Writes what is known; what cannot be read is left out.
pub(super) fn write(page: &mut Page) {
    if let Some(usage) = Usage::read() {
        page.counter("process_cpu_seconds", "Processor time used, in user and system mode.")
            .sample(&[], usage.cpu_seconds);
        page.gauge("process_resident_memory_bytes", "Memory that is resident.")
            .sample(&[], usage.resident_bytes);
        page.gauge("process_virtual_memory_bytes", "Memory that is mapped.")
            .sample(&[], usage.virtual_bytes);
        page.gauge("process_threads", "Threads.").sample(&[], usage.threads);
        if let Some(boot) = boot_seconds() {
            page.gauge("process_start_time_seconds", "When the process started, since 1970.")
                .sample(&[], boot + usage.start_seconds);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The folder itself is one of them.
        let count = open.count().saturating_sub(1);
        page.gauge("process_open_fds", "Open file descriptors.").sample(&[], count);
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        page.gauge("process_max_fds", "How many file descriptors may be open.").sample(&[], limit);
    }
}

/// What stands in `/proc/self/stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    threads: u64,
    /// Since the machine started.
    start_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Usage {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&stat, clock_ticks_per_second() as f64, page_size() as u64)
    }

    fn parse(stat: &str, ticks: f64, page_size: u64) -> Option<Self> {
        // The name of the program stands in brackets and may hold anything.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        // The state, behind the name, is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) as f64 / ticks,
            threads: field(20)?,
            start_seconds: field(22)? as f64 / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_size,
        })
    }
}

/// When the machine started, in seconds since 1970.
fn boot_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_counted_from_behind_the_name() {
        let stat = "7 (key) gate) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 6 0 1234 99 10 1 2";
        let expected = Usage {
            cpu_seconds: 3.0,
            threads: 6,
            start_seconds: 12.34,
            virtual_bytes: 99,
            resident_bytes: 40_960,
        };
        assert_eq!(Usage::parse(stat, 100.0, 4096), Some(expected));
        assert_eq!(Usage::parse("7 (keygate) S 1", 100.0, 4096), None);
    }

    #[test]
    fn this_process_is_known() {
        let usage = Usage::read().expect("the kernel tells it");
        assert!(usage.threads > 0 && usage.resident_bytes > 0, "{usage:?}");
    }
}
