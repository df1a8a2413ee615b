//! How many requests of each subject there may be at once.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use super::table::{State, Table};

/// Of how many subjects there are requests at a time, at most: more than there can be connections.
const SUBJECTS_LIMIT: usize = 1 << 20;

/// The places that requests hold.
#[derive(Debug)]
pub struct Places(Table<Held>);

/// How many places a subject holds; one that holds none is not remembered.
#[derive(Debug)]
struct Held(u32);

impl State for Held {
    fn is_idle(&self, _: Instant) -> bool {
        self.0 == 0
    }
}

impl Default for Places {
    fn default() -> Self {
        Self(Table::divided(SUBJECTS_LIMIT))
    }
}

impl Places {
    /// Takes a place, if the subject holds fewer than `max`.
    pub fn enter(self: &Arc<Self>, subject: impl Hash, max: u32, now: Instant) -> Option<Place> {
        let number = self.0.number(subject);
        let take = |held: &mut Held| {
            let free = held.0 < max;
            held.0 += u32::from(free);
            free
        };
        let entered = self.0.with_number(number, now, || Held(0), take);
        entered?.then(|| Place { places: Arc::clone(self), number })
    }

    /// How many subjects hold a place.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody holds one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A place that is held, and left when this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.leave(self.number, |held| {
            held.0 = held.0.saturating_sub(1);
            held.0 == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_places_and_no_more_until_one_is_left() {
        let (places, now) = (Arc::new(Places::default()), Instant::now());
        let enter = |subject: u64| places.enter(subject, 2, now);
        let (first, second) = (enter(1), enter(1));
        assert!(first.is_some() && second.is_some() && enter(1).is_none());
        assert!(enter(2).is_some(), "another subject has places of its own");
        drop(first);
        let third = enter(1);
        assert!(third.is_some() && enter(1).is_none());
    }

    #[test]
    fn who_holds_no_place_is_forgotten() {
        let (places, now) = (Arc::new(Places::default()), Instant::now());
        let held: Vec<_> = (0..1000_u64).map(|subject| places.enter(subject, 1, now)).collect();
        assert_eq!(places.len(), 1000);
        drop(held);
        assert!(places.is_empty());
        assert!(places.enter(1_u64, 0, now).is_none());
    }

    #[test]
    fn a_limit_that_is_lowered_counts_those_who_are_there() {
        let (places, now) = (Arc::new(Places::default()), Instant::now());
        let held: Vec<_> = (0..3).map(|_| places.enter(1_u64, 3, now)).collect();
        assert!(places.enter(1_u64, 2, now).is_none());
        drop(held);
        assert!(places.enter(1_u64, 2, now).is_some());
    }

    #[test]
    fn threads_never_hold_more_than_there_are() {
        let (places, now) = (Arc::new(Places::default()), Instant::now());
        let most = std::sync::atomic::AtomicU32::new(0);
        let inside = std::sync::atomic::AtomicU32::new(0);
        let order = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let Some(_place) = places.enter(1_u64, 3, now) else { continue };
                        most.fetch_max(inside.fetch_add(1, order) + 1, order);
                        std::thread::yield_now();
                        inside.fetch_sub(1, order);
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.load(order)), "{most:?}");
        assert!(places.is_empty());
    }
}
