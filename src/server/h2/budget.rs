//! How much a client may do that serves nobody, before it has to go.

use std::cell::Cell;
use std::time::Duration;

/// What may be spent: so much at once, and a little more every second.
#[derive(Debug)]
pub(super) struct Budget {
    most: u32,
    per_second: u32,
    left: Cell<u32>,
    /// The second up to which it was refilled.
    second: Cell<u64>,
}

impl Budget {
    /// A full budget.
    pub(super) const fn new(most: u32, per_second: u32) -> Self {
        Self { most, per_second, left: Cell::new(most), second: Cell::new(0) }
    }

    /// Spends one; says whether there was one left.
    pub(super) fn spend(&self, now: Duration) -> bool {
        let passed = now.as_secs().saturating_sub(self.second.get());
        if passed > 0 {
            self.second.set(now.as_secs());
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            self.refund(passed.saturating_mul(self.per_second));
        }
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    /// Gives back what was earned.
    pub(super) fn refund(&self, count: u32) {
        self.left.set(self.left.get().saturating_add(count).min(self.most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spendable(budget: &Budget, now: u64) -> usize {
        (0..1000).take_while(|_| budget.spend(Duration::from_secs(now))).count()
    }

    #[test]
    fn what_is_spent_comes_back_with_time_and_with_what_is_earned() {
        let budget = Budget::new(10, 3);
        assert_eq!(spendable(&budget, 0), 10);
        assert_eq!(spendable(&budget, 0), 0);
        assert_eq!(spendable(&budget, 2), 6);
        budget.refund(4);
        assert_eq!(spendable(&budget, 2), 4);
        assert_eq!(spendable(&budget, 1_000_000_000_000), 10);
        budget.refund(100);
        assert_eq!(spendable(&budget, 1), 10);
    }
}
