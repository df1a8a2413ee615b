//! One connection of HTTP/1, from its first byte to its end.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::exchange::{self, End, Exchange};
use super::head::PREFACE;
use super::wire::Wire;
use crate::pipeline::Answered;
use crate::reply::Cause;
use crate::server::client::{self, Client, Peer};
use crate::server::clock::Wait;
use crate::server::worker::Worker;
use crate::server::{STOP_TIMEOUT, linger};
use crate::socket::Socket;

/// How often it is looked whether a client that is owed a response is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A connection, and the client of its requests.
pub(super) struct Connection {
    /// Whom the pipeline knows.
    pub(super) client: Rc<Client>,
    /// What carries its messages.
    pub(super) wire: Rc<Wire>,
}

impl Connection {
    fn new(worker: Rc<Worker>, socket: Socket, peer: Peer) -> Self {
        let wire = Wire::new(Rc::clone(&worker), socket);
        let client = Client::new(worker, peer, client::Wire::H1(Rc::clone(&wire)));
        Self { client, wire }
    }

    /// Bounds the wait for a request, of which something has come or not.
    fn await_request(&self, begun: bool) {
        let Client { worker, deadlines, granted, .. } = &*self.client;
        granted.release(deadlines);
        let served = worker.served();
        let server = &served.plan.server;
        let timeout = if begun { server.client_header_timeout } else { server.keepalive_timeout };
        deadlines.set(Wait::Request, timeout);
    }

    /// The socket, and what has come and was not taken.
    fn into_rest(self) -> Option<(Socket, Bytes)> {
        let Self { client, wire } = self;
        drop(client);
        // Nobody else has it before the first request.
        let wire = Rc::into_inner(wire)?;
        Some((wire.socket.into_inner(), wire.input.into_inner().into_rest()))
    }

    /// A request's head is complete.
    pub(super) fn begin(&self) {
        self.client.deadlines.clear(Wait::Request);
        self.client.body_is_wanted.set(false);
    }

    /// The response is written, or never will be.
    pub(super) fn end(&self) {
        self.client.deadlines.clear(Wait::Look);
        self.client.deadlines.clear(Wait::Write);
        self.wire.rest();
    }

    /// Whether a client that is owed a response has left, or takes too long to read it. That it
    /// left is seen at once, but not while there are unread bytes of it, such as a second request:
    /// then it is looked for now and then. Nobody else is: ten thousand who wait for the answer to
    /// a wrong key would keep the worker from those who are served.
    pub(super) fn poll_lost(&self, cx: &mut Context<'_>) -> bool {
        let socket = &mut *self.wire.socket.borrow_mut();
        let mut input = self.wire.input.borrow_mut();
        if self.client.deadlines.passed(Wait::Write)
            || input.poll_gone(socket, &self.client.worker, cx)
        {
            return true;
        }
        if !input.hides_leaving() {
            return false;
        }
        self.client.deadlines.start(Wait::Look, LOOK_INTERVAL);
        if !self.client.deadlines.passed(Wait::Look) {
            return false;
        }
        self.client.deadlines.set(Wait::Look, LOOK_INTERVAL);
        socket.is_read_closed()
    }
}

/// What comes next over a connection.
enum Next<'a, F> {
    /// A request, or what cannot become one.
    Exchange(Exchange<'a, F>),
    /// The beginning of another version of HTTP.
    Preface,
    /// Nothing: neither side wants to go on.
    None,
}

/// Serves one connection until either side ends it, or it turns out to be one of HTTP/2: then it
/// comes back with what was read behind [`PREFACE`].
///
/// What it is made of stays outside of its future, which would hold that as well.
pub(in crate::server) fn serve(
    worker: Rc<Worker>,
    socket: Socket,
    peer: Peer,
) -> impl Future<Output = Option<(Socket, Bytes)>> {
    requests(Connection::new(worker, socket, peer))
}

async fn requests(connection: Connection) -> Option<(Socket, Bytes)> {
    let mut first = true;
    let end = loop {
        let mut exchange = match next(&connection, first).await {
            Next::Exchange(exchange) => exchange,
            Next::Preface => break None,
            Next::None => break Some(End::Broken),
        };
        let end = poll_fn(|cx| exchange.poll(cx)).await;
        if end != End::Next {
            break Some(end);
        }
        first = false;
    };
    match end {
        None => return connection.into_rest(),
        // Boxed, because every connection would be larger by them, and few need them for long.
        Some(End::Switched) => Box::pin(tunnel(connection)).await,
        Some(End::Last) => Box::pin(linger(&connection)).await,
        Some(End::Next) => {}
        Some(End::Broken) => {
            tracing::debug!(peer = ?connection.client.peer.address, "a client left or took too long")
        }
    }
    None
}

/// Answers what came over a connection before it could be one of requests, and ends it.
pub(in crate::server) async fn refuse(
    worker: Rc<Worker>,
    socket: Socket,
    peer: Peer,
    cause: Cause,
) {
    let connection = Connection::new(worker, socket, peer);
    let begun = poll_fn(|cx| Poll::Ready(exchange::begin(&connection, Err(cause), cx)));
    let mut exchange = begun.await;
    if poll_fn(|cx| exchange.poll(cx)).await == End::Last {
        linger(&connection).await;
    }
}

/// Waits for the head of a request, the first of a connection or another, or for what cannot become
/// one, and has it answered.
async fn next(connection: &Connection, first: bool) -> Next<'_, impl Future<Output = Answered>> {
    // What was sent ahead is no idle connection.
    let Connection { client, wire } = connection;
    let mut begun = first || !wire.input.borrow().is_empty();
    connection.await_request(begun);
    let mut told_to_stop = false;
    poll_fn(|cx| {
        client.deadlines.watch(cx.waker());
        if client.worker.is_stopping() && !told_to_stop {
            told_to_stop = true;
            client.deadlines.set(Wait::Request, STOP_TIMEOUT);
        }
        let mut input = wire.input.borrow_mut();
        let mut socket = wire.socket.borrow_mut();
        if let Poll::Ready(head) = input.poll_head(&mut socket, &client.worker, cx) {
            drop((input, socket));
            return Poll::Ready(match head {
                None => Next::None,
                // By prior knowledge; a client of TLS says so in the handshake (RFC 9113, section
                // 3.3).
                Some(Ok(head)) if first && head == PREFACE && !client.peer.is_secure() => {
                    Next::Preface
                }
                Some(head) => Next::Exchange(exchange::begin(connection, head, cx)),
            });
        }
        if !begun && !input.is_empty() {
            begun = true;
            connection.await_request(begun);
        }
        // Asked after the look: what came in time counts, however late it is looked at.
        if client.deadlines.passed(Wait::Request) {
            return Poll::Ready(Next::None);
        }
        Poll::Pending
    })
    .await
}

/// Hands the connection over to what was agreed on.
async fn tunnel(connection: Connection) {
    let Connection { client, wire } = connection;
    // Nobody else has them once the last exchange is over.
    let Some(client) = Rc::into_inner(client) else { return };
    let (worker, deadlines, granted) = client.into_parts();
    let Some(wire) = Rc::into_inner(wire) else { return };
    if let Some(tunnel) = wire.tunnel.into_inner() {
        let early = wire.input.into_inner().into_rest();
        let is_over = || granted.check(&worker, &deadlines).is_err();
        tunnel.run(wire.socket.into_inner(), early, &deadlines, is_over).await;
    }
}

/// Ends a connection after its last answer. Where the client may still be sending, what comes is
/// thrown away for a while: closing at once would reset the connection, and take the answer with
/// it.
async fn linger(Connection { client, wire }: &Connection) {
    let seems_done = poll_fn(|cx| {
        let more = wire.socket.borrow().poll_read_ready(cx).is_ready();
        Poll::Ready(!more && wire.input.borrow().has_all())
    });
    if seems_done.await {
        return;
    }
    let shut_down = poll_fn(|cx| Pin::new(&mut *wire.socket.borrow_mut()).poll_shutdown(cx));
    if shut_down.await.is_err() {
        return;
    }
    linger::read(&wire.socket, &client.worker, &client.deadlines).await;
}
