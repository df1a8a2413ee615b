//! One worker's connections to one upstream.
//!
//! A connection belongs to the request that uses it and is driven by that request's task: no task
//! of its own, no channel between tasks. A request that is dropped closes its connection, so
//! nothing half-used ever comes back.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, Parts, SendRequest};
use hyper_util::rt::TokioIo;

use super::balance::{Candidate, Turns};
use super::connect::connect;
use super::lines::Lines;
use super::stream::Stream;
use super::waker::LinkWaker;
use crate::forward::body::RequestBody;
use crate::observe::seldom::Seldom;
use crate::plan::{ListenAddr, Target, Upstream};
use crate::socket::SharedSocket;

/// How long an idle connection is kept. What upstreams close themselves is noticed when it happens;
/// this bounds those that never do.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an address that refused a connection is passed over while there are others: nginx's
/// `fail_timeout`.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// How much of a message is buffered: the limit of a response's head, and of what waits to be sent.
const BUFFER_SIZE: usize = 64 * 1024;

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
    link: Box<Link>,
    /// When a sweep first saw it idle: reading the clock for each request would be a waste.
    seen: Option<Instant>,
}

/// A connection and the end of it that sends. It is large, and boxed so that it is not copied when
/// it changes hands.
struct Link {
    sender: SendRequest<RequestBody>,
    connection: Connection<TokioIo<Stream>, RequestBody>,
    socket: SharedSocket,
    /// What is expected of the bytes that come.
    lines: Rc<Cell<Lines>>,
    /// Who is woken, as hyper sees it: always the same.
    waker: Waker,
    /// The same, as it is told whom to wake.
    wakes: Arc<LinkWaker>,
    closed: bool,
}

impl Link {
    /// Moves bytes in both directions as far as they go.
    fn drive(&mut self, cx: &Context<'_>) {
        if self.closed {
            return;
        }
        self.wakes.follow(cx.waker());
        let mut cx = Context::from_waker(&self.waker);
        self.closed = self.connection.poll_without_shutdown(&mut cx).is_ready();
    }

    /// Whether another request can be sent, as far as is known.
    fn is_ready(&self) -> bool {
        !self.closed && self.sender.is_ready()
    }

    /// Whether another request can be sent now. Anything to read on an idle connection is a close,
    /// or bytes that nobody asked for; driving it shows which, and either way it is not used again.
    /// Most of the time there is nothing, and asking the socket is all it costs.
    fn is_still_ready(&mut self, cx: &Context<'_>) -> bool {
        let mut own = Context::from_waker(&self.waker);
        if self.socket.poll_read_ready(&mut own).is_ready() {
            self.drive(cx);
        }
        self.is_ready()
    }
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
            if !fresh && let Some(link) = self.addresses[index].checkout().await {
                return Ok(Lease { link, slot, reused: true, last: false });
            }
            match self.connect(index).await {
                Ok(link) => return Ok(Lease { link, slot, reused: false, last: false }),
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

    async fn connect(&self, index: usize) -> std::io::Result<Box<Link>> {
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
        let socket = SharedSocket::new(socket);
        let lines = Rc::<Cell<Lines>>::default();
        let io = TokioIo::new(Stream::new(socket.clone(), Rc::clone(&lines)));
        let handshake = Builder::new().max_buf_size(BUFFER_SIZE).handshake(io);
        let (sender, connection) = handshake.await.map_err(std::io::Error::other)?;
        let wakes = Arc::<LinkWaker>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        Ok(Box::new(Link { sender, connection, socket, lines, waker, wakes, closed: false }))
    }

    /// Whether there are idle connections.
    pub(crate) fn has_idle(&self) -> bool {
        self.addresses.iter().any(|address| !address.idle.borrow().is_empty())
    }

    /// Drops idle connections that are closed, or have been idle for too long.
    pub(crate) fn sweep(&self) {
        let cx = Context::from_waker(Waker::noop());
        let now = Instant::now();
        for address in &self.addresses {
            address.idle.borrow_mut().retain_mut(|idle| {
                let idle_for = now.duration_since(*idle.seen.get_or_insert(now));
                idle.link.is_still_ready(&cx) && idle_for < IDLE_TIMEOUT
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

    fn put_back(&self, index: usize, link: Box<Link>) {
        if self.upstream.max_idle == 0 {
            return;
        }
        let mut idle = self.addresses[index].idle.borrow_mut();
        if idle.len() >= self.upstream.max_idle {
            idle.remove(0);
        }
        idle.push(Idle { link, seen: None });
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
    async fn checkout(&self) -> Option<Box<Link>> {
        poll_fn(|cx| {
            loop {
                let Some(Idle { mut link, .. }) = self.idle.borrow_mut().pop() else {
                    return Poll::Ready(None);
                };
                if link.is_still_ready(cx) {
                    return Poll::Ready(Some(link));
                }
            }
        })
        .await
    }
}

/// What comes of a request: a response, or why there is none, and the request if none of it was
/// sent.
pub(crate) type Answered = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// A connection that belongs to one request.
pub(crate) struct Lease {
    link: Box<Link>,
    slot: Slot,
    reused: bool,
    /// Whether this is its last request.
    last: bool,
}

/// A request's place in the count of its address.
pub(crate) struct Slot {
    pool: Rc<Pool>,
    index: usize,
}

impl Slot {
    fn take(pool: &Rc<Pool>, index: usize) -> Self {
        let active = &pool.addresses[index].active;
        active.set(active.get() + 1);
        Self { pool: Rc::clone(pool), index }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let active = &self.pool.addresses[self.index].active;
        active.set(active.get() - 1);
    }
}

impl Lease {
    /// What the operator wrote about the upstream.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.slot.pool.upstream
    }

    /// The `Host` of the address itself.
    pub(crate) fn own_host(&self) -> &HeaderValue {
        &self.slot.pool.addresses[self.slot.index].host
    }

    /// Whether it has carried a request before: only then can the upstream have closed it
    /// meanwhile.
    pub(crate) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Moves bytes in both directions as far as they go.
    pub(crate) fn drive(&mut self, cx: &Context<'_>) {
        self.link.drive(cx);
    }

    /// Sends a request. The answer comes while the connection is driven, and wakes nobody.
    pub(crate) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Answered> + use<> {
        let Link { sender, lines, wakes, .. } = &mut *self.link;
        lines.set(Lines::expected());
        wakes.muted(|| sender.try_send_request(request))
    }

    /// Takes the next piece of a response's body, and drives the connection if there is none yet.
    /// Pieces come by driving it, here: they have nobody to wake, and neither has the room that
    /// taking one makes.
    pub(crate) fn poll_body(
        &mut self,
        body: &mut Incoming,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut unwoken = Context::from_waker(Waker::noop());
        let mut take =
            |wakes: &LinkWaker| wakes.muted(|| Pin::new(&mut *body).poll_frame(&mut unwoken));
        if let Poll::Ready(frame) = take(&self.link.wakes) {
            return Poll::Ready(frame);
        }
        self.link.drive(cx);
        take(&self.link.wakes)
    }

    /// Says that a request got no usable response.
    pub(crate) fn complain(&self, error: &str) {
        let Slot { pool, index } = &self.slot;
        pool.addresses[*index].trouble.say(|before| {
            let address = &pool.upstream.addrs[*index].target;
            tracing::warn!(upstream = &*pool.upstream.name, ?address, error, before, "no response");
        });
    }

    /// Lets no other request use the connection.
    pub(crate) fn use_no_more(&mut self) {
        self.last = true;
    }

    /// Returns the connection for the next request, if it can carry one: not when the upstream
    /// closes it, nor when the request was answered before all of it was sent.
    pub(crate) fn give_back(self) {
        let Self { mut link, slot, last, .. } = self;
        if last {
            return;
        }
        if !link.is_ready() {
            // The end of the response may not have been seen yet.
            link.drive(&Context::from_waker(Waker::noop()));
        }
        if link.is_ready() {
            slot.pool.put_back(slot.index, link);
        }
    }

    /// Takes the stream out of a connection that has switched protocols, with the bytes that came
    /// after the response's head, and the place that it goes on taking.
    pub(crate) async fn into_stream(self) -> (SharedSocket, Bytes, Slot) {
        let Self { mut link, slot, .. } = self;
        poll_fn(|cx| {
            link.drive(cx);
            if link.closed { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let Parts { io, read_buf, .. } = link.connection.into_parts();
        (io.into_inner().into_inner(), read_buf, slot)
    }
}
