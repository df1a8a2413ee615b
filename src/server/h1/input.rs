//! What comes from a client: heads, and the bodies behind them, read from its socket by whoever
//! wants them.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::io::AsyncReadExt;

use super::head::Search;
use super::wire::Wire;
use crate::forward::body::BodyError;
use crate::http1::body::{Decoded, Decoder};
use crate::http1::lines::EmptyLine;
use crate::http1::stock::Stock;
use crate::reply::Cause;
use crate::server::worker::Worker;
use crate::socket::Socket;

/// How much of a body is read at a time, at most and while it is not known how much comes.
const MAX_READ: usize = 64 * 1024;
const USUAL_READ: usize = 16 * 1024;

/// How much is read of what comes before it is asked for.
const AHEAD: usize = 8 * 1024;

/// How much of a body that nobody wants is read, so that the next request can follow on the same
/// connection.
const MAX_DRAINED: usize = 64 * 1024;

/// What has come from one client and was not used yet, and what is due next.
#[derive(Debug)]
pub(crate) struct Input {
    left: BytesMut,
    search: Search,
    /// What is left of the current request's body.
    body: Decoder,
    /// Whether the client waits to be told to send it.
    waits_to_continue: bool,
    /// Whether somebody may still read it.
    wanted: bool,
    /// Whether it has broken off: whatever follows is no request.
    broken: bool,
}

impl Input {
    /// Nothing has come.
    pub(crate) fn new() -> Self {
        Self {
            left: BytesMut::new(),
            search: Search::default(),
            body: Decoder::length(0),
            waits_to_continue: false,
            wanted: false,
            broken: false,
        }
    }

    /// Whether nothing has come of the next request.
    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Whether the current request has come whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.is_at_end() && !self.broken
    }

    /// Whether nothing is known to come any more: the current request has come whole, and nothing
    /// behind it.
    pub(crate) fn has_all(&self) -> bool {
        self.is_whole() && self.left.is_empty()
    }

    /// Whether another request may be read. Whoever still held the body of this one would read the
    /// other's.
    pub(crate) fn is_done(&self) -> bool {
        self.is_whole() && !self.wanted
    }

    /// Reads on until a head is there, or what cannot become one; none: the stream has ended.
    pub(crate) fn poll_head(
        &mut self,
        socket: &mut Socket,
        worker: &Worker,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Cause>>> {
        let max_size = worker.served().plan.server.max_header_size;
        let stock = &worker.stock;
        if !self.left.is_empty()
            && let Some(head) = self.head_in_left(max_size, &stock.empty_line).transpose()
        {
            return Poll::Ready(Some(head));
        }
        loop {
            let mut scratch = worker.scratch.borrow_mut();
            let Ok(count @ 1..) = ready!(socket.poll_recv(cx, &mut scratch)) else {
                return Poll::Ready(None);
            };
            let bytes = &scratch[..count];
            let head = match self.left.is_empty() {
                // Nearly every head comes whole, and alone: it is copied once, and nothing else.
                true => self.head_in(bytes, max_size, stock),
                false => {
                    self.left.extend_from_slice(bytes);
                    self.head_in_left(max_size, &stock.empty_line)
                }
            };
            if let Some(head) = head.transpose() {
                return Poll::Ready(Some(head));
            }
        }
    }

    fn head_in(
        &mut self,
        bytes: &[u8],
        max_size: usize,
        stock: &Stock,
    ) -> Result<Option<Bytes>, Cause> {
        let Some((start, end)) = self.search.next(bytes, max_size, &stock.empty_line)? else {
            self.left = BytesMut::from(bytes);
            return Ok(None);
        };
        self.search = Search::default();
        self.left = BytesMut::from(&bytes[end..]);
        Ok(Some(stock.copy(&bytes[start..end])))
    }

    fn head_in_left(
        &mut self,
        max_size: usize,
        empty_line: &EmptyLine,
    ) -> Result<Option<Bytes>, Cause> {
        let Some((start, end)) = self.search.next(&self.left, max_size, empty_line)? else {
            return Ok(None);
        };
        self.search = Search::default();
        Ok(Some(self.left.split_to(end).freeze().slice(start..)))
    }

    /// A request has begun whose body is this.
    pub(crate) fn begin(&mut self, body: Decoder, waits_to_continue: bool) {
        self.wanted = !body.is_at_end();
        self.body = body;
        self.waits_to_continue = waits_to_continue;
    }

    /// Where the request ends is not known: nothing that follows is one.
    pub(crate) fn give_up(&mut self) {
        self.broken = true;
    }

    /// Whether nobody has been told to send the body yet who waits for that; asked once.
    pub(crate) fn takes_continue(&mut self) -> bool {
        std::mem::take(&mut self.waits_to_continue)
    }

    /// Takes the next piece of the body.
    fn poll_body(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match self.body.next(&mut self.left) {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Decoded::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::Incomplete) if !self.broken => {
                    let ended = !matches!(ready!(self.poll_fill(socket, cx)), Ok(1..));
                    self.broken |= ended;
                }
                _ => {
                    self.broken = true;
                    return Poll::Ready(Some(Err(BodyError::Client)));
                }
            }
        }
    }

    /// Reads more of a body. No memory is kept for what has not come yet.
    fn poll_fill(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(socket.poll_read_ready(cx))?;
        let ahead = usize::try_from(self.body.data_ahead()).unwrap_or(MAX_READ);
        let room = match self.body.left() {
            Some(_) => ahead.min(MAX_READ),
            None => ahead.clamp(USUAL_READ, MAX_READ),
        };
        self.left.reserve(room);
        pin!(socket.read_buf(&mut self.left)).poll(cx)
    }

    /// Reads what has come of a body that nobody wants, as far as that is little. Says whether
    /// the rest may still be read, or is not worth it.
    pub(crate) fn drain(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> bool {
        let mut drained = 0;
        while !self.wanted && !self.is_whole() && drained < MAX_DRAINED {
            match self.poll_body(socket, cx) {
                Poll::Ready(Some(Ok(frame))) => drained += frame.data_ref().map_or(0, Bytes::len),
                _ => break,
            }
        }
        self.wanted || self.is_whole()
    }

    /// Whether there are bytes of the client that nobody reads yet: its leaving is behind them.
    pub(crate) fn hides_leaving(&self) -> bool {
        !self.is_whole() || !self.left.is_empty()
    }

    /// Whether the client has left, as far as that shows while a response is owed to it. What it
    /// has sent ahead hides its leaving.
    pub(crate) fn poll_gone(
        &mut self,
        socket: &mut Socket,
        worker: &Worker,
        cx: &mut Context<'_>,
    ) -> bool {
        if self.hides_leaving() {
            return false;
        }
        let mut scratch = worker.scratch.borrow_mut();
        match socket.poll_recv(cx, &mut scratch[..AHEAD]) {
            Poll::Pending => false,
            Poll::Ready(Ok(count @ 1..)) => {
                self.left = BytesMut::from(&scratch[..count]);
                false
            }
            Poll::Ready(_) => true,
        }
    }

    /// Takes what came behind the request.
    pub(crate) fn into_rest(self) -> Bytes {
        self.left.freeze()
    }

    /// Keeps no memory for an idle connection.
    pub(crate) fn rest(&mut self) {
        if self.left.is_empty() {
            self.left = BytesMut::new();
        }
    }
}

/// The body of a client's request, read from its connection piece by piece when it is asked for.
pub(crate) struct Incoming(Rc<Wire>);

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a body")
    }
}

impl Incoming {
    /// What comes behind the head of a request.
    pub(super) fn of(wire: &Rc<Wire>) -> Self {
        Self(Rc::clone(wire))
    }

    /// Takes the next piece.
    pub(in crate::server) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut input = self.0.input.borrow_mut();
        if input.takes_continue() {
            self.0.say_continue();
        }
        input.poll_body(&mut self.0.socket.borrow_mut(), cx)
    }

    /// Whether all of it has been taken.
    pub(in crate::server) fn is_at_end(&self) -> bool {
        self.0.input.borrow().is_whole()
    }

    /// How much is left of it, where that is known.
    pub(in crate::server) fn left(&self) -> Option<u64> {
        self.0.input.borrow().body.left()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.0.input.borrow_mut().wanted = false;
    }
}
