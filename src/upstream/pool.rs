//! One worker's connections to one upstream.
//!
//! A connection of HTTP/1 belongs to the request that uses it and is driven by that request's task:
//! no task of its own, no channel between tasks. A request that is dropped closes its connection,
//! so nothing half-used ever comes back. Those of HTTP/2 are [`Links`](super::h2::links::Links).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::address::Address;
use super::balance::{Candidate, Turns};
use super::lease::{Lease, Slot};
use super::limit::NoPlace;
use super::live::Known;
use crate::observe::seldom::Seldom;
use crate::plan::{ListenAddr, Upstream};
use crate::timers::Timers;

/// Where connections begin.
#[derive(Clone)]
pub(crate) struct Here {
    /// Where this gate listens.
    pub(crate) own: Arc<[ListenAddr]>,
    /// What ends waits.
    pub(crate) timers: Timers,
}

/// One worker's view of an upstream.
pub(crate) struct Pool {
    upstream: Arc<Upstream>,
    here: Here,
    known: RefCell<watch::Receiver<Known>>,
    addresses: RefCell<Vec<Rc<Address>>>,
    turns: RefCell<Turns>,
    crowded: Seldom,
}

/// What a request wants of its connection.
#[derive(Default)]
pub(crate) struct Wanted {
    /// A new one.
    pub(crate) fresh: bool,
    /// Not to this address, while there is another: it has just failed.
    pub(crate) elsewhere: Option<Rc<Address>>,
}

/// Why a request gets no connection.
#[derive(Debug)]
pub(crate) enum NoLease {
    /// No address could be connected to.
    Unreachable(io::Error),
    /// The health checks have found no address that serves; they ask again this often.
    Unhealthy(Duration),
    /// The upstream has as many requests as it may, and no more can wait, or not for longer.
    Busy,
}

impl Pool {
    /// A pool without connections.
    pub(crate) fn new(upstream: Arc<Upstream>, here: Here) -> Rc<Self> {
        let pool = Self {
            known: RefCell::new(upstream.live.subscribe()),
            upstream,
            here,
            addresses: RefCell::default(),
            turns: RefCell::default(),
            crowded: Seldom::default(),
        };
        pool.learn();
        Rc::new(pool)
    }

    /// What the operator wrote about the upstream.
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Where its connections begin.
    pub(super) fn here(&self) -> &Here {
        &self.here
    }

    /// A connection for one request: an idle one, or a new one. Every address is tried once.
    ///
    /// # Errors
    /// Why there is none; it has been logged.
    pub(crate) async fn lease(&self, wanted: &Wanted) -> Result<Lease, NoLease> {
        // What is seldom waited for is boxed, because most requests find a connection.
        let place = match self.upstream.live.limit() {
            Some(limit) => Some(
                Box::pin(limit.enter(&self.here.timers)).await.map_err(|why| self.is_busy(why))?,
            ),
            None => None,
        };
        if self.has_news() {
            self.learn();
        }
        let mut address = self.choose(&[], wanted.elsewhere.as_ref());
        if address.is_none() {
            Box::pin(self.found()).await?;
            address = self.choose(&[], wanted.elsewhere.as_ref());
        }
        let slot = Slot::take(address.ok_or_else(|| self.is_unhealthy())?, place);
        if let Some(way) = slot.address().checkout(wanted.fresh) {
            return Ok(Lease::new(way, slot, true));
        }
        Box::pin(self.dial(slot)).await.map_err(NoLease::Unreachable)
    }

    /// The address whose turn it is, among those not tried yet; those that failed of late come
    /// last, before the one to avoid only. None is chosen that the health checks find wanting.
    pub(super) fn choose(
        &self,
        tried: &[Rc<Address>],
        avoid: Option<&Rc<Address>>,
    ) -> Option<Rc<Address>> {
        let addresses = self.addresses.borrow();
        let serves = |address: &Rc<Address>| address.endpoint().is_healthy();
        if let [only] = &addresses[..] {
            return (tried.is_empty() && serves(only)).then(|| Rc::clone(only));
        }
        let can = |address: &Rc<Address>| serves(address) && !is_among(tried, address);
        let other = |address: &Rc<Address>| {
            can(address) && avoid.is_none_or(|avoid| !Rc::ptr_eq(avoid, address))
        };
        let well = |address: &Rc<Address>| other(address) && !address.endpoint().is_passed_over();
        let candidates = |eligible: &dyn Fn(&Rc<Address>) -> bool| -> Vec<Candidate> {
            addresses.iter().map(|address| address.candidate(eligible(address))).collect()
        };
        let mut turns = self.turns.borrow_mut();
        let balance = self.upstream.balance;
        let chosen = turns
            .choose(balance, &candidates(&well))
            .or_else(|| turns.choose(balance, &candidates(&other)))
            .or_else(|| turns.choose(balance, &candidates(&can)))?;
        Some(Rc::clone(&addresses[chosen]))
    }

    /// Whether one more can be chosen.
    pub(super) fn has_others(&self, tried: &[Rc<Address>]) -> bool {
        let serves = |address: &&Rc<Address>| address.endpoint().is_healthy();
        self.addresses.borrow().iter().filter(serves).any(|address| !is_among(tried, address))
    }

    /// Whether the upstream can be reached elsewhere than it was.
    fn has_news(&self) -> bool {
        // The sender is a part of the upstream: it is there.
        self.known.borrow().has_changed().unwrap_or_default()
    }

    /// Takes over where the upstream can be reached; what stays keeps its connections.
    fn learn(&self) {
        let mut known = self.known.borrow_mut();
        let known = known.borrow_and_update();
        let mut old = self.addresses.take();
        let new = known.endpoints().map(|endpoint| {
            let known = old.iter().position(|address| Arc::ptr_eq(address.endpoint(), endpoint));
            match known {
                Some(index) => old.swap_remove(index),
                None => {
                    let upstream = Arc::clone(&self.upstream);
                    Address::new(upstream, Arc::clone(endpoint), self.here.clone())
                }
            }
        });
        let new: Vec<_> = new.collect();
        *self.addresses.borrow_mut() = new;
        *self.turns.borrow_mut() = Turns::default();
        old.iter().for_each(|address| address.leave());
    }

    /// Waits until it is known where the upstream can be reached, if that is still to be seen.
    async fn found(&self) -> Result<(), NoLease> {
        let mut known = self.upstream.live.subscribe();
        let settled = known.wait_for(|known| !known.is_awaited());
        let settled = self.here.timers.timeout(self.upstream.connect_timeout, settled).await;
        let unreachable = |error| Err(NoLease::Unreachable(error));
        match settled {
            Err(_elapsed) => return unreachable(io::ErrorKind::TimedOut.into()),
            // The sender is a part of the upstream.
            Ok(Err(_closed)) => return unreachable(io::ErrorKind::NotFound.into()),
            Ok(Ok(known)) if known.endpoints().next().is_none() => {
                return unreachable(io::Error::other(
                    known.trouble().unwrap_or_default().to_owned(),
                ));
            }
            Ok(Ok(_known)) => {}
        }
        self.learn();
        Ok(())
    }

    fn is_unhealthy(&self) -> NoLease {
        let health = self.upstream.health.as_ref();
        NoLease::Unhealthy(health.map_or(Duration::ZERO, |health| health.interval))
    }

    fn is_busy(&self, why: NoPlace) -> NoLease {
        self.crowded.say(|before| {
            let upstream = &*self.upstream.name;
            tracing::warn!(upstream, ?why, before, "as many requests as it may have");
        });
        NoLease::Busy
    }

    /// Whether there are idle connections.
    pub(crate) fn has_idle(&self) -> bool {
        self.addresses.borrow().iter().any(|address| address.has_idle())
    }

    /// Drops idle connections that are closed, have been idle for too long, or lead to where the
    /// upstream is no more.
    pub(crate) fn sweep(&self) {
        if self.has_news() {
            self.learn();
        }
        self.addresses.borrow().iter().for_each(|address| address.sweep());
    }

    /// Closes the connection that has been idle longest, to one of the addresses; false if there is
    /// none.
    pub(crate) fn close_an_idle_one(&self) -> bool {
        self.addresses.borrow().iter().any(|address| address.close_an_idle_one())
    }
}

fn is_among(addresses: &[Rc<Address>], address: &Rc<Address>) -> bool {
    addresses.iter().any(|other| Rc::ptr_eq(other, address))
}
