//! Coarse timeouts: setting or clearing one is a store, and one task a worker looks for those that
//! have passed.
//!
//! A timer of the runtime costs some hundred instructions to set and to cancel, and a request needs
//! several. Timeouts of seconds do not need a timer's precision: they fire at most two ticks late,
//! never early.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// How often timeouts are looked at: late enough to cost nothing, early enough that nobody notices.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The time of one worker, and everything on it that waits with a timeout.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    now_ms: Cell<u64>,
    watched: RefCell<Vec<Weak<Deadlines>>>,
    appeared: Notify,
}

impl Clock {
    /// A clock that stands still until [`Clock::run`] is polled.
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            started: Instant::now(),
            now_ms: Cell::new(0),
            watched: RefCell::default(),
            appeared: Notify::new(),
        })
    }

    /// Timeouts for one task, looked at from now on.
    pub(crate) fn deadlines(self: &Rc<Self>) -> Rc<Deadlines> {
        let deadlines = Rc::new(Deadlines {
            clock: Rc::clone(self),
            due_ms: Default::default(),
            waker: RefCell::default(),
        });
        let mut watched = self.watched.borrow_mut();
        if watched.is_empty() {
            self.read();
            self.appeared.notify_one();
        }
        watched.push(Rc::downgrade(&deadlines));
        deadlines
    }

    /// Wakes every task that has deadlines, so that it looks around.
    pub(crate) fn wake_all(&self) {
        for deadlines in self.watched.borrow().iter().filter_map(Weak::upgrade) {
            deadlines.wake();
        }
    }

    /// Ticks for ever, calling `every_tick` each time; rests while nothing is watched and that says
    /// that it has nothing to do.
    pub(crate) async fn run(&self, mut every_tick: impl FnMut() -> bool) {
        let mut interval = tokio::time::interval(TICK);
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

    fn read(&self) {
        let since = self.started.elapsed().as_millis();
        self.now_ms.set(u64::try_from(since).unwrap_or(u64::MAX));
    }

    fn look(&self) {
        self.watched.borrow_mut().retain(|watched| {
            let Some(deadlines) = watched.upgrade() else { return false };
            if deadlines.any_passed() {
                deadlines.wake();
            }
            true
        });
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
}

/// The timeouts of one task.
#[derive(Debug)]
pub(crate) struct Deadlines {
    clock: Rc<Clock>,
    /// When each [`Wait`] ends, in milliseconds of the clock; 0: it does not.
    due_ms: [Cell<u64>; 5],
    waker: RefCell<Option<Waker>>,
}

impl Deadlines {
    /// Ends a wait after `timeout` from now.
    pub(crate) fn set(&self, wait: Wait, timeout: Duration) {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX / 2);
        // The clock may lag by one tick: add it, so that nothing ends early.
        let due = self.clock.now_ms.get() + TICK.as_millis() as u64 + timeout_ms;
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
