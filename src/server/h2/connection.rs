//! One connection of HTTP/2: a task that drives all of its streams.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;

use super::budget::Budget;
use super::head::Head;
use super::input::Incoming;
use super::meter::{Meter, Metered};
use super::stream::{self, End};
use super::wire::Wire;
use crate::head::RequestHead;
use crate::plan::ServerLimits;
use crate::server::body::ClientBody;
use crate::server::client::{self, Client, Peer};
use crate::server::clock::{Deadlines, Wait};
use crate::server::h1::head::Refusal;
use crate::server::worker::Worker;
use crate::server::{STOP_TIMEOUT, linger};
use crate::socket::Socket;

/// How much of a request's body may come before it is asked for, and of all of a connection's:
/// enough for 25 MB/s at a round trip of 10 ms, and little for a hundred streams that nobody reads.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How much of a response the crate may hold for a client that gives windows and reads nothing: two
/// frames, and 3 MiB for a hundred streams.
const MAX_SEND_BUFFER: usize = 32 * 1024;

/// The least that the crate is told to take as a header list. It counts frames of one as well, five
/// of them for a short list, where a client may send it in any number; what is longer than
/// `max_header_size` is answered here, as over HTTP/1.
const MIN_HEADER_LIST: usize = 128 * 1024;

/// How many requests a client may leave before they are answered, at once and a second (CVE-2023-
/// 44487). A person who types ahead leaves a few; whoever gets an answer earns another.
const MAX_LEFT: u32 = 200;
const LEFT_PER_SECOND: u32 = 10;

/// How long a client may take to read why its connection ends.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves a connection of which this was read already, until either side ends it.
pub(in crate::server) async fn serve(worker: Rc<Worker>, socket: Socket, ahead: Bytes, peer: Peer) {
    let deadlines = worker.clock.deadlines();
    let socket = Rc::new(RefCell::new(socket));
    let meter = Meter::new(Rc::clone(&deadlines));
    let metered = Metered::new(Rc::clone(&socket), ahead, &meter);
    let Some(h2) = begin(metered, &worker.served().plan.server, &deadlines).await else { return };
    deadlines.clear(Wait::Request);
    let left = Budget::new(MAX_LEFT, LEFT_PER_SECOND);
    let (streams, ending) = (FuturesUnordered::new(), Ending::Open);
    let mut connection = Connection { worker, peer, deadlines, meter, h2, streams, left, ending };
    let is_told = poll_fn(|cx| connection.poll(cx, stream::serve)).await;
    let Connection { worker, deadlines, h2, streams, .. } = connection;
    drop((streams, h2));
    if is_told {
        linger::read(&socket, &worker, &deadlines).await;
    }
}

/// Exchanges prefaces; none: the client does not, or not in time.
async fn begin(
    metered: Metered,
    limits: &ServerLimits,
    deadlines: &Deadlines,
) -> Option<server::Connection<Metered, Bytes>> {
    let list = limits.max_header_size.max(MIN_HEADER_LIST);
    let handshake = server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(limits.http2_max_concurrent_streams)
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .max_send_buffer_size(MAX_SEND_BUFFER)
        .handshake(metered);
    let mut handshake = pin!(handshake);
    deadlines.set(Wait::Request, limits.client_header_timeout);
    poll_fn(|cx| {
        deadlines.watch(cx.waker());
        match handshake.as_mut().poll(cx) {
            Poll::Ready(begun) => Poll::Ready(begun.ok()),
            Poll::Pending if deadlines.passed(Wait::Request) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// How far a connection has come with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It goes on.
    Open,
    /// The client has been told to send no more requests; those that have come are answered.
    Draining,
    /// Nothing more is answered; the client is being told why.
    Told,
}

/// A request, or why what came is none.
type Asked = Result<(RequestHead, ClientBody), Refusal>;

struct Connection<F> {
    worker: Rc<Worker>,
    peer: Peer,
    deadlines: Rc<Deadlines>,
    meter: Rc<Meter>,
    h2: server::Connection<Metered, Bytes>,
    /// The requests that are being answered.
    streams: FuturesUnordered<F>,
    /// How many more the client may leave.
    left: Budget,
    ending: Ending,
}

impl<F: Future<Output = End>> Connection<F> {
    /// Goes on until either side ends the connection; says whether the client may still be sending
    /// while it is told why.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        serve: impl Fn(Rc<Client>, Rc<Wire>, Asked) -> F,
    ) -> Poll<bool> {
        self.deadlines.watch(cx.waker());
        loop {
            // Before the crate, which sends what they say.
            self.poll_streams(cx);
            let mut goes_on = false;
            while let Poll::Ready(accepted) = self.h2.poll_accept(cx) {
                match accepted {
                    Some(Ok((request, respond))) if self.ending != Ending::Told => {
                        goes_on = true;
                        let (client, wire, asked) = self.begin(request, respond);
                        self.streams.push(serve(client, wire, asked));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tracing::debug!(reason = ?error.reason(), "a connection broke");
                        return Poll::Ready(error.is_library());
                    }
                    None => return Poll::Ready(self.ending == Ending::Told),
                }
            }
            if self.ending == Ending::Told {
                let is_late = self.deadlines.passed(Wait::Request);
                return if is_late { Poll::Ready(false) } else { Poll::Pending };
            }
            goes_on |= self.meter.release();
            if let Some(reason) = self.over() {
                self.tell(reason);
            } else if self.worker.is_stopping() && self.ending == Ending::Open {
                self.ending = Ending::Draining;
                self.deadlines.clear(Wait::Request);
                self.h2.graceful_shutdown();
            } else if !goes_on {
                return Poll::Pending;
            }
        }
    }

    fn poll_streams(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(end)) = self.streams.poll_next_unpin(cx) {
            match end {
                End::Answered => self.left.refund(1),
                End::Left if !self.left.spend(self.deadlines.now()) => {
                    self.tell(Reason::ENHANCE_YOUR_CALM);
                }
                End::Left | End::Broken => {}
            }
        }
    }

    /// Reads a request that has come.
    fn begin(
        &self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) -> (Rc<Client>, Rc<Wire>, Asked) {
        let (parts, stream) = request.into_parts();
        let has_ended = stream.is_end_stream();
        let max_size = self.worker.served().plan.server.max_header_size;
        let head = Head::new(parts, has_ended, max_size, self.worker.stock.empty());
        let wire = Wire::new(respond, &self.meter);
        let asked = head.map(|head| {
            if head.expects_continue {
                wire.await_continue();
            }
            let body = match has_ended {
                true => ClientBody::None,
                false => {
                    let body = Incoming::new(stream, Rc::clone(&wire), head.length);
                    ClientBody::H2(Box::new(body))
                }
            };
            (head.request, body)
        });
        let carried = client::Wire::H2(Rc::clone(&wire));
        let client = Client::new(Rc::clone(&self.worker), self.peer.clone(), carried);
        (client, wire, asked)
    }

    /// Why it is time to end, if it is.
    fn over(&self) -> Option<Reason> {
        let (deadlines, served) = (&self.deadlines, self.worker.served());
        let server = &served.plan.server;
        match (self.streams.is_empty(), self.ending) {
            (false, _) => deadlines.clear(Wait::Request),
            (true, Ending::Draining) => deadlines.start(Wait::Request, STOP_TIMEOUT),
            (true, _) => deadlines.start(Wait::Request, server.keepalive_timeout),
        }
        match self.meter.in_block() {
            true => deadlines.start(Wait::Body, server.client_header_timeout),
            false => deadlines.clear(Wait::Body),
        }
        if self.meter.is_over() || deadlines.passed(Wait::Body) {
            return Some(Reason::ENHANCE_YOUR_CALM);
        }
        deadlines.passed(Wait::Request).then_some(Reason::NO_ERROR)
    }

    /// Ends the connection: nothing that is under way goes on.
    fn tell(&mut self, reason: Reason) {
        tracing::debug!(peer = ?self.peer.address, ?reason, "a connection is ended");
        self.ending = Ending::Told;
        self.streams.clear();
        self.h2.abrupt_shutdown(reason);
        self.deadlines.clear(Wait::Body);
        self.deadlines.set(Wait::Request, GOODBYE_TIMEOUT);
    }
}
