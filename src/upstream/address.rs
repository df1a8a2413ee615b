//! One worker's connections to one place where an upstream can be reached.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::balance::Candidate;
use super::connect::connect;
use super::connection::Connection;
use super::endpoint::Endpoint;
use crate::observe::seldom::Seldom;
use crate::plan::{ListenAddr, Target, Upstream};
use crate::socket::is_out_of_descriptors;

/// How long an idle connection is kept. What upstreams close themselves is noticed when it happens;
/// this bounds those that never do.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// One worker's view of one endpoint.
pub(crate) struct Address {
    upstream: Arc<Upstream>,
    endpoint: Arc<Endpoint>,
    /// What `Host` says when it is to be the upstream's own.
    host: HeaderValue,
    /// The most recently used last.
    idle: RefCell<Vec<Idle>>,
    active: Cell<u32>,
    /// Whether its name means others now.
    is_gone: Cell<bool>,
    trouble: Seldom,
}

struct Idle {
    /// Boxed, so that it is not copied when it changes hands.
    connection: Box<Connection>,
    /// When a sweep first saw it idle: reading the clock for each request would be a waste.
    seen: Option<Instant>,
}

/// The `Host` of an address itself.
pub(crate) fn own_host(target: &Target) -> HeaderValue {
    const LOCALHOST: HeaderValue = HeaderValue::from_static("localhost");
    match target {
        // A target's host is a name or an address, so this is always a value.
        Target::Tcp { .. } => HeaderValue::try_from(target.to_string()).unwrap_or(LOCALHOST),
        Target::Unix(_) => LOCALHOST,
    }
}

impl Address {
    /// A view without connections.
    pub(super) fn new(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>) -> Self {
        Self {
            upstream,
            host: own_host(endpoint.target()),
            endpoint,
            idle: RefCell::default(),
            active: Cell::new(0),
            is_gone: Cell::new(false),
            trouble: Seldom::default(),
        }
    }

    /// What the operator wrote about the upstream.
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// What all workers know about it.
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The `Host` of the address itself.
    pub(crate) fn own_host(&self) -> &HeaderValue {
        &self.host
    }

    /// What there is to know for a choice.
    pub(super) fn candidate(&self, eligible: bool) -> Candidate {
        Candidate { weight: self.endpoint.weight(), active: self.active.get(), eligible }
    }

    /// A new connection, made by a gate that listens at `own`.
    ///
    /// # Errors
    /// Why there is none; it has been logged.
    pub(super) async fn connect(&self, own: &[ListenAddr]) -> io::Result<Box<Connection>> {
        match connect(&self.endpoint, self.upstream.connect_timeout, own).await {
            Ok(socket) => {
                self.endpoint.connected();
                self.trouble.is_over();
                Ok(Box::new(Connection::new(socket)))
            }
            Err(error) => {
                // That there is no descriptor left says nothing about the address.
                if !is_out_of_descriptors(&error) {
                    self.failed();
                }
                self.cannot_connect(&error);
                Err(error)
            }
        }
    }

    /// Says so; of a name that means others too, which serve, it is no news: a server that listens
    /// on 127.0.0.1 only is reached as `localhost` all the same.
    fn cannot_connect(&self, error: &io::Error) {
        let others = self.upstream.live.endpoints();
        let is_well_known = others.iter().any(|other| {
            !Arc::ptr_eq(other, &self.endpoint)
                && other.target() == self.endpoint.target()
                && other.is_healthy()
                && !other.is_passed_over()
        });
        let (upstream, address) = (&*self.upstream.name, &*self.endpoint);
        if is_well_known {
            tracing::debug!(upstream, %address, %error, "cannot connect");
        } else {
            self.trouble.say(|before| {
                tracing::warn!(upstream, %address, %error, before, "cannot connect");
            });
        }
    }

    /// Counts a failure: of too many, all workers learn.
    pub(super) fn failed(&self) {
        self.endpoint.failed(self.upstream.tolerance);
    }

    /// Says that a request got no usable response.
    pub(super) fn complain(&self, error: &str) {
        self.trouble.say(|before| {
            let (upstream, address) = (&*self.upstream.name, &*self.endpoint);
            tracing::warn!(upstream, %address, error, before, "no response");
        });
    }

    /// Counts a request in flight, or one less.
    pub(super) fn count(&self, change: i32) {
        self.active.set(self.active.get().saturating_add_signed(change));
    }

    /// An idle connection that is still open; the others are dropped.
    pub(super) fn checkout(&self) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let mut connection = idle.pop()?.connection;
            if connection.is_still_free() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(super) fn put_back(&self, connection: Box<Connection>) {
        let most = self.upstream.max_idle;
        if most == 0 || self.is_gone.get() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= most {
            idle.remove(0);
        }
        idle.push(Idle { connection, seen: None });
    }

    /// Its name means others now: requests in flight come to their end, and no more follow.
    pub(super) fn leave(&self) {
        self.is_gone.set(true);
        self.idle.borrow_mut().clear();
    }

    /// Whether there are idle connections.
    pub(super) fn has_idle(&self) -> bool {
        !self.idle.borrow().is_empty()
    }

    /// Drops idle connections that are closed, or have been idle for too long.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.idle.borrow_mut().retain_mut(|idle| {
            let idle_for = now.duration_since(*idle.seen.get_or_insert(now));
            idle.connection.is_still_free() && idle_for < IDLE_TIMEOUT
        });
    }

    /// Closes the connection that has been idle longest; false if there is none.
    pub(super) fn close_an_idle_one(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let longest = (!idle.is_empty()).then(|| idle.remove(0));
        longest.is_some()
    }
}
