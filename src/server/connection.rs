//! One client connection, from accept to close.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;

use super::client_io::ClientIo;
use super::clock::{Deadlines, Wait};
use super::tunnel::Tunnel;
use super::worker::Worker;
use crate::forward;
use crate::observe::record::Record;
use crate::pipeline;
use crate::reply::{Asked, Cause, ErrorStyle, Reply};
use crate::socket::{SharedSocket, Socket};
use crate::upstream::lease::Lease;

/// How much of a message is buffered beyond the longest head.
const BUFFER_SIZE: usize = 64 * 1024;

/// How long an idle connection is kept after a stop: long enough for a request that is on its way,
/// which is answered with `Connection: close`. Closing at once would lose it.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// How often it is looked whether a client that is owed a response is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

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
    /// Whether the upstream has said `100 Continue`.
    pub(crate) body_is_wanted: Cell<bool>,
    /// What waits to be written between two responses: informational ones, or a refusal of what is
    /// no request.
    pub(super) hints: RefCell<Vec<u8>>,
    /// How many heads came from the client and were not handed over yet.
    heads: Cell<u64>,
    /// Whether a response, or some of one, is still to be written.
    owed: Cell<bool>,
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
            body_is_wanted: Cell::default(),
            hints: RefCell::default(),
            heads: Cell::default(),
            owed: Cell::new(false),
        })
    }

    /// Bytes came, and with them so many heads.
    pub(super) fn hears(&self, heads: u64, header_timeout: Duration) {
        self.heads.set(self.heads.get() + heads);
        if self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.deadlines.set(Wait::Request, header_timeout);
        }
    }

    /// A request's head is complete. False if the bytes of it were not seen to be one: then it was
    /// framed in two ways, and must be refused.
    #[must_use]
    pub(crate) fn begin(&self) -> bool {
        let seen = self.heads.get().checked_sub(1);
        self.heads.set(seen.unwrap_or(0));
        self.phase.set(Phase::Busy);
        self.owed.set(true);
        self.unread.set(true);
        self.deadlines.set(Wait::Look, LOOK_INTERVAL);
        self.body_is_wanted.set(false);
        self.deadlines.clear(Wait::Request);
        seen.is_some()
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
    fn drive_upload(&self, cx: &mut Context<'_>) {
        if self.deadlines.is_set(Wait::Write)
            && let Some(lease) = &mut *self.lease.borrow_mut()
        {
            // Whoever reads the response is told that it broke off.
            let _ = lease.drive(cx);
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

    /// Whether nothing of a request has come since the last one ended.
    pub(super) fn is_idle(&self) -> bool {
        self.phase.get() == Phase::Idle
    }

    /// Whether the client may still be sending a request that is not going to be read.
    pub(super) fn may_send_more(&self) -> bool {
        self.unread.get()
    }

    /// Everything that was to be written has gone out.
    pub(super) fn has_flushed(&self) {
        if self.phase.get() != Phase::Busy {
            self.owed.set(false);
        }
    }

    /// Whether every request that was handed over has got its response.
    pub(super) fn owes_nothing(&self) -> bool {
        !self.owed.get()
    }

    /// Answers and records what hyper does not take for a request and would answer with `head`.
    pub(super) fn refuse(&self, head: &[u8]) {
        let request_id = self.worker.request_id();
        let asked = Asked {
            style: &ErrorStyle::default(),
            headers: &HeaderMap::new(),
            request_id: request_id.to_str().unwrap_or_default(),
        };
        let response = Reply::closing(Cause::of_unreadable(head)).response(asked);
        let (mut head, body) = response.into_parts();
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        head.headers.insert(DATE, self.worker.date());
        let served = self.worker.served();
        let worker = Rc::clone(&self.worker);
        let mut record =
            Record::begin(worker, served, None, request_id.clone(), self.peer_value.clone());
        record.status = Some(head.status);
        record.add_bytes(body.len() as u64);
        let mut out = self.hints.borrow_mut();
        write_head(&mut out, head.status, &head.headers);
        out.extend_from_slice(&body);
    }

    /// Whether the next request has not come yet, or not whole.
    fn is_waiting(&self) -> bool {
        matches!(self.phase.get(), Phase::Idle | Phase::Head)
    }

    /// Ends the connection with a reset: for a client that could take a proper end for the end of a
    /// body.
    pub(crate) fn reset_when_closed(&self) {
        self.socket.reset_when_closed();
    }

    /// Lets a tunnel take the connection over once the `101` is written.
    pub(crate) fn switch_to(&self, tunnel: Tunnel) {
        *self.tunnel.borrow_mut() = Some(tunnel);
    }

    /// Passes a `103 Early Hints` on, before the response.
    pub(crate) fn hint(&self, headers: &HeaderMap) {
        let mut hints = self.hints.borrow_mut();
        let start = hints.len();
        write_head(&mut hints, StatusCode::EARLY_HINTS, forward::headers::hints(headers));
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
    // The pipeline writes it: hyper's stands still for an hour when the clock is set back by one.
    http.auto_date_header(false);
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
                let (socket, early) = parts.io.into_parts(parts.read_buf);
                // Boxed, because every connection would be larger by it, and few are one.
                Box::pin(tunnel.run(socket, early, &client.deadlines)).await;
            }
        }
    }
}

/// Writes the head of a response that hyper does not write.
fn write_head<'a>(
    out: &mut Vec<u8>,
    status: StatusCode,
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) {
    let reason = status.canonical_reason().unwrap_or_default();
    for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
}
