//! How often each subject may come: several limits at once, all of which must agree.

use std::hash::Hash;
use std::time::{Duration, Instant};

use super::clients::Clients;
use super::rate::Rate;
use super::subject::{Client, Subject};
use super::table::{SWEEP_PERIOD, State, Table};
use super::window::{Window, nanoseconds};

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// So many in any time as long as the window.
    pub rate: Rate,
    /// How many of them may come at once, and the rest evenly; absent: all.
    pub burst: Option<u32>,
    /// Whether it is a quota: one that waiting does not help with soon.
    pub is_quota: bool,
}

impl From<Rate> for Limit {
    fn from(rate: Rate) -> Self {
        Self { rate, burst: None, is_quota: false }
    }
}

/// How a subject stands against a limit, in the numbers that clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The most in a window.
    pub count: u32,
    /// The window, in whole seconds.
    pub window_s: u32,
    /// How many may still come now.
    pub remaining: u32,
    /// In how many seconds more may come than remain.
    pub reset_s: u32,
}

impl Standing {
    /// `reset` is in nanoseconds.
    pub(super) fn new(rate: Rate, remaining: u32, reset: u64) -> Self {
        Self {
            count: rate.count,
            window_s: whole_seconds(nanoseconds(rate.window)),
            remaining,
            reset_s: whole_seconds(reset),
        }
    }

    /// The one of two that is met first: fewer remain, or for longer.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let key = |standing: &Self| (standing.remaining, u32::MAX - standing.reset_s);
        if key(&other) < key(&self) { other } else { self }
    }
}

/// Nanoseconds as seconds, never fewer than it takes.
fn whole_seconds(time: u64) -> u32 {
    u32::try_from(time.div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
}

/// Why a request may not come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// How the limit stands that takes longest; none if there was no room to count a stranger.
    pub standing: Option<Standing>,
    /// How long until one more may come.
    pub wait: Duration,
    /// Whether that limit is a quota.
    pub is_quota: bool,
}

/// What all subjects have used of their limits.
#[derive(Debug)]
pub struct Usages(Table<Usage>);

impl Usages {
    /// Nothing is used yet; at most so many subjects are remembered.
    pub fn new(capacity: usize) -> Self {
        Self(Table::divided(capacity))
    }

    /// How many subjects are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Charges one request to every limit, or to none: then the limits do not all agree. It says
    /// how the strictest one stands; none if there is no limit.
    ///
    /// # Errors
    ///
    /// Why the request may not come now.
    pub fn charge(
        &self,
        subject: impl Hash,
        limits: &[Limit],
        now: Instant,
    ) -> Result<Option<Standing>, Refusal> {
        let charge = |usage: &mut Usage| usage.charge(limits, now);
        self.0.with(subject, now, || Usage::begin(now), charge).unwrap_or(Err(FULL))
    }
}

/// The same where some subjects are clients, who are strangers; the others are the operator's, and
/// no stranger adds to them.
#[derive(Debug)]
pub struct Counts {
    own: Usages,
    clients: Clients<Usage>,
}

/// How many keys, consumers or locations are remembered.
const OWN_LIMIT: usize = 1 << 21;

impl Default for Counts {
    fn default() -> Self {
        Self { own: Usages::new(OWN_LIMIT), clients: Clients::default() }
    }
}

impl Counts {
    /// As [`Usages::charge`].
    ///
    /// # Errors
    ///
    /// Why the request may not come now.
    pub fn charge(
        &self,
        subject: Subject,
        limits: &[Limit],
        now: Instant,
    ) -> Result<Option<Standing>, Refusal> {
        match subject {
            Subject::Number(number) => self.own.charge(number, limits, now),
            Subject::Client(client) => charge_client(&self.clients, client, limits, now),
        }
    }
}

/// Charges a client.
pub(super) fn charge_client(
    clients: &Clients<Usage>,
    client: Client,
    limits: &[Limit],
    now: Instant,
) -> Result<Option<Standing>, Refusal> {
    let charge = |usage: &mut Usage| usage.charge(limits, now);
    clients.with(client, now, || Usage::begin(now), charge).unwrap_or(Err(FULL))
}

/// There is no room to count a stranger.
const FULL: Refusal = Refusal { standing: None, wait: SWEEP_PERIOD, is_quota: false };

/// What one subject has used.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    /// The times of the windows are counted from here.
    begun: Instant,
    windows: Vec<Window>,
}

impl State for Usage {
    fn is_idle(&self, now: Instant) -> bool {
        let now = self.since_begun(now);
        self.windows.iter().all(|window| window.is_idle(now))
    }
}

impl Usage {
    fn begin(now: Instant) -> Self {
        Self { begun: now, windows: Vec::new() }
    }

    fn charge(&mut self, limits: &[Limit], now: Instant) -> Result<Option<Standing>, Refusal> {
        let now = self.since_begun(now);
        self.align(limits);
        let mut longest: Option<(u64, &Window)> = None;
        for window in &mut self.windows {
            if let Err(wait) = window.admits(now)
                && longest.is_none_or(|(known, _)| known < wait)
            {
                longest = Some((wait, window));
            }
        }
        if let Some((wait, window)) = longest {
            return Err(Refusal {
                standing: Some(Standing::new(window.limit.rate, 0, wait)),
                wait: Duration::from_nanos(wait),
                is_quota: window.limit.is_quota,
            });
        }
        let standings = self.windows.iter_mut().map(|window| {
            window.charge(now);
            window.standing(now)
        });
        Ok(standings.reduce(Standing::stricter))
    }

    /// Goes on with the windows of limits that are the same as before.
    fn align(&mut self, limits: &[Limit]) {
        if self.windows.iter().map(|window| &window.limit).eq(limits) {
            return;
        }
        let mut known = std::mem::take(&mut self.windows);
        let window = |limit: &Limit| match known.iter().position(|known| known.limit == *limit) {
            Some(at) => known.swap_remove(at),
            None => Window::new(*limit),
        };
        self.windows = limits.iter().map(window).collect();
    }

    fn since_begun(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.begun))
    }
}
