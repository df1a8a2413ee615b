//! One client connection, from accept to close.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::clock::{Deadlines, Wait};
use super::tunnel::Tunnel;
use super::worker::Worker;
use crate::forward::{self, interim::Interim};
use crate::pipeline;
use crate::plan::ServerLimits;
use crate::socket::{SharedSocket, Socket};
use crate::upstream::pool::Lease;

/// How much of a message is buffered beyond the longest head.
const BUFFER_SIZE: usize = 64 * 1024;

/// How long an idle connection is kept after a stop: long enough for a request that is on its way,
/// which is answered with `Connection: close`. Closing at once would lose it.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// How often it is looked whether a client that is owed a response is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a connection that ends is read from, so that a client that is still sending gets to
/// read the answer instead of a reset (RFC 9112, section 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How much is read from a connection that ends.
const LINGER_SIZE: usize = 4 * 1024 * 1024;

/// The most that informational responses may hold back for one request.
const MAX_HINTS: usize = 16 * 1024;

/// What the requests of one connection share.
pub(crate) struct Client {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Its timeouts.
    pub(crate) deadlines: Rc<Deadlines>,
    /// Who connected; none on a unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// The same, as it stands in header fields.
    pub(crate) peer_value: Option<HeaderValue>,
    /// The connection itself, to be looked at only.
    socket: SharedSocket,
    /// How far the current request has come.
    phase: Cell<Phase>,
    /// Whether the client may still be sending a request that is not going to be read.
    unread: Cell<bool>,
    /// The upstream's connection whose response is being streamed.
    pub(crate) lease: RefCell<Option<Lease>>,
    /// What takes the place of HTTP after a `101`.
    tunnel: RefCell<Option<Tunnel>>,
    /// What the upstream said before its response.
    pub(crate) interim: Arc<Interim>,
    /// Informational responses that wait to be written.
    hints: RefCell<Vec<u8>>,
}

/// How far a connection's current request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of it has been read.
    Idle,
    /// Its head is being read.
    Head,
    /// Its response has not ended.
    Busy,
}

impl Client {
    fn new(worker: Rc<Worker>, socket: SharedSocket, peer: Option<IpAddr>) -> Rc<Self> {
        let peer = peer.map(|address| address.to_canonical());
        let deadlines = worker.clock.deadlines();
        Rc::new(Self {
            worker,
            deadlines,
            peer,
            peer_value: peer.and_then(|address| HeaderValue::from_str(&address.to_string()).ok()),
            socket,
            phase: Cell::new(Phase::Head),
            unread: Cell::new(true),
            lease: RefCell::default(),
            tunnel: RefCell::default(),
            interim: Arc::default(),
            hints: RefCell::default(),
        })
    }

    /// A request's head is complete.
    pub(crate) fn begin(&self) {
        self.phase.set(Phase::Busy);
        self.unread.set(true);
        self.deadlines.set(Wait::Look, LOOK_INTERVAL);
        self.interim.reset();
        self.deadlines.clear(Wait::Request);
    }

    /// The request has been read whole.
    pub(crate) fn read_whole(&self) {
        self.unread.set(false);
    }

    /// The response is written, or as good as: the next request may come.
    pub(crate) fn end(&self) {
        self.phase.set(Phase::Idle);
        self.deadlines.clear(Wait::Look);
        if self.worker.is_stopping() {
            self.deadlines.set(Wait::Request, STOP_TIMEOUT);
        } else {
            let timeout = self.worker.served().plan.server.keepalive_timeout;
            self.deadlines.set(Wait::Request, timeout);
        }
    }

    /// Goes on with an upload while the client takes nothing of the response: hyper asks for no
    /// more of a response that it cannot write, and the request's body moves only when that is
    /// asked for. A client that sends everything before it reads anything would wait for ever.
    fn drive_upload(&self, cx: &Context<'_>) {
        if self.deadlines.is_set(Wait::Write)
            && let Some(lease) = &mut *self.lease.borrow_mut()
        {
            lease.drive(cx);
        }
    }

    /// Whether the client has left while it was owed a response. hyper notices at once, but not
    /// while there are unread bytes of the client, such as a second request.
    fn is_gone(&self) -> bool {
        if !self.deadlines.passed(Wait::Look) {
            return false;
        }
        self.deadlines.set(Wait::Look, LOOK_INTERVAL);
        self.socket.is_read_closed()
    }

    /// Whether the next request has not come yet, or not whole.
    fn is_waiting(&self) -> bool {
        matches!(self.phase.get(), Phase::Idle | Phase::Head)
    }

    /// Lets a tunnel take the connection over once the `101` is written.
    pub(crate) fn switch_to(&self, tunnel: Tunnel) {
        *self.tunnel.borrow_mut() = Some(tunnel);
    }

    /// Passes a `103 Early Hints` on, before the response.
    pub(crate) fn hint(&self, headers: &HeaderMap) {
        let mut hints = self.hints.borrow_mut();
        let start = hints.len();
        hints.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
        for (name, value) in forward::headers::hints(headers) {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                hints.extend_from_slice(part);
            }
        }
        hints.extend_from_slice(b"\r\n");
        if hints.len() > MAX_HINTS {
            hints.truncate(start);
        }
    }
}

/// Serves one connection until either side ends it.
pub(crate) async fn serve(worker: Rc<Worker>, socket: Socket, peer: Option<IpAddr>) {
    let socket = SharedSocket::new(socket);
    let client = Client::new(worker, socket.clone(), peer);
    let limits = client.worker.served().plan.server.clone();
    client.deadlines.set(Wait::Request, limits.client_header_timeout);
    let service = service_fn(|request: Request<Incoming>| {
        let client = Rc::clone(&client);
        async move { Ok::<_, Infallible>(pipeline::handle(client, request).await) }
    });
    let mut http = Builder::new();
    http.max_header_size(limits.max_header_size);
    http.max_buf_size(BUFFER_SIZE.max(limits.max_header_size));
    let io = ClientIo::new(socket, Rc::clone(&client), &limits);
    let mut connection = http.serve_connection(io, service);
    let mut told_to_stop = false;
    let ended = poll_fn(|cx| {
        client.deadlines.watch(cx.waker());
        if client.worker.is_stopping() && !told_to_stop {
            told_to_stop = true;
            if client.is_waiting() {
                client.deadlines.set(Wait::Request, STOP_TIMEOUT);
            }
        }
        let polled = Pin::new(&mut connection).poll(cx);
        client.drive_upload(cx);
        // Asked after the poll: what came in time counts, however late it is looked at.
        let late = client.deadlines.passed(Wait::Request) || client.deadlines.passed(Wait::Write);
        if polled.is_pending() && (late || client.is_gone()) {
            Poll::Ready(None)
        } else {
            polled.map(Some)
        }
    })
    .await;
    match ended {
        None => tracing::debug!(peer = ?client.peer, "the client took too long"),
        Some(Err(error)) => tracing::debug!(peer = ?client.peer, %error, "the connection broke"),
        Some(Ok(())) => {
            let tunnel = client.tunnel.take();
            if let Some(tunnel) = tunnel {
                let parts = connection.into_parts();
                tunnel.run(parts.io.into_socket(), parts.read_buf, &client.deadlines).await;
            }
        }
    }
}

/// The socket as hyper sees it: with timeouts, informational responses and a lingering close.
struct ClientIo {
    socket: TokioIo<SharedSocket>,
    client: Rc<Client>,
    header_timeout: Duration,
    write_timeout: Duration,
    /// Whether everything that hyper wrote has gone out, so that other bytes may be written.
    flushed: bool,
    linger: Option<Linger>,
}

impl ClientIo {
    fn new(socket: SharedSocket, client: Rc<Client>, limits: &ServerLimits) -> Self {
        Self {
            socket: TokioIo::new(socket),
            client,
            header_timeout: limits.client_header_timeout,
            write_timeout: limits.client_body_timeout,
            flushed: true,
            linger: None,
        }
    }

    fn into_socket(self) -> SharedSocket {
        self.socket.into_inner()
    }

    /// Bounds how long the client may leave no room to write: only bytes that it took, or that
    /// there are none left, end the wait. A connection is not idle before its response has gone
    /// out.
    fn watch_write<T>(&self, polled: Poll<T>) -> Poll<T> {
        let deadlines = &self.client.deadlines;
        let idle = self.client.phase.get() == Phase::Idle;
        if polled.is_pending() {
            deadlines.start(Wait::Write, self.write_timeout);
            if idle {
                deadlines.clear(Wait::Request);
            }
        } else if deadlines.is_set(Wait::Write) {
            deadlines.clear(Wait::Write);
            if idle {
                self.client.end();
            }
        }
        polled
    }

    /// Writes informational responses, between two responses only.
    fn poll_hints(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut hints = self.client.hints.borrow_mut();
        if !self.flushed {
            hints.clear();
        }
        while !hints.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &hints))?;
            hints.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        if self.client.phase.get() == Phase::Idle {
            self.client.phase.set(Phase::Head);
            self.client.deadlines.set(Wait::Request, self.header_timeout);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let hinted = self.poll_hints(cx);
        if hinted.is_pending() {
            return self.watch_write(Poll::Pending);
        }
        ready!(hinted)?;
        self.flushed = false;
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.watch_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes when it has nothing left to write: a response has gone out whole, or none has
    /// begun.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed = true;
        let hinted = self.poll_hints(cx);
        self.watch_write(hinted)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            if !self.client.unread.get() {
                return Poll::Ready(Ok(()));
            }
            self.client.deadlines.clear(Wait::Request);
            self.linger = Some(Linger::new());
        }
        let Self { socket, linger, .. } = &mut *self;
        match linger {
            Some(linger) => linger.poll_drain(socket, cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// The end of a connection on which the client may still be sending: what comes is thrown away for
/// a while, because closing at once would reset the connection and take the answer with it.
struct Linger {
    left: usize,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Linger {
    fn new() -> Self {
        Self { left: LINGER_SIZE, sleep: Box::pin(tokio::time::sleep(LINGER_TIMEOUT)) }
    }

    fn poll_drain(&mut self, socket: &mut TokioIo<SharedSocket>, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut scratch = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut *socket).poll_read(cx, buf.unfilled()));
            let count = buf.filled().len();
            if read.is_err() || count == 0 || count > self.left {
                return Poll::Ready(());
            }
            self.left -= count;
        }
    }
}
