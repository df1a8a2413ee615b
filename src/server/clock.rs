//! Coarse timeouts: setting or clearing one is a store, and one task a worker looks for those that
//! have passed.
//!
//! A timer of the runtime costs some hundred instructions to set and to cancel, and a request needs
//! several. Timeouts of seconds do not need a timer's precision: they fire at most three ticks
//! late, never early. Time in which the process stood still does not count.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::timers::Timers;

/// How often timeouts are looked at: late enough to cost nothing, early enough that nobody notices.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// How far the clock goes on at once, however much time has passed: a process that was stopped for
/// ten seconds (SIGSTOP, a machine that is moved) has not waited ten seconds for anybody. What came
/// meanwhile is still to be read, and what is begun before the clock is read must not be over then.
const LONGEST_STEP_MS: u64 = 2 * TICK.as_millis() as u64;

/// By how much the clock may lag: every wait is so much longer than asked for, so that none ends
/// early.
pub(crate) const LAG: Duration = Duration::from_millis(LONGEST_STEP_MS);

/// How long a client is waited for at least, whoever else wants its place: longer than the way of
/// what it has sent already.
const SHORTEST_WAIT: Duration = Duration::from_millis(250);

/// The time of one worker, and everything on it that waits with a timeout.
#[derive(Debug)]
pub(crate) struct Clock {
    /// When it was last read.
    read: Cell<Instant>,
    /// What time of day it was at some instant of late.
    wall: Cell<(Instant, SystemTime)>,
    now_ms: Cell<u64>,
    watched: RefCell<Vec<Weak<Deadlines>>>,
    appeared: Notify,
}

impl Clock {
    /// A clock that stands still until [`Clock::run`] is polled.
    pub(crate) fn new() -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            read: Cell::new(now),
            wall: Cell::new((now, SystemTime::now())),
            now_ms: Cell::new(0),
            watched: RefCell::default(),
            appeared: Notify::new(),
        })
    }

    /// Timeouts for one task, looked at from now on.
    pub(crate) fn deadlines(self: &Rc<Self>) -> Rc<Deadlines> {
        let mut watched = self.watched.borrow_mut();
        if watched.is_empty() {
            self.read();
            self.appeared.notify_one();
        }
        let deadlines = Rc::new(Deadlines {
            clock: Rc::clone(self),
            place: Cell::new(watched.len()),
            due_ms: Default::default(),
            waiting_since_ms: Cell::new(self.now_ms.get()),
            waker: RefCell::default(),
        });
        watched.push(Rc::downgrade(&deadlines));
        deadlines
    }

    /// Wakes every task that has deadlines, so that it looks around.
    pub(crate) fn wake_all(&self) {
        for deadlines in self.watched.borrow().iter().filter_map(Weak::upgrade) {
            deadlines.wake();
        }
    }

    /// Ends the longest of all waits for a request, as if its time were over; false if none has
    /// lasted for [`SHORTEST_WAIT`].
    pub(crate) fn end_longest_wait(&self) -> bool {
        let latest_ms = self.now_ms.get().checked_sub(SHORTEST_WAIT.as_millis() as u64);
        let watched = self.watched.borrow();
        let waiting = watched.iter().filter_map(Weak::upgrade).filter(|deadlines| {
            deadlines.is_set(Wait::Request)
                && !deadlines.passed(Wait::Request)
                && latest_ms.is_some_and(|latest| deadlines.waiting_since_ms.get() <= latest)
        });
        let longest = waiting.min_by_key(|deadlines| deadlines.waiting_since_ms.get());
        longest.inspect(|deadlines| deadlines.end(Wait::Request)).is_some()
    }

    /// Ticks for ever, calling `every_tick` each time; rests while nothing is watched and that says
    /// that it has nothing to do.
    pub(crate) async fn run(&self, timers: &Timers, mut every_tick: impl FnMut() -> bool) {
        let mut interval = timers.interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.read();
            self.look();
            let busy = every_tick();
            if !busy && self.watched.borrow().is_empty() {
                self.appeared.notified().await;
            }
        }
    }

    /// Lets time pass.
    #[cfg(test)]
    pub(crate) fn advance(&self, time: Duration) {
        self.now_ms.set(self.now_ms.get() + time.as_millis() as u64);
    }

    /// The time of day, a tick late at most; to ask for it costs nothing.
    pub(crate) fn wall(&self) -> SystemTime {
        self.wall.get().1
    }

    /// The time of day at an instant of late.
    pub(crate) fn wall_at(&self, instant: Instant) -> SystemTime {
        let (known, wall) = self.wall.get();
        wall + instant.saturating_duration_since(known)
    }

    fn read(&self) {
        let now = Instant::now();
        self.wall.set((now, SystemTime::now()));
        let passed = now.saturating_duration_since(self.read.get());
        let passed_ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        // Less than a millisecond is left for the next time.
        self.read.set(self.read.get() + Duration::from_millis(passed_ms));
        self.now_ms.set(self.now_ms.get() + passed_ms.min(LONGEST_STEP_MS));
    }

    fn look(&self) {
        let watched = self.watched.borrow();
        let all = watched.iter().filter_map(Weak::upgrade);
        all.filter(|deadlines| deadlines.any_passed()).for_each(|deadlines| deadlines.wake());
    }

    /// Watches what had this place no more: the last takes it.
    fn forget(&self, place: usize) {
        let mut watched = self.watched.borrow_mut();
        watched.swap_remove(place);
        if let Some(moved) = watched.get(place).and_then(Weak::upgrade) {
            moved.place.set(place);
        }
    }
}

/// What a task may be waiting for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// The next request, or the rest of its head.
    Request,
    /// The next piece of a request's body.
    Body,
    /// Room to write to the client.
    Write,
    /// The upstream's response, or its next piece.
    Upstream,
    /// The next look whether the client is still there.
    Look,
    /// The end of what the request was let through with.
    Grant,
}

/// The timeouts of one task.
#[derive(Debug)]
pub(crate) struct Deadlines {
    clock: Rc<Clock>,
    /// Where it is among [`Clock::watched`], which it leaves when it is dropped: what stayed until
    /// the next look would keep the memory of each connection that has ended since the last.
    place: Cell<usize>,
    /// When each [`Wait`] ends, in milliseconds of the clock; 0: it does not.
    due_ms: [Cell<u64>; 6],
    /// When the latest [`Wait::Request`] began.
    waiting_since_ms: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        self.clock.forget(self.place.get());
    }
}

impl Deadlines {
    /// Ends a wait after `timeout` from now.
    pub(crate) fn set(&self, wait: Wait, timeout: Duration) {
        self.resume(wait, timeout.saturating_add(LAG));
        if matches!(wait, Wait::Request) {
            self.waiting_since_ms.set(self.clock.now_ms.get());
        }
    }

    /// Goes on with a wait that was interrupted: this is left of it, and of the [`LAG`] with which
    /// it began.
    pub(crate) fn resume(&self, wait: Wait, left: Duration) {
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX / 2);
        let due = self.clock.now_ms.get() + left_ms;
        self.due_ms[wait as usize].set(due.max(1));
    }

    /// The time of the clock, a tick late at most.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_millis(self.clock.now_ms.get())
    }

    /// Ends a wait after `timeout` from now, unless it has an end already.
    pub(crate) fn start(&self, wait: Wait, timeout: Duration) {
        if self.due_ms[wait as usize].get() == 0 {
            self.set(wait, timeout);
        }
    }

    /// Ends a wait now, as if its time were over.
    pub(super) fn end(&self, wait: Wait) {
        self.clock.now_ms.set(self.clock.now_ms.get().max(1));
        self.due_ms[wait as usize].set(1);
        self.wake();
    }

    /// The wait is over.
    pub(crate) fn clear(&self, wait: Wait) {
        self.due_ms[wait as usize].set(0);
    }

    /// Whether the wait goes on.
    pub(crate) fn is_set(&self, wait: Wait) -> bool {
        self.due_ms[wait as usize].get() != 0
    }

    /// Whether the wait has lasted too long.
    pub(crate) fn passed(&self, wait: Wait) -> bool {
        self.is_past(&self.due_ms[wait as usize])
    }

    /// Remembers which task to wake.
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut watching = self.waker.borrow_mut();
        match &mut *watching {
            Some(known) => known.clone_from(waker),
            None => *watching = Some(waker.clone()),
        }
    }

    fn any_passed(&self) -> bool {
        self.due_ms.iter().any(|due| self.is_past(due))
    }

    fn is_past(&self, due: &Cell<u64>) -> bool {
        due.get() != 0 && due.get() <= self.clock.now_ms.get()
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if this much time had passed since the clock was last read.
    fn pass(clock: &Clock, span: Duration) {
        clock.read.set(clock.read.get() - span);
    }

    #[test]
    fn nothing_ends_early_and_time_that_stood_still_does_not_count() {
        let clock = Clock::new();
        let (old, new) = (clock.deadlines(), clock.deadlines());
        old.set(Wait::Body, Duration::from_secs(1));
        pass(&clock, Duration::from_secs(60));
        // Begun after the process went on, and before the clock was read.
        new.set(Wait::Upstream, Duration::from_millis(1));
        clock.read();
        assert!(!old.passed(Wait::Body), "a stopped process has waited for nobody");
        assert!(!new.passed(Wait::Upstream), "it has only begun");
        for _ in 0..12 {
            pass(&clock, TICK);
            clock.read();
        }
        assert!(old.passed(Wait::Body) && new.passed(Wait::Upstream));
    }

    #[test]
    fn whoever_goes_is_watched_no_more_and_all_others_are() {
        let clock = Clock::new();
        let mut all: Vec<_> = (0..20).map(|_| clock.deadlines()).collect();
        for gone in [19, 0, 5, 5, 0, 14, 3] {
            all.remove(gone);
            all.push(clock.deadlines());
            all.swap_remove(7);
        }
        let watched = clock.watched.borrow();
        assert_eq!(watched.len(), all.len());
        for deadlines in &all {
            let there = watched[deadlines.place.get()].upgrade().expect("it is there");
            assert!(Rc::ptr_eq(&there, deadlines));
        }
        drop(watched);
        drop(all);
        assert!(clock.watched.borrow().is_empty());
    }

    #[test]
    fn ticks_add_up_to_the_time_that_passed() {
        let clock = Clock::new();
        let start = clock.now_ms.get();
        for _ in 0..1000 {
            pass(&clock, Duration::from_micros(100_900));
            clock.read();
        }
        let counted = clock.now_ms.get() - start;
        assert!((100_900..101_900).contains(&counted), "{counted} ms");
    }

    #[test]
    fn the_time_of_day_goes_on_between_readings_and_is_set_right_by_each() {
        let (clock, second) = (Clock::new(), Duration::from_secs(1));
        let (known, wall) = clock.wall.get();
        assert_eq!(clock.wall(), wall);
        assert_eq!(clock.wall_at(known + second), wall + second);
        assert_eq!(clock.wall_at(known - second), wall);
        clock.wall.set((known, SystemTime::UNIX_EPOCH));
        clock.read();
        assert!(clock.wall() >= wall);
    }

    #[test]
    fn the_longest_wait_for_a_request_is_ended_and_no_other() {
        const MINUTE: Duration = Duration::from_secs(60);
        let clock = Clock::new();
        let all: Vec<_> = (0..4).map(|_| clock.deadlines()).collect();
        // The first is busy; the second waits for a little, the third for long, the fourth anew.
        for (waiting, timeout) in [(3, MINUTE), (2, MINUTE), (1, MINUTE / 2), (3, MINUTE / 4)] {
            clock.advance(Duration::from_secs(1));
            all[waiting].set(Wait::Request, timeout);
        }
        clock.advance(Duration::from_secs(1));
        all[0].set(Wait::Look, MINUTE);
        let ended = || -> Vec<_> { all.iter().map(|one| one.passed(Wait::Request)).collect() };
        for expected in
            [[false, false, true, false], [false, true, true, false], [false, true, true, true]]
        {
            assert!(clock.end_longest_wait());
            assert_eq!(ended(), expected);
        }
        assert!(!clock.end_longest_wait());
        all[1].set(Wait::Request, MINUTE);
        clock.advance(SHORTEST_WAIT / 2);
        assert!(!clock.end_longest_wait());
        clock.advance(SHORTEST_WAIT);
        assert!(clock.end_longest_wait());
    }
}
