//! One connection of HTTP/1, from its first byte to its end.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::exchange::{self, End, Exchange};
use super::wire::Wire;
use crate::pipeline::Answered;
use crate::server::STOP_TIMEOUT;
use crate::server::client::{self, Client, Peer};
use crate::server::clock::Wait;
use crate::server::worker::Worker;
use crate::socket::Socket;

/// How often it is looked whether a client that is owed a response is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a connection that ends is read from, so that a client that is still sending gets to
/// read the answer instead of a reset (RFC 9112, section 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How much is read from a connection that ends.
const LINGER_SIZE: usize = 4 * 1024 * 1024;

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

    /// Goes on with an upload while the client takes nothing of the response: no more of a response
    /// is taken that cannot be written, and the request's body moves only when that is asked for. A
    /// client that sends everything before it reads anything would wait for ever.
    pub(super) fn drive_upload(&self, cx: &mut Context<'_>) {
        if self.client.deadlines.is_set(Wait::Write)
            && let Some(lease) = &mut *self.client.lease.borrow_mut()
        {
            // Whoever reads the response is told that it broke off.
            let _ = lease.drive(cx);
        }
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

/// Serves one connection until either side ends it.
pub(in crate::server) async fn serve(worker: Rc<Worker>, socket: Socket, peer: Peer) {
    let connection = Connection::new(worker, socket, peer);
    let mut first = true;
    let end = loop {
        let Some(mut exchange) = next(&connection, first).await else { break End::Broken };
        let end = poll_fn(|cx| exchange.poll(cx)).await;
        if end != End::Next {
            break end;
        }
        first = false;
    };
    match end {
        // Boxed, because every connection would be larger by them, and few need them for long.
        End::Switched => Box::pin(tunnel(connection)).await,
        End::Last => Box::pin(linger(&connection)).await,
        End::Next => {}
        End::Broken => {
            tracing::debug!(peer = ?connection.client.peer.address, "a client left or took too long")
        }
    }
}

/// Waits for the head of a request, the first of a connection or another, or for what cannot become
/// one, and has it answered; none: neither side wants to go on.
async fn next(
    connection: &Connection,
    first: bool,
) -> Option<Exchange<'_, impl Future<Output = Answered>>> {
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
            return Poll::Ready(head.map(|head| exchange::begin(connection, head, cx)));
        }
        if !begun && !input.is_empty() {
            begun = true;
            connection.await_request(begun);
        }
        // Asked after the look: what came in time counts, however late it is looked at.
        if client.deadlines.passed(Wait::Request) {
            return Poll::Ready(None);
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
    client.deadlines.set(Wait::Body, LINGER_TIMEOUT);
    let mut left = LINGER_SIZE;
    poll_fn(|cx| {
        client.deadlines.watch(cx.waker());
        let mut scratch = client.worker.scratch.borrow_mut();
        loop {
            let mut read = ReadBuf::new(&mut scratch);
            let polled = Pin::new(&mut *wire.socket.borrow_mut()).poll_read(cx, &mut read);
            if client.deadlines.passed(Wait::Body) {
                return Poll::Ready(());
            }
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if (1..=left).contains(&read.filled().len()) => {
                    left -= read.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}
