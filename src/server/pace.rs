//! How slow a client may be: what it takes or sends buys it time, and waiting for it spends that.
//!
//! A timeout between two pieces alone lets a client hold a connection for days, a byte at a time.

use std::cell::Cell;
use std::time::Duration;

use super::clock::{Deadlines, LAG, Wait};
use crate::plan::ServerLimits;

/// The time that one message's client may still be waited for.
#[derive(Debug)]
pub(crate) struct Pace {
    wait: Wait,
    /// The most that it may be, and what it begins with. The clock's lag is in it once, not in
    /// each wait: many short ones would otherwise take no time.
    timeout: Duration,
    /// How many bytes buy a second; 0: any buys everything.
    rate: u32,
    left: Cell<Duration>,
    /// Since when it is waited for, if it is.
    since: Cell<Duration>,
}

impl Pace {
    /// The pace of a message whose pieces are waited for as `wait`.
    pub(crate) fn new(wait: Wait, limits: &ServerLimits) -> Self {
        let timeout = limits.client_body_timeout.saturating_add(LAG);
        Self {
            wait,
            timeout,
            rate: limits.client_min_rate,
            left: Cell::new(timeout),
            since: Cell::default(),
        }
    }

    /// Nothing can be done until the client does something.
    pub(crate) fn waits(&self, deadlines: &Deadlines) {
        if !deadlines.is_set(self.wait) {
            self.since.set(deadlines.now());
            deadlines.resume(self.wait, self.left.get());
        }
    }

    /// The client took or sent so many bytes.
    pub(crate) fn moved(&self, deadlines: &Deadlines, bytes: usize) {
        if deadlines.is_set(self.wait) {
            deadlines.clear(self.wait);
            let waited = deadlines.now().saturating_sub(self.since.get());
            self.left.set(self.left.get().saturating_sub(waited));
        }
        if self.left.get() < self.timeout {
            let bought = match self.rate {
                0 => self.timeout,
                rate => Duration::from_secs(bytes as u64) / rate,
            };
            self.left.set(self.timeout.min(self.left.get().saturating_add(bought)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::clock::Clock;

    #[test]
    fn bytes_buy_time_and_waiting_spends_it() {
        let clock = Clock::new();
        let deadlines = clock.deadlines();
        let limits = ServerLimits { client_min_rate: 100, ..limits() };
        let pace = Pace::new(Wait::Body, &limits);
        let wait = |seconds: u64, bytes: usize| {
            pace.waits(&deadlines);
            clock.advance(Duration::from_secs(seconds));
            let late = deadlines.passed(Wait::Body);
            pace.moved(&deadlines, bytes);
            late
        };
        // 100 bytes buy the second that they took.
        assert!((0..100).all(|_| !wait(1, 100)));
        // Less of it spends the 10 s that it has, in about 20 s.
        assert!((0..18).all(|_| !wait(1, 50)));
        assert!(wait(3, 50));
        // However much comes at once, it buys no more than 10 s.
        pace.moved(&deadlines, 1_000_000);
        assert!(!wait(10, 0));
        assert!(wait(2, 0));
    }

    #[test]
    fn however_short_the_waits_are_they_add_up() {
        let clock = Clock::new();
        let deadlines = clock.deadlines();
        let limits = ServerLimits { client_min_rate: 100, ..limits() };
        let pace = Pace::new(Wait::Body, &limits);
        // 20 bytes a second spend the 10 s that there are in 12.5 s: in 250 waits.
        let ends = (0..1000).position(|_| {
            pace.waits(&deadlines);
            clock.advance(Duration::from_millis(50));
            let late = deadlines.passed(Wait::Body);
            pace.moved(&deadlines, 1);
            late
        });
        assert!(ends.is_some_and(|waits| (250..260).contains(&waits)), "{ends:?}");
    }

    #[test]
    fn without_a_rate_every_byte_buys_all_the_time() {
        let clock = Clock::new();
        let deadlines = clock.deadlines();
        let limits = ServerLimits { client_min_rate: 0, ..limits() };
        let pace = Pace::new(Wait::Write, &limits);
        for _ in 0..100 {
            pace.waits(&deadlines);
            clock.advance(Duration::from_secs(9));
            assert!(!deadlines.passed(Wait::Write));
            pace.moved(&deadlines, 1);
        }
    }

    fn limits() -> ServerLimits {
        let time = Duration::from_secs(10);
        ServerLimits {
            max_connections: 1,
            written_max_connections: 1,
            client_header_timeout: time,
            client_body_timeout: time,
            client_min_rate: 0,
            http2_max_concurrent_streams: 1,
            keepalive_timeout: time,
            max_header_size: 1,
            shutdown_timeout: time,
        }
    }
}
