//! Spreading connections over the workers, and how many there may be.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::socket::Stream;
use crate::timers::Timers;

/// How often it is looked whether a connection waits that can make room for another.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A connection on its way to its worker.
pub(crate) struct Accepted {
    /// The stream, which is on no runtime yet: it is registered by the worker that serves it.
    pub(crate) stream: Stream,
    /// Who connected; none on a unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// Its place among all connections.
    pub(crate) place: Place,
}

/// Who takes the connections of one worker.
pub(crate) trait Taker {
    /// Serves a connection.
    ///
    /// # Errors
    /// When its descriptor cannot be registered; it is closed.
    fn serve(&self, accepted: Accepted) -> io::Result<()>;

    /// What ends waits.
    fn timers(&self) -> &Timers;

    /// Ends the connection that has waited longest for a request; false if none waits for one.
    fn end_longest_wait(&self) -> bool;

    /// Closes what is of less use than a client's connection; false if there is nothing.
    fn free_a_descriptor(&self) -> bool;
}

/// How many connections each worker has. Workers accept at the same time, so a choice and its
/// count are one step under a lock; it is taken twice in a connection's life.
struct Loads {
    by_worker: Vec<usize>,
    /// The worker that was given the latest connection.
    latest: usize,
    /// How many connections were given to anybody, ever.
    accepted: u64,
    /// How many were ended to make room.
    evicted: u64,
    /// How often none could be accepted.
    errors: u64,
}

/// What can be told of the connections of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// How many there are.
    pub(crate) open: usize,
    /// How many there were, ever.
    pub(crate) accepted: u64,
    /// How many were ended to make room for others.
    pub(crate) evicted: u64,
    /// How often none could be accepted.
    pub(crate) errors: u64,
}

impl Loads {
    /// Gives a connection to the worker that has the fewest; among equals, to the next in turn.
    ///
    /// The kernel spreads connections over the workers' queues by a hash of the addresses, which
    /// would leave both connections of a proxy in front on one core half of the time. Turns are
    /// taken because a connection that is being replaced may still be counted: whoever is then
    /// given both new ones would have them for long.
    fn take(&mut self) -> usize {
        let workers = self.by_worker.len();
        let in_turn = (1..=workers).map(|turn| (self.latest + turn) % workers);
        self.latest = in_turn.min_by_key(|&worker| self.by_worker[worker]).unwrap_or_default();
        self.by_worker[self.latest] += 1;
        self.accepted += 1;
        self.latest
    }

    /// For so many workers, without a connection.
    fn new(workers: usize) -> Self {
        Self { by_worker: vec![0; workers], latest: 0, accepted: 0, evicted: 0, errors: 0 }
    }
}

/// How many connections each worker has, and how to give it one.
pub(crate) struct Spread {
    loads: Mutex<Loads>,
    inboxes: Vec<mpsc::UnboundedSender<Accepted>>,
    capacity: Arc<Semaphore>,
}

/// A connection's place among those of its worker, and among all.
pub(crate) struct Place {
    spread: Arc<Spread>,
    worker: usize,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.spread.loads().by_worker[self.worker] -= 1;
    }
}

impl Spread {
    /// Over as many workers as there are inboxes.
    pub(crate) fn new(
        inboxes: Vec<mpsc::UnboundedSender<Accepted>>,
        max_connections: usize,
    ) -> Arc<Self> {
        let loads = Mutex::new(Loads::new(inboxes.len()));
        let capacity = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { loads, inboxes, capacity })
    }

    fn loads(&self) -> MutexGuard<'_, Loads> {
        // The counts are whole whatever happened to who held them.
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place with one of the workers. While there are as many connections as there may be, who
    /// waits longest for a request makes room: a request that comes is worth more than one that may
    /// come, and whoever only opens connections must not keep the others out.
    pub(crate) async fn place(self: &Arc<Self>, taker: &impl Taker) -> Place {
        let permit = match Arc::clone(&self.capacity).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait_for_permit(taker).await,
        };
        let worker = self.loads().take();
        Place { spread: Arc::clone(self), worker, _permit: permit }
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.loads().by_worker.iter().sum()
    }

    /// What can be told of them.
    pub(crate) fn counts(&self) -> Counts {
        let loads = self.loads();
        let Loads { accepted, evicted, errors, .. } = *loads;
        Counts { open: loads.by_worker.iter().sum(), accepted, evicted, errors }
    }

    /// No connection could be accepted.
    pub(crate) fn failed(&self) {
        self.loads().errors += 1;
    }

    /// Gives a connection to its worker: the one that asks serves it by `taker`, any other finds it
    /// in its inbox.
    ///
    /// # Errors
    /// When it cannot be served, and is closed.
    pub(crate) fn deliver(
        &self,
        accepted: Accepted,
        asking: usize,
        taker: &impl Taker,
    ) -> io::Result<()> {
        let worker = accepted.place.worker;
        if worker == asking {
            return taker.serve(accepted);
        }
        // One that stops takes none any more, and whoever has accepted it serves it.
        match self.inboxes[worker].send(accepted) {
            Ok(()) => Ok(()),
            Err(refused) => taker.serve(refused.0),
        }
    }

    async fn wait_for_permit(self: &Arc<Self>, taker: &impl Taker) -> OwnedSemaphorePermit {
        loop {
            if taker.end_longest_wait() {
                self.loads().evicted += 1;
            }
            let permit = Arc::clone(&self.capacity).acquire_owned();
            match taker.timers().timeout(LOOK_AGAIN, permit).await {
                Ok(Ok(permit)) => return permit,
                // Nobody closes the semaphore; if it were closed, nothing more may be accepted.
                Ok(Err(_closed)) => std::future::pending().await,
                Err(_elapsed) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(by_worker: &[usize], latest: usize, expected: &[usize]) {
        let by_worker = by_worker.to_vec();
        let mut loads = Loads { by_worker, latest, ..Loads::new(0) };
        let given: Vec<_> = expected.iter().map(|_| loads.take()).collect();
        assert_eq!(given, expected);
    }

    #[test]
    fn the_least_loaded_worker_gets_the_next_connection_and_equals_take_turns() {
        check(&[0], 0, &[0, 0]);
        check(&[0, 0], 0, &[1, 0, 1]);
        check(&[3, 1], 1, &[1, 1, 0, 1]);
        check(&[2, 0, 2], 0, &[1, 1, 2, 0, 1]);
    }

    /// Serves what it is given by keeping it.
    #[derive(Default)]
    struct Keeps(std::cell::RefCell<Vec<Accepted>>);

    impl Taker for Keeps {
        fn serve(&self, accepted: Accepted) -> io::Result<()> {
            self.0.borrow_mut().push(accepted);
            Ok(())
        }

        fn timers(&self) -> &Timers {
            unreachable!("nothing is waited for")
        }

        fn end_longest_wait(&self) -> bool {
            false
        }

        fn free_a_descriptor(&self) -> bool {
            false
        }
    }

    #[test]
    fn what_a_worker_that_stops_does_not_take_is_served_where_it_was_accepted() {
        let (inboxes, mut receivers): (Vec<_>, Vec<_>) =
            [mpsc::unbounded_channel(), mpsc::unbounded_channel()].into_iter().unzip();
        let spread = Spread::new(inboxes, 10);
        let accepted = || {
            let (stream, _) =
                std::os::unix::net::UnixStream::pair().expect("there is a descriptor");
            let permit = Arc::clone(&spread.capacity).try_acquire_owned().expect("there is room");
            spread.loads().by_worker[1] += 1;
            let place = Place { spread: Arc::clone(&spread), worker: 1, _permit: permit };
            Accepted { stream: Stream::Unix(stream), peer: None, place }
        };
        let taker = Keeps::default();
        spread.deliver(accepted(), 0, &taker).expect("it is handed over");
        receivers[1].close();
        spread.deliver(accepted(), 0, &taker).expect("it is kept");
        assert_eq!(taker.0.borrow().len(), 1);
        assert!(receivers[1].try_recv().is_ok(), "what was handed over before is there");
    }
}
