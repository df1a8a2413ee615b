//! A state for each of many subjects, shared by all workers, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often, at most, a part of a table is searched for what may be forgotten.
pub const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// From how many states on they are searched for what may be forgotten, as long as there is room.
const SWEEP_FROM: usize = 64;

/// In how many parts a large table is divided, so that workers seldom meet at one.
const PARTS: usize = 64;

/// What is remembered of a subject.
pub trait State {
    /// Whether a fresh state would serve as well, so that this one can be forgotten.
    fn is_idle(&self, now: Instant) -> bool;
}

/// States by the number of their subject.
#[derive(Debug)]
pub struct Table<S> {
    parts: Box<[Part<S>]>,
    /// How many states a part holds at most.
    room: usize,
    numbers: Numbers,
}

/// What of a table is locked together; on a cache line of its own, because workers on two lines
/// that are one would wait for each other.
#[derive(Debug)]
#[repr(align(64))]
struct Part<S>(Mutex<Known<S>>);

#[derive(Debug)]
struct Known<S> {
    states: HashMap<u64, S, BuildHasherDefault<Numbered>>,
    /// With how many states it is searched next for what may be forgotten.
    sweep_at: usize,
    /// When it was last searched.
    swept: Option<Instant>,
}

impl<S> Table<S> {
    /// A table of at most so many states, in parts that are locked each for itself.
    pub fn divided(capacity: usize) -> Self {
        Self::new(capacity, PARTS)
    }

    fn new(capacity: usize, parts: usize) -> Self {
        let part = |_| Part(Mutex::new(Known::default()));
        Self {
            parts: (0..parts).map(part).collect(),
            room: capacity / parts,
            numbers: Numbers::default(),
        }
    }

    /// The number of a subject in this table.
    pub(super) fn number(&self, subject: impl Hash) -> u64 {
        self.numbers.hash_one(subject)
    }

    /// How many states there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().states.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets `change` see the state with this number, if there is one, and forgets the state where
    /// it says so.
    pub(super) fn leave(&self, number: u64, change: impl FnOnce(&mut S) -> bool) {
        let mut known = self.part(number).lock();
        if known.states.get_mut(&number).is_some_and(change) {
            known.states.remove(&number);
        }
    }

    /// Lets `look` see the state with this number; none if there is none.
    pub(super) fn look<R>(&self, number: u64, look: impl FnOnce(&S) -> R) -> Option<R> {
        self.part(number).lock().states.get(&number).map(look)
    }

    fn part(&self, number: u64) -> &Part<S> {
        // The map takes the lowest bits and the highest ones.
        &self.parts[(number >> 32) as usize % self.parts.len()]
    }
}

impl<S: State> Table<S> {
    /// Lets `change` see the state of a subject, or a fresh one; none if the subject is a stranger
    /// and there is no room for one.
    pub fn with<R>(
        &self,
        subject: impl Hash,
        now: Instant,
        fresh: impl FnOnce() -> S,
        change: impl FnOnce(&mut S) -> R,
    ) -> Option<R> {
        self.with_number(self.number(subject), now, fresh, change)
    }

    /// The same by the subject's number.
    pub(super) fn with_number<R>(
        &self,
        number: u64,
        now: Instant,
        fresh: impl FnOnce() -> S,
        change: impl FnOnce(&mut S) -> R,
    ) -> Option<R> {
        self.try_with(number, now, || Some(fresh()), change)
    }

    /// The same where a stranger may be given no state, although there is room for one.
    pub(super) fn try_with<R>(
        &self,
        number: u64,
        now: Instant,
        begin: impl FnOnce() -> Option<S>,
        change: impl FnOnce(&mut S) -> R,
    ) -> Option<R> {
        let mut known = self.part(number).lock();
        if let Some(state) = known.states.get_mut(&number) {
            return Some(change(state));
        }
        if !known.make_room(self.room, now) {
            return None;
        }
        Some(change(known.states.entry(number).or_insert(begin()?)))
    }

    /// Forgets all that need not be remembered.
    pub(super) fn sweep(&self, now: Instant) {
        self.parts.iter().for_each(|part| part.lock().sweep(now));
    }
}

impl<S> Part<S> {
    fn lock(&self) -> MutexGuard<'_, Known<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Default for Known<S> {
    fn default() -> Self {
        Self { states: HashMap::default(), sweep_at: SWEEP_FROM, swept: None }
    }
}

impl<S: State> Known<S> {
    /// Whether one more subject can be remembered, after those were forgotten that need not be.
    /// They are searched when there are twice as many as were left last time, so that memory
    /// follows what is in use.
    fn make_room(&mut self, room: usize, now: Instant) -> bool {
        if self.states.len() >= self.sweep_at.min(room) && is_due(self.swept, now) {
            self.sweep(now);
        }
        self.states.len() < room
    }

    fn sweep(&mut self, now: Instant) {
        self.states.retain(|_, state| !state.is_idle(now));
        self.sweep_at = (2 * self.states.len()).max(SWEEP_FROM);
        self.states.shrink_to(self.sweep_at);
        self.swept = Some(now);
    }
}

/// Whether what was searched then, if ever, may be searched again.
pub(super) fn is_due(swept: Option<Instant>, now: Instant) -> bool {
    swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_PERIOD)
}

/// Gives subjects their numbers, by secrets of the table: nobody can choose two subjects that get
/// the same one, or many of one part.
#[derive(Debug)]
struct Numbers([u64; 2]);

impl Default for Numbers {
    fn default() -> Self {
        let random = RandomState::new();
        Self([random.hash_one(0), random.hash_one(1) | 1])
    }
}

impl BuildHasher for Numbers {
    type Hasher = Mixed;

    fn build_hasher(&self) -> Mixed {
        Mixed { mixed: self.0[0], factor: self.0[1] }
    }
}

/// Multiplies, and folds the product: of the 330 instructions that SipHash takes for a subject this
/// leaves 30.
struct Mixed {
    mixed: u64,
    factor: u64,
}

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.mixed
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.mixed ^ word) * u128::from(self.factor);
        let [low, high] = [product as u64, (product >> 64) as u64];
        self.mixed = low ^ high;
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}

/// Takes a number for its hash: it is one.
#[derive(Default)]
struct Numbered(u64);

impl Hasher for Numbered {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Idle from this instant on.
    struct Until(Instant);

    impl State for Until {
        fn is_idle(&self, now: Instant) -> bool {
            self.0 <= now
        }
    }

    /// Shows a stranger to a table.
    fn meet(table: &Table<Until>, subject: u32, now: Instant, idle_in: Duration) -> bool {
        table.with(subject, now, || Until(now + idle_in), |_| ()).is_some()
    }

    #[test]
    fn a_table_of_one_part_is_full_to_the_last_place() {
        let (table, now) = (Table::new(1000, 1), Instant::now());
        assert!((0..1000).all(|subject| meet(&table, subject, now, SWEEP_PERIOD)));
        assert!(!meet(&table, 1000, now, SWEEP_PERIOD) && meet(&table, 999, now, SWEEP_PERIOD));
        assert!(meet(&table, 1000, now + SWEEP_PERIOD, SWEEP_PERIOD));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn the_parts_of_a_table_fill_alike() {
        let (table, now) = (Table::divided(64_000), Instant::now());
        let met = (0..64_000).filter(|subject| meet(&table, *subject, now, SWEEP_PERIOD)).count();
        assert!((60_000..64_000).contains(&met), "{met}");
        assert_eq!(table.len(), met);
    }

    #[test]
    fn memory_follows_what_is_in_use() {
        let (table, mut now) = (Table::new(65_536, 1), Instant::now());
        let most = |table: &Table<Until>| table.parts[0].lock().states.capacity();
        assert!((0..65_536).all(|subject| meet(&table, subject, now, SWEEP_PERIOD)));
        assert!((65_536..=2 * 65_536).contains(&most(&table)));
        now += SWEEP_PERIOD;
        assert!(meet(&table, 65_536, now, SWEEP_PERIOD));
        assert!(most(&table) < 1000, "{}", most(&table));
    }
}
