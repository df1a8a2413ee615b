//! The connections to one address, and the requests that wait for a place on one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::link::{Link, MAX_STREAMS};
use super::stream::Stream;
use crate::timers::Timers;
use crate::upstream::address::Address;

/// How many connections a worker has to an address at most. Together they carry 6,400 requests at a
/// time; where an upstream allows few a connection, it is one that counts them.
const MAX_LINKS: usize = 64;

/// How many requests wait for a place at most. So many more would not be served in time.
const MAX_WAITING: usize = 1024;

/// The connections of one worker to one address.
pub(crate) struct Links {
    address: Weak<Address>,
    /// Those that take requests, as far as is known; the oldest first.
    open: RefCell<Vec<Rc<Link>>>,
    /// How many are being made.
    dialing: Cell<usize>,
    /// Who has waited longest first.
    waiting: RefCell<VecDeque<oneshot::Sender<io::Result<Place>>>>,
}

/// A request's place on a connection, left when it is dropped.
pub(super) struct Place {
    links: Rc<Links>,
    /// The connection.
    pub(super) link: Rc<Link>,
}

impl Place {
    fn take(links: &Rc<Links>, link: Rc<Link>) -> Self {
        link.count(1);
        Self { links: Rc::clone(links), link }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.link.count(-1);
        self.links.settle();
    }
}

impl Links {
    /// None yet, to this address.
    pub(crate) fn new(address: Weak<Address>) -> Rc<Self> {
        Rc::new(Self {
            address,
            open: RefCell::default(),
            dialing: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// A stream on a connection with room, if there is one and nobody has waited longer.
    pub(crate) fn stream(self: &Rc<Self>) -> Option<Box<Stream>> {
        if !self.waiting.borrow().is_empty() {
            return None;
        }
        self.with_room().map(|link| Box::new(Stream::new(Place::take(self, link))))
    }

    /// A stream on a connection; a new one is made if there is none under way that will have room.
    /// Whoever comes first is served first.
    ///
    /// # Errors
    /// No connection can be made, or there is no place within `patience`.
    pub(crate) async fn wait(
        self: &Rc<Self>,
        timers: &Timers,
        patience: Duration,
    ) -> io::Result<Box<Stream>> {
        if let Some(stream) = self.stream() {
            return Ok(stream);
        }
        let given = self.queue()?;
        self.settle();
        match timers.timeout(patience, given).await {
            Ok(Ok(given)) => given.map(|place| Box::new(Stream::new(place))),
            Ok(Err(_)) => Err(ErrorKind::ConnectionAborted.into()),
            Err(_) if self.open.borrow().is_empty() => Err(ErrorKind::TimedOut.into()),
            Err(_) => Err(full()),
        }
    }

    /// Joins those who wait.
    fn queue(&self) -> io::Result<oneshot::Receiver<io::Result<Place>>> {
        self.forget_the_gone();
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= MAX_WAITING {
            return Err(full());
        }
        let (giver, taken) = oneshot::channel();
        waiting.push_back(giver);
        Ok(taken)
    }

    /// The oldest connection with room; those that take nothing more are left to who is on them.
    fn with_room(&self) -> Option<Rc<Link>> {
        let mut open = self.open.borrow_mut();
        loop {
            let at = open.iter().position(|link| link.has_room() || !link.is_open())?;
            if open[at].has_room() {
                return Some(Rc::clone(&open[at]));
            }
            open.remove(at);
        }
    }

    /// Gives places to those who wait, as far as there are any, and makes connections for the rest.
    pub(super) fn settle(self: &Rc<Self>) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        self.give_places();
        self.dial_if_needed();
    }

    fn give_places(self: &Rc<Self>) {
        self.forget_the_gone();
        while !self.waiting.borrow().is_empty()
            && let Some(link) = self.with_room()
        {
            let place = Place::take(self, link);
            // It was just seen to be waiting.
            let waiter = self.waiting.borrow_mut().pop_front();
            let _ = waiter.map(|waiter| waiter.send(Ok(place)));
        }
    }

    fn forget_the_gone(&self) {
        self.waiting.borrow_mut().retain(|waiter| !waiter.is_closed());
    }

    /// Makes as many connections as those who wait will need, if each carries as many as it may.
    fn dial_if_needed(self: &Rc<Self>) {
        loop {
            let dialing = self.dialing.get();
            let is_enough = self.waiting.borrow().len() <= dialing * MAX_STREAMS;
            if is_enough || self.open.borrow().len() + dialing >= MAX_LINKS {
                return;
            }
            self.dialing.set(dialing + 1);
            let links = Rc::clone(self);
            spawn_local(async move {
                let dialed = links.dial().await;
                links.dialing.set(links.dialing.get() - 1);
                links.take(dialed);
            });
        }
    }

    async fn dial(self: &Rc<Self>) -> io::Result<Rc<Link>> {
        // Whoever waits for it holds the address; without them it is not wanted.
        let address = self.address.upgrade().ok_or(ErrorKind::ConnectionAborted)?;
        let socket = address.open().await?;
        let opening = Link::open(socket, Rc::downgrade(self));
        let opened = address.timers().timeout(address.upstream().connect_timeout, opening).await;
        opened.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())).inspect_err(|error| {
            address.failed();
            address.cannot_connect(error);
        })
    }

    fn take(self: &Rc<Self>, dialed: io::Result<Rc<Link>>) {
        match dialed {
            Ok(link) => {
                // One that carries nothing is not asked for again by those whom it does not help.
                let is_of_use = link.capacity() > 0;
                self.open.borrow_mut().push(link);
                self.give_places();
                if is_of_use {
                    self.dial_if_needed();
                }
            }
            // Others may still come free.
            Err(_) if self.dialing.get() > 0 || !self.open.borrow().is_empty() => {}
            Err(error) => {
                for waiter in self.waiting.take() {
                    // io::Error cannot be copied, but for what is said of it.
                    let copy = match error.raw_os_error() {
                        Some(number) => io::Error::from_raw_os_error(number),
                        None => io::Error::new(error.kind(), error.to_string()),
                    };
                    let _ = waiter.send(Err(copy));
                }
            }
        }
    }

    /// A connection has ended.
    pub(super) fn forget(self: &Rc<Self>, gone: &Rc<Link>) {
        self.open.borrow_mut().retain(|link| !Rc::ptr_eq(link, gone));
        self.settle();
    }

    /// Nobody is to come any more; who is on a connection stays on it.
    pub(crate) fn leave(&self) {
        self.open.borrow_mut().clear();
    }

    /// Whether there are connections to look after.
    pub(crate) fn has_any(&self) -> bool {
        !self.open.borrow().is_empty()
    }

    /// Looks after all connections.
    pub(crate) fn sweep(self: &Rc<Self>, now: Instant) {
        let mut open = self.open.borrow_mut();
        let before = open.len();
        open.retain(|link| link.look(now));
        let is_fewer = open.len() < before;
        drop(open);
        if is_fewer {
            self.settle();
        }
    }

    /// Closes the oldest connection without a request; false if there is none.
    pub(crate) fn close_an_idle_one(&self) -> bool {
        let mut open = self.open.borrow_mut();
        let idle = open.iter().position(|link| link.is_idle());
        idle.map(|at| open.remove(at)).is_some()
    }
}

fn full() -> io::Error {
    io::Error::new(ErrorKind::ResourceBusy, "every connection carries as many requests as it may")
}
