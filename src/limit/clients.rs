//! A state for each of many clients, in bounded memory, in which nobody takes the places of others.
//!
//! Who has a large network has more addresses than any table has places. A table that forgets
//! somebody to make room gives fresh states away, to those who come from enough addresses; one that
//! refuses strangers when it is full lets whoever fills it shut everybody else out. Hence:
//!
//! - **A provider's network may hold as many places as are free** and no more, which is how
//!   switches share their buffers (Choudhury and Hahne, "Dynamic queue length thresholds for
//!   shared-memory packet switches"). One that takes all it gets has half of the places, two have a
//!   third each: there is always room for clients of others, and nothing is set aside for that.
//! - **Who finds no place counts as its site**, and where that finds none as its provider. So those
//!   who share a state are those whose own network has taken its places.
//! - **Nobody has a fresh state for moving.** A client that finds a place of its own takes over
//!   what its network has used, which is no less than what it has used itself; and a state that is
//!   not idle is never forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::subject::Client;
use super::table::{State, Table, is_due};

/// As what a client counts: as itself, as its site, or as its provider.
pub(super) const LEVELS: usize = 3;

/// How many of each are remembered, of IPv4 and of IPv6 for themselves.
const ROOMS: [usize; LEVELS] = [65_536, 16_384, 16_384];

/// The states of clients.
#[derive(Debug)]
pub struct Clients<S> {
    v4: [Level<S>; LEVELS],
    v6: [Level<S>; LEVELS],
}

/// The states of networks that are equally large.
#[derive(Debug)]
struct Level<S> {
    table: Table<Placed<S>>,
    shares: Arc<Shares>,
}

/// A state in its place.
#[derive(Debug)]
struct Placed<S> {
    state: S,
    _share: Share,
}

impl<S: State> State for Placed<S> {
    fn is_idle(&self, now: Instant) -> bool {
        self.state.is_idle(now)
    }
}

impl<S> Default for Clients<S> {
    fn default() -> Self {
        Self::new(ROOMS)
    }
}

impl<S> Clients<S> {
    fn new(rooms: [usize; LEVELS]) -> Self {
        let level = |room| Level {
            table: Table::divided(room),
            shares: Arc::new(Shares { room, taken: Mutex::default() }),
        };
        Self { v4: rooms.map(level), v6: rooms.map(level) }
    }

    /// How many states there are.
    pub fn len(&self) -> usize {
        self.v4.iter().chain(&self.v6).map(|level| level.table.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<S: State + Clone> Clients<S> {
    /// Lets `change` see the state by which a client counts; none if there is no room for one.
    pub fn with<R>(
        &self,
        client: Client,
        now: Instant,
        fresh: impl Fn() -> S,
        change: impl Fn(&mut S) -> R,
    ) -> Option<R> {
        let levels = if let Client::V6(_) = client { &self.v6 } else { &self.v4 };
        let networks = client.networks();
        let [.., provider] = networks;
        levels.iter().zip(networks).enumerate().find_map(|(at, (level, network))| {
            let wider = || levels.iter().zip(networks).skip(at + 1);
            let begin = || {
                let share = Share::take(&level.shares, provider)?;
                let used = wider().find_map(|(level, network)| level.used(network));
                Some(Placed { state: used.unwrap_or_else(&fresh), _share: share })
            };
            let number = level.table.number(network);
            let place =
                || level.table.try_with(number, now, begin, |placed| change(&mut placed.state));
            place().or_else(|| level.forgets_idle(now).then(place)?)
        })
    }
}

impl<S: State + Clone> Level<S> {
    /// Forgets those that need not be remembered, but not again and again; says whether it did.
    fn forgets_idle(&self, now: Instant) -> bool {
        let mut taken = self.shares.lock();
        if !is_due(taken.swept, now) {
            return false;
        }
        taken.swept = Some(now);
        drop(taken);
        self.table.sweep(now);
        true
    }

    /// What a network has used.
    fn used(&self, network: u64) -> Option<S> {
        self.table.look(self.table.number(network), |placed| placed.state.clone())
    }
}

/// How many places each provider's network holds. Only where a place is taken or left is it locked:
/// clients that are known do not meet here.
#[derive(Debug)]
struct Shares {
    room: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<u64, usize>,
    /// When it was last searched who can be forgotten.
    swept: Option<Instant>,
}

impl Shares {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that a provider's network holds until this is dropped.
#[derive(Debug)]
struct Share {
    shares: Arc<Shares>,
    provider: u64,
}

impl Share {
    /// Takes a place, if fewer are held by the provider's network than are free.
    fn take(shares: &Arc<Shares>, provider: u64) -> Option<Self> {
        let mut taken = shares.lock();
        let free = shares.room.saturating_sub(taken.all);
        let own = taken.by.get(&provider).copied().unwrap_or_default();
        (own < free).then(|| {
            taken.all += 1;
            taken.by.insert(provider, own + 1);
            Self { shares: Arc::clone(shares), provider }
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.lock();
        taken.all = taken.all.saturating_sub(1);
        match taken.by.get_mut(&self.provider) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.by.remove(&self.provider)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::rate::Rate;
    use super::super::usage::{Limit, Usage, charge_client};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limit(rate: &str) -> [Limit; 1] {
        [Rate::parse(rate).unwrap().into()]
    }

    /// The client with this address, or the network of 64 bits with this number in one of 32 bits.
    fn v4(address: u32) -> Client {
        Client::V4(address.to_be_bytes())
    }

    fn v6(provider: u32, network: u32) -> Client {
        Client::V6((u64::from(provider) << 32 | u64::from(network)).to_be_bytes())
    }

    /// Whether a request of a client is admitted.
    fn admits(clients: &Clients<Usage>, client: Client, limits: &[Limit], now: Instant) -> bool {
        charge_client(clients, client, limits, now).is_ok()
    }

    const ATTACKER: u32 = 0x2001_0db8;

    /// A table in which somebody has taken all places that a network of 32 bits gets.
    fn stuffed(limits: &[Limit], now: Instant) -> Clients<Usage> {
        let clients = Clients::default();
        for n in 0..100_000_u32 {
            admits(&clients, v6(ATTACKER, n * 40_000), limits, now);
        }
        // Half of the places for clients and for sites, and one for the provider.
        assert_eq!(clients.len(), 32_768 + 8192 + 1);
        clients
    }

    #[test]
    fn whoever_comes_from_everywhere_in_a_network_keeps_nobody_else_out() {
        let (limits, start) = (limit("3/1h"), Instant::now());
        let clients = stuffed(&limits, start);
        let left = |client: Client, now: Instant| {
            charge_client(&clients, client, &limits, now)
                .map(|standing| standing.unwrap().remaining)
                .ok()
        };
        // Many at once, from elsewhere and from one network: each is counted for itself.
        for n in 0..10_000 {
            for client in [v4(n << 12), v6(0x2a00_0000 + n, 1), v6(0x2600_0000, n)] {
                assert_eq!(left(client, start), Some(2), "{client:?}");
                assert_eq!(left(client, start + SECOND), Some(1), "{client:?}");
            }
        }
        // Who was there before goes on, and who comes from the network of the others counts as a
        // part of it.
        assert_eq!(left(v6(ATTACKER, 0), start), Some(1));
        assert_eq!(left(v6(ATTACKER, 1), start), None);
        // Once nothing counts any more all are as they were.
        let later = start + 3601 * SECOND;
        for n in [1, 2, 3] {
            assert_eq!(left(v6(ATTACKER, n), later), Some(2));
        }
    }

    #[test]
    fn two_that_fill_what_they_can_leave_a_third() {
        let (limits, now) = (limit("1/1h"), Instant::now());
        let clients = Clients::default();
        for n in 0..400_000_u32 {
            for provider in [ATTACKER, ATTACKER + 1] {
                admits(&clients, v6(provider, n << 8), &limits, now);
            }
        }
        let [level, ..] = &clients.v6;
        assert!((43_000..=44_000).contains(&level.table.len()), "{}", level.table.len());
        let others = |n: &u32| admits(&clients, v6(0x2a00_0000 + n, 1), &limits, now);
        assert_eq!((0..10_000).filter(others).count(), 10_000);
    }

    #[test]
    fn a_client_without_an_address_is_one() {
        let (clients, limits, now) = (Clients::default(), limit("1/1h"), Instant::now());
        assert!(admits(&clients, Client::Unknown, &limits, now));
        assert!(!admits(&clients, Client::Unknown, &limits, now));
        assert_eq!(clients.len(), 1);
    }

    #[test]
    fn who_leaves_leaves_a_place() {
        let (clients, limits, start) = (Clients::default(), limit("1/1s"), Instant::now());
        for second in 0..5 {
            let now = start + second * SECOND;
            let new = |n: &u32| admits(&clients, v6(ATTACKER, n << 12 | second), &limits, now);
            assert_eq!((0..32_000).filter(new).count(), 32_000, "in second {second}");
        }
        let [shares, ..] = Clients::<Usage>::default().v4.map(|level| level.shares);
        let share = Share::take(&shares, 1);
        assert!(share.is_some() && shares.taken.lock().unwrap().all == 1);
        drop(share);
        assert!(shares.taken.lock().unwrap().by.is_empty());
    }

    proptest! {
        /// However many come and go, and wherever they are counted, no client is ever admitted more
        /// often than its limit allows.
        #[test]
        fn no_client_gets_more_for_moving(
            steps in prop::collection::vec((0..4_u32, 0..1200_u32, 0..40_u64), 200..1500),
            count in 1..4_u32,
        ) {
            // So little room that there is a lot of moving.
            let (clients, start) = (Clients::new([256, 128, 64]), Instant::now());
            let limits = limit(&format!("{count}/1s"));
            let mut admitted: HashMap<Client, Vec<Instant>> = HashMap::new();
            let mut now = start;
            for (provider, network, gap) in steps {
                now += Duration::from_millis(gap.saturating_sub(20));
                let client = v6(provider, (network % 40) << 14 | network);
                if admits(&clients, client, &limits, now) {
                    admitted.entry(client).or_default().push(now);
                }
            }
            for times in admitted.values() {
                for (first, next) in times.iter().zip(times.iter().skip(count as usize)) {
                    prop_assert!(*next >= *first + SECOND);
                }
            }
        }
    }
}
