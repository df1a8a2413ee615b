//! One place where an upstream can be reached, and how it fares: what all workers know about it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::plan::{Target, UpstreamAddr};

/// How many failures of an address within which time are too many; it is passed over for as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// The failure that is one too many; 0: none is.
    pub max_fails: u32,
    /// Within which time, and for how long.
    pub fail_timeout: Duration,
}

/// One of the places that an address in the configuration stands for: the socket, or one of the IP
/// addresses that its name means.
#[derive(Debug)]
pub struct Endpoint {
    addr: UpstreamAddr,
    /// None for a unix socket.
    ip: Option<SocketAddr>,
    /// What all times are counted from.
    epoch: Instant,
    is_healthy: AtomicBool,
    /// Until when it is passed over, in milliseconds since `epoch`.
    passed_over_until_ms: AtomicU64,
    /// Touched only when something fails.
    failures: Mutex<Failures>,
    ejections: AtomicU64,
}

/// The failures of late.
#[derive(Debug)]
struct Failures {
    count: u32,
    since: Instant,
}

impl Endpoint {
    pub(crate) fn new(addr: &UpstreamAddr, ip: Option<SocketAddr>) -> Self {
        let epoch = Instant::now();
        Self {
            addr: addr.clone(),
            ip,
            epoch,
            is_healthy: AtomicBool::new(true),
            passed_over_until_ms: AtomicU64::new(0),
            failures: Mutex::new(Failures { count: 0, since: epoch }),
            ejections: AtomicU64::new(0),
        }
    }

    /// The address as it is written, and whether it speaks TLS.
    pub(crate) fn addr(&self) -> &UpstreamAddr {
        &self.addr
    }

    /// What is connected to.
    pub(crate) fn target(&self) -> &Target {
        &self.addr.target
    }

    /// Where to connect; none for a unix socket.
    pub(crate) fn ip(&self) -> Option<SocketAddr> {
        self.ip
    }

    /// How large a share of the requests it gets.
    pub(crate) fn weight(&self) -> u32 {
        self.addr.weight
    }

    /// Whether the health checks let it have requests; without checks they always do.
    pub fn is_healthy(&self) -> bool {
        self.is_healthy.load(Ordering::Relaxed)
    }

    /// What the health checks have found.
    pub(crate) fn set_healthy(&self, is_healthy: bool) {
        self.is_healthy.store(is_healthy, Ordering::Relaxed);
        if is_healthy {
            self.connected();
        }
    }

    /// Whether it has failed of late, and others are asked instead.
    pub fn is_passed_over(&self) -> bool {
        let until_ms = self.passed_over_until_ms.load(Ordering::Relaxed);
        until_ms != 0 && self.at_ms(Instant::now()) < until_ms
    }

    /// How often it began to be passed over.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// A connection was made: what could not be reached can be.
    pub(crate) fn connected(&self) {
        if self.passed_over_until_ms.load(Ordering::Relaxed) != 0 {
            self.passed_over_until_ms.store(0, Ordering::Relaxed);
        }
    }

    /// A connection could not be made, or a request got no response.
    pub(crate) fn failed(&self, tolerance: Tolerance) {
        self.failed_at(Instant::now(), tolerance);
    }

    fn failed_at(&self, now: Instant, tolerance: Tolerance) {
        let Tolerance { max_fails, fail_timeout } = tolerance;
        if max_fails == 0 {
            return;
        }
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.count == 0 || now.saturating_duration_since(failures.since) >= fail_timeout {
            *failures = Failures { count: 0, since: now };
        }
        failures.count += 1;
        if failures.count >= max_fails {
            failures.count = 0;
            let until = self.at_ms(now + fail_timeout);
            let before = self.passed_over_until_ms.swap(until, Ordering::Relaxed);
            let is_news = before <= self.at_ms(now);
            self.ejections.fetch_add(u64::from(is_news), Ordering::Relaxed);
        }
    }

    fn at_ms(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Endpoint {
    /// As it is written, and the IP address that a name means.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.addr.target, self.ip) {
            (target @ Target::Tcp { host, .. }, Some(ip)) if host.parse::<IpAddr>().is_err() => {
                write!(f, "{target} ({})", ip.ip())
            }
            (target, _) => target.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn endpoint(host: &str, ip: &str) -> Endpoint {
        let target = Target::Tcp { host: host.into(), port: 80 };
        Endpoint::new(&UpstreamAddr { target, weight: 1, tls: false }, ip.parse().ok())
    }

    /// Fails at each of these seconds, and says whether it is passed over just after the last.
    #[track_caller]
    fn check(max_fails: u32, seconds: &[u64], expected: bool, ejections: u64) {
        // As if it had been there for long.
        let endpoint = Endpoint {
            epoch: Instant::now().checked_sub(1000 * SECOND).expect("the machine is up for longer"),
            ..endpoint("127.0.0.1", "127.0.0.1:80")
        };
        let tolerance = Tolerance { max_fails, fail_timeout: 10 * SECOND };
        let last = seconds.last().copied().unwrap_or_default();
        let begin = Instant::now() - last as u32 * SECOND;
        for &second in seconds {
            endpoint.failed_at(begin + second as u32 * SECOND, tolerance);
        }
        let found = (endpoint.is_passed_over(), endpoint.ejections());
        assert_eq!(found, (expected, ejections), "{max_fails} {seconds:?}");
    }

    #[test]
    fn as_many_failures_as_that_within_the_time_are_too_many() {
        check(1, &[], false, 0);
        check(1, &[0], true, 1);
        check(0, &[0, 1, 2, 3], false, 0);
        check(3, &[0, 1], false, 0);
        check(3, &[0, 1, 9], true, 1);
        check(3, &[0, 1, 10], false, 0);
        // What is passed over and fails again is so for longer, which is no news.
        check(1, &[0, 1, 2], true, 1);
        check(1, &[0, 10], true, 2);
    }

    #[test]
    fn what_is_passed_over_comes_back_by_itself_and_when_it_is_reached() {
        let endpoint = endpoint("127.0.0.1", "127.0.0.1:80");
        let tolerance = Tolerance { max_fails: 1, fail_timeout: 10 * SECOND };
        let long_ago = Instant::now();
        endpoint.failed(tolerance);
        assert!(endpoint.is_passed_over());
        endpoint.connected();
        assert!(!endpoint.is_passed_over());
        let short = Tolerance { fail_timeout: Duration::from_millis(1), ..tolerance };
        endpoint.failed_at(long_ago, short);
        while long_ago.elapsed() < 5 * short.fail_timeout {
            std::thread::yield_now();
        }
        assert!(!endpoint.is_passed_over());
    }

    #[test]
    fn a_log_names_what_is_written_and_what_it_means() {
        let shown = |host: &str, ip: &str| endpoint(host, ip).to_string();
        assert_eq!(shown("127.0.0.1", "127.0.0.1:80"), "127.0.0.1:80");
        assert_eq!(shown("::1", "[::1]:80"), "[::1]:80");
        assert_eq!(shown("app.test", "10.0.0.7:80"), "app.test:80 (10.0.0.7)");
    }
}
