//! One limit of one subject: a window that slides with time.

use std::collections::VecDeque;
use std::time::Duration;

use super::usage::{Limit, Standing};

/// How many instants a window remembers at most: the memory of one that is full is a kilobyte, and
/// a limit beyond is kept to a part in so many.
const INSTANTS: u32 = 128;

/// What was admitted of late. Times are nanoseconds since something that all of them share.
///
/// Requests are remembered in blocks, as many of them in one as it takes to have no more than
/// [`INSTANTS`], and a block counts until a window after its last request. So there are never more
/// in any window than the limit allows; up to 128 it is exact, and beyond at most one block, which
/// is less than a part in 128, comes a little later than it could.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) limit: Limit,
    /// How long it is.
    length: u64,
    /// How many requests are remembered as one.
    block: u32,
    /// When each block that is full had its last request, the oldest first.
    ends: VecDeque<u64>,
    /// How many requests there are in the block that is not full.
    open: u32,
    /// When the last request came.
    last: u64,
    /// When no request would be left that came at once with others: the theoretical arrival time
    /// of the generic cell rate algorithm (ITU-T I.371), where there is a burst.
    clear: u64,
}

impl Window {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limit,
            length: nanoseconds(limit.rate.window),
            block: limit.rate.count.div_ceil(INSTANTS),
            ends: VecDeque::new(),
            open: 0,
            last: 0,
            clear: 0,
        }
    }

    /// Whether one more may come now; else how long it must wait.
    pub(super) fn admits(&mut self, now: u64) -> Result<(), u64> {
        self.forget(now);
        let full = match self.used() >= self.limit.rate.count {
            true => self.next_free().saturating_sub(now),
            false => 0,
        };
        let ahead = self.limit.burst.map_or(0, |burst| {
            let ahead = (self.clear.max(now) - now) + self.interval();
            ahead.saturating_sub(u64::from(burst) * self.interval())
        });
        match full.max(ahead) {
            0 => Ok(()),
            wait => Err(wait),
        }
    }

    /// Counts one that [`Window::admits`].
    pub(super) fn charge(&mut self, now: u64) {
        // The clock of another worker may have been ahead.
        self.last = self.last.max(now);
        self.open += 1;
        if self.open == self.block {
            self.ends.push_back(self.last);
            self.open = 0;
        }
        if self.limit.burst.is_some() {
            self.clear = self.clear.max(now) + self.interval();
        }
    }

    /// How many may come at once now, and how long it takes until more may.
    pub(super) fn standing(&self, now: u64) -> Standing {
        let left = self.limit.rate.count.saturating_sub(self.used());
        let reset = self.next_free().saturating_sub(now);
        let (remaining, reset) = match self.limit.burst {
            None => (left, reset),
            Some(burst) => {
                let ahead = self.clear.max(now) - now;
                let taken = u32::try_from(ahead.div_ceil(self.interval())).unwrap_or(u32::MAX);
                match burst.saturating_sub(taken) {
                    even if even < left => (even, ahead.saturating_sub(1) % self.interval() + 1),
                    _ => (left, reset),
                }
            }
        };
        Standing::new(self.limit.rate, remaining, reset)
    }

    /// Whether nothing counts any more.
    pub(super) fn is_idle(&self, now: u64) -> bool {
        self.last + self.length <= now && self.clear <= now
    }

    fn forget(&mut self, now: u64) {
        while self.ends.front().is_some_and(|end| end + self.length <= now) {
            self.ends.pop_front();
        }
        if self.last + self.length <= now {
            self.open = 0;
        }
    }

    fn used(&self) -> u32 {
        // There are at most so many blocks as the limit has room for.
        u32::try_from(self.ends.len()).unwrap_or(INSTANTS) * self.block + self.open
    }

    /// When the oldest block is forgotten.
    fn next_free(&self) -> u64 {
        self.ends.front().unwrap_or(&self.last) + self.length
    }

    /// The time between two requests that come evenly.
    fn interval(&self) -> u64 {
        self.length.div_ceil(u64::from(self.limit.rate.count))
    }
}

/// A time in nanoseconds; those of five centuries fit.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}
