//! How many invalid keys a client address may send.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limit::clients::Clients;
use crate::limit::rate::Rate;
use crate::limit::subject::Client;
use crate::limit::table::{SWEEP_PERIOD, State};

/// The most failures in a window: whoever may send more keys need not be counted.
const COUNT_LIMIT: u32 = 10_000;

/// The longest window.
const WINDOW_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// So many failures in so long a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit(Rate);

impl Limit {
    /// Reads `N/duration`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rate = Rate::parse(text)?;
        if rate.count > COUNT_LIMIT {
            return Err(format!("before \"/\" stands a number from 1 to {COUNT_LIMIT}"));
        }
        if rate.window > WINDOW_LIMIT {
            return Err("after \"/\" stands a duration from 1s to 1d".to_owned());
        }
        Ok(Self(rate))
    }
}

/// The failures of all clients, by the generic cell rate algorithm: one instant a client. Only
/// failures meet at its lock.
#[derive(Debug)]
pub(super) struct Failures {
    pub(super) limit: Limit,
    clients: Clients<Clear>,
}

/// When a client will have no failure left to be held against it.
#[derive(Clone, Debug)]
struct Clear(Instant);

impl State for Clear {
    fn is_idle(&self, now: Instant) -> bool {
        self.0 <= now
    }
}

impl Failures {
    /// No failures yet.
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, clients: Clients::default() }
    }

    /// Counts one failure, or says how long the client must wait for the next one.
    pub(super) fn count(&self, client: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let Rate { count, window } = self.limit.0;
        let fail = |clear: &mut Clear| {
            let next = clear.0.max(now) + window / count;
            let wait = next.saturating_duration_since(now).saturating_sub(window);
            if wait.is_zero() {
                clear.0 = next;
                Ok(())
            } else {
                Err(wait)
            }
        };
        let counted = self.clients.with(Client::from(client), now, || Clear(now), fail);
        counted.unwrap_or(Err(SWEEP_PERIOD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failures(limit: &str) -> Failures {
        Failures::new(Limit::parse(limit).unwrap())
    }

    #[track_caller]
    fn check(failures: &Failures, client: &str, now: Instant, expected: Result<(), u64>) {
        let client = (client != "none").then(|| client.parse().unwrap());
        let expected = expected.map_err(Duration::from_secs);
        assert_eq!(failures.count(client, now), expected);
    }

    #[test]
    fn so_many_are_allowed_and_then_one_each_part_of_the_window() {
        let (failures, start) = (failures("3/30s"), Instant::now());
        for _ in 0..3 {
            check(&failures, "192.0.2.1", start, Ok(()));
        }
        check(&failures, "192.0.2.1", start, Err(10));
        check(&failures, "192.0.2.1", start + 4 * SECOND, Err(6));
        check(&failures, "192.0.2.2", start, Ok(()));
        check(&failures, "192.0.2.1", start + 10 * SECOND, Ok(()));
        check(&failures, "192.0.2.1", start + 10 * SECOND, Err(10));
        for _ in 0..3 {
            check(&failures, "192.0.2.1", start + 60 * SECOND, Ok(()));
        }
        check(&failures, "192.0.2.1", start + 60 * SECOND, Err(10));
    }

    #[test]
    fn who_shares_a_network_shares_the_count() {
        for (first, second, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("192.0.2.1", "192.0.2.2", false),
            ("none", "none", true),
            ("none", "192.0.2.1", false),
        ] {
            let (failures, now) = (failures("1/10s"), Instant::now());
            check(&failures, first, now, Ok(()));
            check(&failures, second, now, if same { Err(10) } else { Ok(()) });
        }
    }

    #[test]
    fn who_fails_from_all_over_a_network_is_counted_by_it_and_others_for_themselves() {
        let (failures, start) = (failures("2/10s"), Instant::now());
        let fail = |n: u128| {
            let address = (0x2001_0db8 << 96) | (n << 64);
            failures.count(Some(IpAddr::V6(address.into())), start).is_ok()
        };
        let failed = (0..200_000).filter(|n| fail(*n)).count();
        assert!((32_768..33_000).contains(&failed), "{failed}");
        for stranger in ["2001:db9::1", "192.0.2.1"] {
            check(&failures, stranger, start, Ok(()));
            check(&failures, stranger, start, Ok(()));
            check(&failures, stranger, start, Err(5));
        }
    }

    #[test]
    fn a_million_addresses_are_not_remembered_and_none_gets_more_than_its_share() {
        let (failures, start) = (failures("2/10s"), Instant::now());
        for client in 0..1_000_000_u32 {
            let now = start + Duration::from_micros(client.into());
            let _ = failures.count(Some(IpAddr::V4(client.into())), now);
        }
        assert!(failures.clients.len() <= 65_536 + 16_384 + 16_384);
        // Who was there first is remembered, whoever came since.
        check(&failures, "0.0.0.0", start + SECOND, Ok(()));
        check(&failures, "0.0.0.0", start + SECOND, Err(4));
    }

    #[test]
    fn a_clock_that_is_a_little_behind_counts_as_well() {
        let (failures, now) = (failures("1/10s"), Instant::now() + 10 * SECOND);
        check(&failures, "192.0.2.1", now, Ok(()));
        check(&failures, "192.0.2.1", now - SECOND, Err(11));
    }

    #[test]
    fn a_limit_is_a_number_and_a_duration() {
        for text in ["1/1s", "10/1m", "10000/1d"] {
            assert!(Limit::parse(text).is_ok(), "{text}");
        }
        for text in
            ["", "10", "/", "10/", "/1m", "0/1m", "-1/1m", "10001/1m", "10/1", "10/0s", "10/2d"]
        {
            assert!(Limit::parse(text).is_err(), "{text}");
        }
    }
}
