//! One worker's connections to one place where an upstream can be reached.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::uri::Scheme;

use super::balance::Candidate;
use super::connect::connect;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::h2::links::Links;
use super::lease::Way;
use super::pool::Here;
use crate::observe::seldom::Seldom;
use crate::plan::{Protocol, Target, Upstream, UpstreamAddr};
use crate::socket::{Socket, is_out_of_descriptors};
use crate::timers::Timers;
use crate::tls::Alpn;

/// How long an idle connection is kept. What upstreams close themselves is noticed when it happens;
/// this bounds those that never do.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// One worker's view of one endpoint.
pub(crate) struct Address {
    upstream: Arc<Upstream>,
    endpoint: Arc<Endpoint>,
    /// What `Host` says when it is to be the upstream's own.
    host: HeaderValue,
    here: Here,
    /// The connections of HTTP/2, if it speaks that; there are none of the others then.
    links: Option<Rc<Links>>,
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
pub(crate) fn own_host(addr: &UpstreamAddr) -> HeaderValue {
    const LOCALHOST: HeaderValue = HeaderValue::from_static("localhost");
    // A port that goes without saying is not said (RFC 9110, section 4.2).
    let usual = if addr.tls { ":443" } else { ":80" };
    match &addr.target {
        // A target's host is a name or an address, so this is always a value.
        target @ Target::Tcp { .. } => {
            let text = target.to_string();
            HeaderValue::from_str(text.strip_suffix(usual).unwrap_or(&text)).unwrap_or(LOCALHOST)
        }
        Target::Unix(_) => LOCALHOST,
    }
}

impl Address {
    /// A view without connections.
    pub(super) fn new(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>, here: Here) -> Rc<Self> {
        let is_shared = upstream.protocol == Protocol::Http2;
        Rc::new_cyclic(|address| Self {
            upstream,
            host: own_host(endpoint.addr()),
            endpoint,
            here,
            links: is_shared.then(|| Links::new(Weak::clone(address))),
            idle: RefCell::default(),
            active: Cell::new(0),
            is_gone: Cell::new(false),
            trouble: Seldom::default(),
        })
    }

    /// What the operator wrote about the upstream.
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// What all workers know about it.
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// What ends waits.
    pub(super) fn timers(&self) -> &Timers {
        &self.here.timers
    }

    /// What requests to it are asked for by.
    pub(super) fn scheme(&self) -> Scheme {
        if self.endpoint.addr().tls { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// The `Host` of the address itself.
    pub(crate) fn own_host(&self) -> &HeaderValue {
        &self.host
    }

    /// What there is to know for a choice.
    pub(super) fn candidate(&self, eligible: bool) -> Candidate {
        Candidate { weight: self.endpoint.weight(), active: self.active.get(), eligible }
    }

    /// A way for a request over a new connection, or over one that others share.
    ///
    /// # Errors
    /// Why there is none; what is wrong with the address has been logged.
    pub(super) async fn connect(&self) -> io::Result<Way> {
        match &self.links {
            Some(links) => {
                let patience = self.upstream.connect_timeout;
                links.wait(self.timers(), patience).await.map(Way::Stream)
            }
            None => {
                let connection = Connection::new(self.open().await?);
                Ok(Way::Connection(Box::new(connection)))
            }
        }
    }

    /// A new connection, on which nothing was said.
    ///
    /// # Errors
    /// Why there is none; it has been logged.
    pub(super) async fn open(&self) -> io::Result<Socket> {
        let Self { upstream, endpoint, here, .. } = self;
        let connecting = connect(upstream, endpoint, Alpn::from(upstream.protocol), &here.own);
        let connected = here.timers.timeout(upstream.connect_timeout, connecting).await;
        match connected.unwrap_or_else(|elapsed| Err(elapsed.into())) {
            Ok(socket) => {
                self.endpoint.connected();
                self.trouble.is_over();
                Ok(socket)
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
    pub(super) fn cannot_connect(&self, error: &io::Error) {
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

    /// A way that is there: an idle connection that is still open, if it need not be `fresh`, or
    /// room on a shared one. Idle connections that are not open are dropped.
    pub(super) fn checkout(&self, fresh: bool) -> Option<Way> {
        if let Some(links) = &self.links {
            return links.stream().map(Way::Stream);
        }
        if fresh {
            return None;
        }
        let mut idle = self.idle.borrow_mut();
        loop {
            let mut connection = idle.pop()?.connection;
            if connection.is_still_free() {
                return Some(Way::Connection(connection));
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
        if let Some(links) = &self.links {
            links.leave();
        }
    }

    /// Whether there are idle connections.
    pub(super) fn has_idle(&self) -> bool {
        !self.idle.borrow().is_empty() || self.links.as_ref().is_some_and(|links| links.has_any())
    }

    /// Drops idle connections that are closed, or have been idle for too long.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        if let Some(links) = &self.links {
            links.sweep(now);
        }
        self.idle.borrow_mut().retain_mut(|idle| {
            let idle_for = now.duration_since(*idle.seen.get_or_insert(now));
            idle.connection.is_still_free() && idle_for < IDLE_TIMEOUT
        });
    }

    /// Closes the connection that has been idle longest; false if there is none.
    pub(super) fn close_an_idle_one(&self) -> bool {
        if let Some(links) = &self.links {
            return links.close_an_idle_one();
        }
        let mut idle = self.idle.borrow_mut();
        let longest = (!idle.is_empty()).then(|| idle.remove(0));
        longest.is_some()
    }
}
