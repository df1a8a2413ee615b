//! Which address of an upstream gets the next request; pure.

use crate::plan::Balance;

/// What is known about one address when a choice is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Its share of the requests; at least 1.
    pub(crate) weight: u32,
    /// Requests in flight to it.
    pub(crate) active: u32,
    /// Whether it may be chosen.
    pub(crate) eligible: bool,
}

/// The memory of a choice: how far each address is behind its share.
#[derive(Debug, Default)]
pub(crate) struct Turns(Vec<i64>);

impl Turns {
    /// Chooses one of the eligible candidates, if there is any.
    pub(crate) fn choose(&mut self, balance: Balance, candidates: &[Candidate]) -> Option<usize> {
        match balance {
            Balance::RoundRobin => self.round_robin(candidates),
            Balance::LeastConn => {
                let fewest = candidates
                    .iter()
                    .filter(|candidate| candidate.eligible)
                    .min_by(|a, b| load_order(a, b))
                    .copied()?;
                // Those that are equally loaded take turns.
                let tied: Vec<Candidate> = candidates
                    .iter()
                    .map(|candidate| Candidate {
                        eligible: candidate.eligible && load_order(candidate, &fewest).is_eq(),
                        ..*candidate
                    })
                    .collect();
                self.round_robin(&tied)
            }
        }
    }

    /// Smooth weighted round-robin, as nginx does it: with weights 5, 1, 1 the turns are a a b a c
    /// a a, not five times a in a row.
    fn round_robin(&mut self, candidates: &[Candidate]) -> Option<usize> {
        self.0.resize(candidates.len(), 0);
        let mut total = 0;
        let mut chosen: Option<usize> = None;
        for (index, candidate) in candidates.iter().enumerate().filter(|(_, c)| c.eligible) {
            total += i64::from(candidate.weight);
            self.0[index] += i64::from(candidate.weight);
            if chosen.is_none_or(|best| self.0[index] > self.0[best]) {
                chosen = Some(index);
            }
        }
        self.0[chosen?] -= total;
        chosen
    }
}

/// Compares requests in flight for each unit of weight.
fn load_order(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    let a_scaled = u64::from(a.active) * u64::from(b.weight);
    let b_scaled = u64::from(b.active) * u64::from(a.weight);
    a_scaled.cmp(&b_scaled)
}

#[cfg(test)]
mod tests {
    use proptest::collection;
    use proptest::prelude::*;

    use super::*;

    fn candidates(all: &[(u32, u32, bool)]) -> Vec<Candidate> {
        all.iter()
            .map(|&(weight, active, eligible)| Candidate { weight, active, eligible })
            .collect()
    }

    #[track_caller]
    fn check(balance: Balance, all: &[(u32, u32, bool)], expected: &[Option<usize>]) {
        let mut turns = Turns::default();
        let chosen: Vec<_> =
            expected.iter().map(|_| turns.choose(balance, &candidates(all))).collect();
        assert_eq!(chosen, expected);
    }

    #[test]
    fn round_robin_takes_turns_by_weight() {
        let all = [(1, 9, true), (1, 0, true)];
        check(Balance::RoundRobin, &all, &[Some(0), Some(1), Some(0), Some(1)]);
        let all = [(5, 0, true), (1, 0, true), (1, 0, true)];
        let turns = [0, 0, 1, 0, 2, 0, 0].map(Some);
        check(Balance::RoundRobin, &all, &turns);
    }

    #[test]
    fn least_conn_takes_the_least_loaded_for_its_weight() {
        check(Balance::LeastConn, &[(1, 2, true), (1, 1, true)], &[Some(1)]);
        check(Balance::LeastConn, &[(4, 4, true), (1, 2, true)], &[Some(0)]);
        check(Balance::LeastConn, &[(1, 1, true), (1, 1, true)], &[Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn what_is_not_eligible_is_never_chosen() {
        for balance in [Balance::RoundRobin, Balance::LeastConn] {
            check(balance, &[(9, 0, false), (1, 5, true)], &[Some(1), Some(1)]);
            check(balance, &[(1, 0, false)], &[None]);
            check(balance, &[], &[None]);
        }
    }

    fn weights() -> impl Strategy<Value = Vec<u32>> {
        collection::vec(1..20_u32, 1..8)
    }

    proptest! {
        /// Each gets its share of every round, and at no time more than one request ahead of it: no
        /// bursts, however the weights differ.
        #[test]
        fn round_robin_is_smooth(weights in weights()) {
            let all: Vec<_> = weights.iter().map(|&weight| (weight, 0, true)).collect();
            let (mut turns, mut given) = (Turns::default(), vec![0; weights.len()]);
            let total: u32 = weights.iter().sum();
            for turn in 1..=2 * total {
                let chosen = turns.choose(Balance::RoundRobin, &candidates(&all)).expect("there is one");
                given[chosen] += 1;
                for (given, weight) in given.iter().zip(&weights) {
                    prop_assert!((given - 1) * i64::from(total) < i64::from(weight * turn));
                }
            }
            let shares: Vec<_> = weights.iter().map(|&weight| i64::from(2 * weight)).collect();
            prop_assert_eq!(given, shares);
        }

        /// Whoever is chosen has the fewest requests for its weight, and of requests that never end
        /// each gets its share.
        #[test]
        fn least_conn_fills_by_weight(weights in weights()) {
            let mut all: Vec<_> = weights.iter().map(|&weight| (weight, 0, true)).collect();
            let mut turns = Turns::default();
            for _ in 0..weights.iter().sum() {
                let chosen = turns.choose(Balance::LeastConn, &candidates(&all)).expect("there is one");
                let load = |one: (u32, u32, bool)| f64::from(one.1) / f64::from(one.0);
                prop_assert!(all.iter().all(|one| load(all[chosen]) <= load(*one)));
                all[chosen].1 += 1;
            }
            prop_assert!(all.iter().all(|(weight, active, _)| active <= weight));
        }
    }
}
