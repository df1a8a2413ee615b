//! What holds of every limit, against the list of all requests that were ever admitted.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::rate::Rate;
use super::usage::{Limit, Refusal, Standing, Usages};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn limit(rate: &str) -> Limit {
    Rate::parse(rate).unwrap().into()
}

/// Every request that was admitted, by which any limit can be judged.
struct Model {
    start: Instant,
    admitted: Vec<Instant>,
}

impl Model {
    /// How many were admitted within the window that ends now.
    fn within(&self, window: Duration, now: Instant) -> usize {
        let counts = |at: &&Instant| **at + window > now;
        self.admitted.iter().rev().take_while(counts).count()
    }

    /// No window of a limit ever holds more than it allows.
    fn assert_never_more(&self, limit: Limit) {
        let count = limit.rate.count as usize;
        for (first, next) in self.admitted.iter().zip(self.admitted.iter().skip(count)) {
            let apart = next.duration_since(*first);
            assert!(apart >= limit.rate.window, "{:?}", first.duration_since(self.start));
        }
    }
}

/// Has requests come, each so many milliseconds after the one before, and asks `judge` about each.
fn come(
    limits: &[Limit],
    gaps: &[u64],
    mut judge: impl FnMut(&Model, Instant, &Result<Option<Standing>, Refusal>),
) -> Model {
    let (usages, mut now) = (Usages::new(64), Instant::now());
    let mut model = Model { start: now, admitted: Vec::new() };
    for gap in gaps {
        now += MILLISECOND * u32::try_from(*gap).unwrap();
        let outcome = usages.charge(0, limits, now);
        judge(&model, now, &outcome);
        if outcome.is_ok() {
            model.admitted.push(now);
        }
    }
    model
}

/// Gaps of a stream that is a burst here and a trickle there.
fn gaps() -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![6 => Just(0_u64), 6 => 1..20_u64, 3 => 100..900_u64, 1 => 900..4000_u64];
    prop::collection::vec(gap, 1..600)
}

fn rate(count: impl Strategy<Value = u32>) -> impl Strategy<Value = Limit> {
    (count, 1..4_u64)
        .prop_map(|(count, seconds)| Rate { count, window: Duration::from_secs(seconds) }.into())
}

proptest! {
    /// Up to as many as there are instants, a request is admitted exactly if the window has room.
    #[test]
    fn small_limits_are_exact(limit in rate(1..=128_u32), gaps in gaps()) {
        let model = come(&[limit], &gaps, |model, now, outcome| {
            let room = model.within(limit.rate.window, now) < limit.rate.count as usize;
            assert_eq!(outcome.is_ok(), room);
        });
        model.assert_never_more(limit);
    }

    /// Beyond, never too many are, and none is refused but for the last part in 128.
    #[test]
    fn large_limits_are_never_exceeded_and_nearly_reached(
        limit in rate(129..=500_u32),
        gaps in gaps(),
    ) {
        let model = come(&[limit], &gaps, |model, now, outcome| {
            let (within, count) = (model.within(limit.rate.window, now), limit.rate.count as usize);
            assert!(outcome.is_ok() || within + count / 128 >= count, "{within} of {count}");
        });
        model.assert_never_more(limit);
    }

    /// With several limits a request is admitted exactly if all of them have room, and one that is
    /// refused takes room of none.
    #[test]
    fn all_limits_agree_or_none_is_charged(
        limits in prop::collection::vec(rate(1..=60_u32), 1..4),
        gaps in gaps(),
    ) {
        let model = come(&limits, &gaps, |model, now, outcome| {
            let left = limits.iter().map(|limit| {
                let Rate { count, window } = limit.rate;
                (count as usize).saturating_sub(model.within(window, now))
            });
            let left = left.min().unwrap();
            match outcome {
                Ok(standing) => assert_eq!(standing.unwrap().remaining as usize + 1, left),
                Err(_) => assert_eq!(left, 0),
            }
        });
        for limit in &limits {
            model.assert_never_more(*limit);
        }
    }

    /// Who is refused is told the very first instant at which the same request is admitted.
    #[test]
    fn the_wait_is_exact(
        limit in rate(1..=300_u32),
        burst in prop::option::of(1..=300_u32),
        gaps in gaps(),
    ) {
        let limit = Limit { burst: burst.map(|burst| burst.min(limit.rate.count)), ..limit };
        let (usages, mut now) = (Usages::new(64), Instant::now());
        for gap in gaps {
            now += MILLISECOND * u32::try_from(gap).unwrap();
            let Err(refusal) = usages.charge(0, &[limit], now) else { continue };
            let early = now + refusal.wait - Duration::from_nanos(1);
            let before = usages.charge(0, &[limit], early).map_err(|refusal| refusal.wait);
            prop_assert_eq!(before, Err(Duration::from_nanos(1)));
            now += refusal.wait;
            prop_assert!(usages.charge(0, &[limit], now).is_ok());
        }
    }

    /// With a burst, no stretch of time holds more than the burst and what comes evenly beside it.
    #[test]
    fn a_burst_bounds_what_comes_at_once(
        limit in rate(1..=128_u32),
        burst in 1..=128_u32,
        gaps in gaps(),
    ) {
        let burst = burst.min(limit.rate.count);
        let limit = Limit { burst: Some(burst), ..limit };
        let model = come(&[limit], &gaps, |_, _, _| {});
        model.assert_never_more(limit);
        let interval = limit.rate.window.div_duration_f64(SECOND) / f64::from(limit.rate.count);
        for (from, first) in model.admitted.iter().enumerate() {
            for (number, last) in model.admitted[from..].iter().enumerate() {
                let even = last.duration_since(*first).as_secs_f64() / interval;
                let most = f64::from(burst) + even;
                prop_assert!(((number + 1) as f64) <= most + 1e-6, "{number} > {most}");
            }
        }
    }
}

/// A limit at which ten times as many requests come as it allows, evenly, for five windows.
#[track_caller]
fn check_overload(rate: &str, per_window: u32, least: usize) {
    let limit = limit(rate);
    let (usages, start) = (Usages::new(64), Instant::now());
    let comes = |number: u32| start + limit.rate.window * number / per_window;
    let admits = |number: &u32| usages.charge(0, &[limit], comes(*number)).is_ok();
    let admitted: Vec<_> = (0..5 * per_window).filter(admits).collect();
    let most = limit.rate.count as usize;
    for from in 0..4 * per_window {
        let within = admitted.iter().filter(|at| (from..from + per_window).contains(at)).count();
        assert!((least..=most).contains(&within), "{within} from {from}");
    }
}

#[test]
fn a_limit_is_used_up_in_every_window_under_overload() {
    check_overload("1/1s", 10, 1);
    check_overload("100/1s", 1000, 100);
    check_overload("128/10s", 1280, 128);
    check_overload("300/1m", 3000, 298);
}

#[test]
fn the_whole_limit_comes_at_once_and_then_none() {
    for count in [1, 2, 100, 128, 129, 255, 1000, 10_000] {
        let (usages, now) = (Usages::new(64), Instant::now());
        let limit = limit(&format!("{count}/1s"));
        for left in (0..count).rev() {
            let standing = usages.charge(0, &[limit], now).unwrap().unwrap();
            let expected = Standing { count, window_s: 1, remaining: left, reset_s: 1 };
            assert_eq!(standing, expected);
        }
        let refusal = usages.charge(0, &[limit], now).unwrap_err();
        assert_eq!(refusal.wait, SECOND);
        assert_eq!(refusal.standing.unwrap().remaining, 0);
    }
}

#[test]
fn there_is_no_burst_at_the_edge_of_a_window() {
    let (usages, start) = (Usages::new(64), Instant::now());
    let limit = [limit("10/10s")];
    let admitted = |at| (0..20).filter(|_| usages.charge(0, &limit, at).is_ok()).count();
    assert_eq!(admitted(start + 9 * SECOND), 10);
    assert_eq!(admitted(start + 11 * SECOND), 0);
    assert_eq!(admitted(start + 19 * SECOND), 10);
}

#[test]
fn the_longest_wait_is_told_and_whether_it_is_a_quota() {
    let (usages, now) = (Usages::new(64), Instant::now());
    let day = Limit { is_quota: true, ..limit("2/1d") };
    let limits = [limit("1/1s"), day];
    let told = |at| {
        let refusal = usages.charge(0, &limits, at).unwrap_err();
        (refusal.wait, refusal.is_quota, refusal.standing.unwrap().window_s)
    };
    usages.charge(0, &limits, now).unwrap();
    assert_eq!(told(now), (SECOND, false, 1));
    usages.charge(0, &limits, now + SECOND).unwrap();
    assert_eq!(told(now + SECOND), (86_399 * SECOND, true, 86_400));
}

#[test]
fn what_limits_have_in_common_goes_on_when_others_change() {
    let (usages, now) = (Usages::new(64), Instant::now());
    let (minute, hour, day) = (limit("3/1m"), limit("9/1h"), limit("2/1d"));
    let left = |limits: &[Limit]| {
        usages.charge(0, limits, now).map(|standing| standing.unwrap().remaining)
    };
    assert_eq!(left(&[minute, hour]), Ok(2));
    assert_eq!(left(&[hour, minute]), Ok(1));
    assert_eq!(left(&[minute, day]), Ok(0));
    assert!(left(&[minute, day]).is_err());
    assert_eq!(left(&[day]), Ok(0));
}

#[test]
fn without_a_limit_everything_comes() {
    let (usages, now) = (Usages::new(64), Instant::now());
    assert!((0..1000).all(|_| usages.charge(0, &[], now) == Ok(None)));
}

#[test]
fn a_clock_that_is_a_little_behind_counts_as_well() {
    let (usages, now) = (Usages::new(64), Instant::now() + SECOND);
    let limits = [limit("2/10s")];
    usages.charge(0, &limits, now).unwrap();
    usages.charge(0, &limits, now - SECOND).unwrap();
    assert!(usages.charge(0, &limits, now - SECOND).is_err());
    assert_eq!(usages.charge(0, &limits, now).unwrap_err().wait, 10 * SECOND);
}

#[test]
fn strangers_are_refused_where_nobody_can_be_forgotten_and_memory_is_bounded() {
    const ROOM: usize = 6400;
    let (usages, start) = (Usages::new(ROOM), Instant::now());
    let limits = [limit("2/10s")];
    let refused = (0..20 * ROOM).filter(|subject| usages.charge(subject, &limits, start).is_err());
    assert!(refused.count() >= 19 * ROOM && usages.len() <= ROOM);
    let stranger = "stranger";
    let refusal = usages.charge(stranger, &limits, start).unwrap_err();
    assert_eq!((refusal.standing, refusal.wait), (None, SECOND));
    // Who is known is counted as ever.
    let known: Vec<_> = (0..20 * ROOM)
        .filter(|subject| usages.charge(subject, &limits, start + SECOND).is_ok())
        .collect();
    assert_eq!(known.len(), usages.len());
    assert!(known.iter().all(|subject| usages.charge(subject, &limits, start + SECOND).is_err()));
    // Once nobody counts any more, there is room again.
    assert!(usages.charge(stranger, &limits, start + 11 * SECOND).is_ok());
    assert!(usages.len() < ROOM);
}

#[test]
fn who_is_idle_is_forgotten_before_there_is_no_room() {
    let (usages, start) = (Usages::new(1 << 20), Instant::now());
    for subject in 0..200_000_u32 {
        let now = start + MILLISECOND * subject;
        usages.charge(subject, &[limit("5/1s")], now).unwrap();
    }
    assert!(usages.len() < 40_000, "{} are remembered", usages.len());
}

#[test]
fn threads_together_never_get_more_than_there_is() {
    let (usages, now) = (Usages::new(64), Instant::now());
    let admit = || (0..5000).filter(|_| usages.charge(0, &[limit("1000/1h")], now).is_ok()).count();
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(admit)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 1000);
}
