//! One worker's connections to one upstream.
//!
//! A connection belongs to the request that uses it and is driven by that request's task: no task
//! of its own, no channel between tasks. A request that is dropped closes its connection, so
//! nothing half-used ever comes back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::balance::{Candidate, Turns};
use super::connect::connect;
use super::connection::Connection;
use super::lease::{Lease, Slot};
use crate::observe::seldom::Seldom;
use crate::plan::{ListenAddr, Target, Upstream};

/// How long an idle connection is kept. What upstreams close themselves is noticed when it happens;
/// this bounds those that never do.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an address that refused a connection is passed over while there are others: nginx's
/// `fail_timeout`.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// One worker's view of an upstream.
pub(crate) struct Pool {
    upstream: Arc<Upstream>,
    /// Where this gate listens.
    own: Arc<[ListenAddr]>,
    addresses: Vec<Address>,
    turns: RefCell<Turns>,
}

struct Address {
    /// What `Host` says when it is to be the upstream's own.
    host: HeaderValue,
    /// The most recently used last.
    idle: RefCell<Vec<Idle>>,
    active: Cell<u32>,
    refused_at: Cell<Option<Instant>>,
    trouble: Seldom,
}

struct Idle {
    /// Boxed, so that it is not copied when it changes hands.
    connection: Box<Connection>,
    /// When a sweep first saw it idle: reading the clock for each request would be a waste.
    seen: Option<Instant>,
}

impl Pool {
    /// A pool without connections, of a gate that listens at `own`.
    pub(crate) fn new(upstream: Arc<Upstream>, own: Arc<[ListenAddr]>) -> Rc<Self> {
        let addresses = upstream.addrs.iter().map(|addr| Address::new(&addr.target)).collect();
        Rc::new(Self { upstream, own, addresses, turns: RefCell::default() })
    }

    /// What the operator wrote about the upstream.
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// A connection for one request: an idle one, or with `fresh` (or when there is none) a new
    /// one. Every address is tried once.
    ///
    /// # Errors
    /// What the last address said; it has been logged.
    pub(crate) async fn lease(self: &Rc<Self>, fresh: bool) -> std::io::Result<Lease> {
        let mut tried = Vec::new();
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        while let Some(index) = self.choose(&tried) {
            let slot = Slot::take(self, index);
            if !fresh && let Some(connection) = self.addresses[index].checkout() {
                return Ok(Lease::new(connection, slot, true));
            }
            // Boxed, because it is large, and most requests find a connection.
            match Box::pin(self.connect(index)).await {
                Ok(connection) => return Ok(Lease::new(connection, slot, false)),
                Err(error) => {
                    self.addresses[index].trouble.say(|before| {
                        let upstream = &*self.upstream.name;
                        let address = &self.upstream.addrs[index].target;
                        tracing::warn!(upstream, ?address, %error, before, "cannot connect");
                    });
                    last = error;
                    tried.push(index);
                }
            }
        }
        Err(last)
    }

    /// The address whose turn it is, among those not tried yet; those that refused of late come
    /// last.
    fn choose(&self, tried: &[usize]) -> Option<usize> {
        if self.addresses.len() == 1 {
            return tried.is_empty().then_some(0);
        }
        let candidates = |eligible: &dyn Fn(usize, &Address) -> bool| -> Vec<Candidate> {
            let known = self.addresses.iter().zip(&self.upstream.addrs).enumerate();
            known
                .map(|(index, (address, addr))| Candidate {
                    weight: addr.weight,
                    active: address.active.get(),
                    eligible: !tried.contains(&index) && eligible(index, address),
                })
                .collect()
        };
        let mut turns = self.turns.borrow_mut();
        let balance = self.upstream.balance;
        turns
            .choose(balance, &candidates(&|_, address| !address.refused_lately()))
            .or_else(|| turns.choose(balance, &candidates(&|_, _| true)))
    }

    async fn connect(&self, index: usize) -> std::io::Result<Box<Connection>> {
        let address = &self.addresses[index];
        let target = &self.upstream.addrs[index].target;
        let socket = match connect(target, self.upstream.connect_timeout, &self.own).await {
            Ok(socket) => socket,
            Err(error) => {
                address.refused_at.set(Some(Instant::now()));
                return Err(error);
            }
        };
        address.refused_at.set(None);
        address.trouble.is_over();
        Ok(Box::new(Connection::new(socket)))
    }

    /// Whether there are idle connections.
    pub(crate) fn has_idle(&self) -> bool {
        self.addresses.iter().any(|address| !address.idle.borrow().is_empty())
    }

    /// Drops idle connections that are closed, or have been idle for too long.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        for address in &self.addresses {
            address.idle.borrow_mut().retain_mut(|idle| {
                let idle_for = now.duration_since(*idle.seen.get_or_insert(now));
                idle.connection.is_still_free() && idle_for < IDLE_TIMEOUT
            });
        }
    }

    /// Closes the connection that has been idle longest, to one of the addresses; false if there is
    /// none.
    pub(crate) fn close_an_idle_one(&self) -> bool {
        self.addresses.iter().any(|address| {
            let mut idle = address.idle.borrow_mut();
            let longest = (!idle.is_empty()).then(|| idle.remove(0));
            longest.is_some()
        })
    }

    /// Keeps a connection for the next request.
    pub(super) fn put_back(&self, index: usize, connection: Box<Connection>) {
        if self.upstream.max_idle == 0 {
            return;
        }
        let mut idle = self.addresses[index].idle.borrow_mut();
        if idle.len() >= self.upstream.max_idle {
            idle.remove(0);
        }
        idle.push(Idle { connection, seen: None });
    }

    /// The `Host` of an address itself.
    pub(crate) fn own_host(&self, index: usize) -> &HeaderValue {
        &self.addresses[index].host
    }

    /// Counts a request in flight to an address, or one less.
    pub(super) fn count(&self, index: usize, change: i32) {
        let active = &self.addresses[index].active;
        active.set(active.get().saturating_add_signed(change));
    }

    /// Says that a request to an address got no usable response.
    pub(super) fn complain(&self, index: usize, error: &str) {
        self.addresses[index].trouble.say(|before| {
            let address = &self.upstream.addrs[index].target;
            tracing::warn!(upstream = &*self.upstream.name, ?address, error, before, "no response");
        });
    }
}

impl Address {
    fn new(target: &Target) -> Self {
        let host = match target {
            Target::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Target::Tcp { host, port } => format!("{host}:{port}"),
            Target::Unix(_) => "localhost".to_owned(),
        };
        Self {
            // A target's host is a name or an address, so this is always a value.
            host: HeaderValue::from_str(&host).unwrap_or(HeaderValue::from_static("localhost")),
            idle: RefCell::default(),
            active: Cell::new(0),
            refused_at: Cell::new(None),
            trouble: Seldom::default(),
        }
    }

    fn refused_lately(&self) -> bool {
        self.refused_at.get().is_some_and(|at| at.elapsed() < REFUSED_PAUSE)
    }

    /// An idle connection that is still open; the others are dropped.
    fn checkout(&self) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let mut connection = idle.pop()?.connection;
            if connection.is_still_free() {
                return Some(connection);
            }
        }
    }
}
