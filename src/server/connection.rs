//! One client connection, from accept to close.

use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::clock::{Deadlines, Wait};
use super::grant::Granted;
use super::h1::exchange::{self, End, Exchange};
use super::h1::input::Input;
use super::h1::output::Output;
use super::pace::Pace;
use super::tunnel::Tunnel;
use super::worker::Worker;
use crate::fields::Fields;
use crate::forward;
use crate::http1::field_line;
use crate::pipeline::Answered;
use crate::reply::Reply;
use crate::socket::Socket;
use crate::upstream::lease::Lease;

/// How long an idle connection is kept after a stop: long enough for a request that is on its way,
/// which is answered with `Connection: close`. Closing at once would lose it.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// How often it is looked whether a client that is owed a response is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The most that informational responses may hold back for one request.
const MAX_HINTS: usize = 16 * 1024;

/// How long a connection that ends is read from, so that a client that is still sending gets to
/// read the answer instead of a reset (RFC 9112, section 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How much is read from a connection that ends.
const LINGER_SIZE: usize = 4 * 1024 * 1024;

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
    /// The connection itself.
    pub(super) socket: RefCell<Socket>,
    /// What came over it.
    pub(super) input: RefCell<Input>,
    /// What is to go out over it.
    pub(super) output: RefCell<Output>,
    /// The upstream's connection whose response is being streamed.
    pub(crate) lease: RefCell<Option<Lease>>,
    /// What takes the place of HTTP after a `101`; large, and seldom there.
    tunnel: RefCell<Option<Box<Tunnel>>>,
    /// What its request was let through with, if it ends with that.
    pub(crate) granted: Granted,
    /// Whether the upstream has said `100 Continue`.
    pub(crate) body_is_wanted: Cell<bool>,
}

/// An address as text. Most are of IPv4, for which `Display` takes ten times as long.
fn text_of(address: IpAddr) -> Vec<u8> {
    let IpAddr::V4(address) = address else { return address.to_string().into_bytes() };
    let mut text = Vec::with_capacity("255.255.255.255".len());
    for octet in address.octets() {
        if !text.is_empty() {
            text.push(b'.');
        }
        text.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
    }
    text
}

impl Client {
    fn new(worker: Rc<Worker>, socket: Socket, peer: Option<IpAddr>) -> Rc<Self> {
        let peer = peer.map(|address| address.to_canonical());
        let deadlines = worker.clock.deadlines();
        Rc::new(Self {
            worker,
            deadlines,
            peer,
            peer_value: peer.and_then(|address| HeaderValue::try_from(text_of(address)).ok()),
            socket: RefCell::new(socket),
            input: RefCell::new(Input::new()),
            output: RefCell::default(),
            lease: RefCell::default(),
            tunnel: RefCell::default(),
            granted: Granted::default(),
            body_is_wanted: Cell::default(),
        })
    }

    /// Bounds the wait for a request, of which something has come or not.
    fn await_request(&self, begun: bool) {
        self.granted.release(&self.deadlines);
        let served = self.worker.served();
        let server = &served.plan.server;
        let timeout = if begun { server.client_header_timeout } else { server.keepalive_timeout };
        self.deadlines.set(Wait::Request, timeout);
    }

    /// A request's head is complete.
    pub(super) fn begin(&self) {
        self.deadlines.clear(Wait::Request);
        self.body_is_wanted.set(false);
    }

    /// The response is written, or never will be.
    pub(super) fn end(&self) {
        self.deadlines.clear(Wait::Look);
        self.deadlines.clear(Wait::Write);
        self.input.borrow_mut().rest();
        self.output.borrow_mut().give_back(|room| self.worker.recycle_room(room));
    }

    /// Where to append what goes out.
    pub(super) fn output(&self) -> RefMut<'_, Output> {
        let mut output = self.output.borrow_mut();
        output.reuse(|| self.worker.empty_room());
        output
    }

    /// Writes everything that is to go out. Bounds how long the client may leave no room for it:
    /// only bytes that it takes end the wait.
    pub(super) fn poll_flush(&self, pace: &Pace, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut output = self.output.borrow_mut();
        while !output.is_empty() {
            match output.poll_write(&mut self.socket.borrow_mut(), cx)? {
                Poll::Ready(count) => pace.moved(&self.deadlines, count),
                Poll::Pending => {
                    pace.waits(&self.deadlines);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Goes on with an upload while the client takes nothing of the response: no more of a response
    /// is taken that cannot be written, and the request's body moves only when that is asked for. A
    /// client that sends everything before it reads anything would wait for ever.
    pub(super) fn drive_upload(&self, cx: &mut Context<'_>) {
        if self.deadlines.is_set(Wait::Write)
            && let Some(lease) = &mut *self.lease.borrow_mut()
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
        let socket = &mut *self.socket.borrow_mut();
        let mut input = self.input.borrow_mut();
        if self.deadlines.passed(Wait::Write) || input.poll_gone(socket, &self.worker, cx) {
            return true;
        }
        if !input.hides_leaving() {
            return false;
        }
        self.deadlines.start(Wait::Look, LOOK_INTERVAL);
        if !self.deadlines.passed(Wait::Look) {
            return false;
        }
        self.deadlines.set(Wait::Look, LOOK_INTERVAL);
        socket.is_read_closed()
    }

    /// Reads what has come of a body that nobody wants; says whether to read on.
    pub(super) fn drain(&self, cx: &mut Context<'_>) -> bool {
        let mut input = self.input.borrow_mut();
        input.is_whole() || input.drain(&mut self.socket.borrow_mut(), cx)
    }

    /// Tells the client to send the body.
    pub(super) fn say_continue(&self) {
        self.output().bytes().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Passes a `103 Early Hints` on, before the response.
    pub(crate) fn hint(&self, headers: &Fields) {
        let mut output = self.output();
        let out = output.bytes();
        let start = out.len();
        out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
        field_line::write_all(out, forward::headers::hints(headers));
        out.extend_from_slice(b"\r\n");
        if out.len() > MAX_HINTS {
            out.truncate(start);
        }
    }

    /// Asks whether what the request was let through with still holds.
    ///
    /// # Errors
    ///
    /// It does not; what the request would be answered now.
    pub(crate) fn check_grant(&self) -> Result<(), Reply> {
        self.granted.check(&self.worker, &self.deadlines)
    }

    /// Ends the connection with a reset: for a client that could take a proper end for the end of a
    /// body.
    pub(crate) fn reset_when_closed(&self) {
        self.socket.borrow().reset_when_closed();
    }

    /// Lets a tunnel take the connection over once the `101` is written.
    pub(crate) fn switch_to(&self, tunnel: Tunnel) {
        *self.tunnel.borrow_mut() = Some(Box::new(tunnel));
    }
}

/// Serves one connection until either side ends it.
pub(crate) async fn serve(worker: Rc<Worker>, socket: Socket, peer: Option<IpAddr>) {
    let client = Client::new(worker, socket, peer);
    let mut first = true;
    let end = loop {
        let Some(mut exchange) = next(&client, first).await else { break End::Broken };
        let end = poll_fn(|cx| exchange.poll(cx)).await;
        if end != End::Next {
            break end;
        }
        first = false;
    };
    match end {
        // Boxed, because every connection would be larger by them, and few need them for long.
        End::Switched => Box::pin(tunnel(client)).await,
        End::Last => Box::pin(linger(&client)).await,
        End::Next => {}
        End::Broken => tracing::debug!(peer = ?client.peer, "a client left or took too long"),
    }
}

/// Waits for the head of a request, the first of a connection or another, or for what cannot become
/// one, and has it answered; none: neither side wants to go on.
async fn next(
    client: &Rc<Client>,
    first: bool,
) -> Option<Exchange<'_, impl Future<Output = Answered>>> {
    // What was sent ahead is no idle connection.
    let mut begun = first || !client.input.borrow().is_empty();
    client.await_request(begun);
    let mut told_to_stop = false;
    poll_fn(|cx| {
        client.deadlines.watch(cx.waker());
        if client.worker.is_stopping() && !told_to_stop {
            told_to_stop = true;
            client.deadlines.set(Wait::Request, STOP_TIMEOUT);
        }
        let mut input = client.input.borrow_mut();
        let mut socket = client.socket.borrow_mut();
        if let Poll::Ready(head) = input.poll_head(&mut socket, &client.worker, cx) {
            drop((input, socket));
            return Poll::Ready(head.map(|head| exchange::begin(client, head, cx)));
        }
        if !begun && !input.is_empty() {
            begun = true;
            client.await_request(begun);
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
async fn tunnel(client: Rc<Client>) {
    // Nobody else has it once its last exchange is over.
    let Some(client) = Rc::into_inner(client) else { return };
    if let Some(tunnel) = client.tunnel.into_inner() {
        let early = client.input.into_inner().into_rest();
        let is_over = || client.granted.check(&client.worker, &client.deadlines).is_err();
        tunnel.run(client.socket.into_inner(), early, &client.deadlines, is_over).await;
    }
}

/// Ends a connection after its last answer. Where the client may still be sending, what comes is
/// thrown away for a while: closing at once would reset the connection, and take the answer with
/// it.
async fn linger(client: &Client) {
    let seems_done = poll_fn(|cx| {
        let more = client.socket.borrow().poll_read_ready(cx).is_ready();
        Poll::Ready(!more && client.input.borrow().has_all())
    });
    if seems_done.await {
        return;
    }
    let shut_down = poll_fn(|cx| Pin::new(&mut *client.socket.borrow_mut()).poll_shutdown(cx));
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
            let polled = Pin::new(&mut *client.socket.borrow_mut()).poll_read(cx, &mut read);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_displayed() {
        for text in ["0.0.0.0", "1.20.255.100", "127.0.0.1", "::1", "2001:db8::ff"] {
            assert_eq!(text_of(text.parse().expect("an address")), text.as_bytes());
        }
    }
}
