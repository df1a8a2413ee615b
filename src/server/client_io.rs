//! A client's socket as hyper sees it: what must be refused is refused, with timeouts,
//! informational responses and a lingering close.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::clock::Wait;
use super::connection::Client;
use super::pace::Pace;
use super::wire::Scan;
use crate::plan::ServerLimits;
use crate::socket::SharedSocket;

/// How long a connection that ends is read from, so that a client that is still sending gets to
/// read the answer instead of a reset (RFC 9112, section 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How much is read from a connection that ends.
const LINGER_SIZE: usize = 4 * 1024 * 1024;

/// What hyper gets in place of what it must not take: no parser takes a bare CR, wherever it
/// stands, so hyper refuses the request or the body itself.
const SPOIL: &[u8] = b"\r\0";

/// The socket with all that stands between it and hyper.
pub(super) struct ClientIo {
    socket: TokioIo<Metered>,
    client: Rc<Client>,
    header_timeout: Duration,
    pace: Pace,
    scan: Scan,
    /// What came from the first byte on that must not be passed on.
    held: Option<BytesMut>,
    /// Whether everything that hyper wrote has gone out, so that other bytes may be written.
    flushed: bool,
    linger: Option<Linger>,
}

impl ClientIo {
    pub(super) fn new(socket: SharedSocket, client: Rc<Client>, limits: &ServerLimits) -> Self {
        Self {
            socket: TokioIo::new(Metered { socket, count: 0 }),
            client,
            header_timeout: limits.client_header_timeout,
            pace: Pace::new(Wait::Write, limits),
            scan: Scan::default(),
            held: None,
            flushed: true,
            linger: None,
        }
    }

    /// The socket, and what came from it behind the last request: `early` is what hyper has of it.
    pub(super) fn into_parts(self, early: Bytes) -> (SharedSocket, Bytes) {
        let early = match self.held {
            None => early,
            Some(held) => {
                let passed = early.strip_suffix(SPOIL).unwrap_or(&early);
                [passed, &held].concat().into()
            }
        };
        (self.socket.into_inner().socket, early)
    }

    /// Reads what need not be looked at: into hyper's buffer, without a copy.
    fn poll_read_opaque(
        &mut self,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        self.scan.skip(self.socket.inner().count as u64);
        Poll::Ready(Ok(()))
    }

    /// Reads what must be looked at before hyper gets it.
    fn poll_read_scanned(
        &mut self,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut scratch = self.client.worker.scratch.borrow_mut();
        let length = scratch.len().min(buf.remaining());
        let mut read = tokio::io::ReadBuf::new(&mut scratch[..length]);
        ready!(Pin::new(self.socket.inner_mut()).poll_read(cx, &mut read))?;
        let bytes = read.filled();
        match self.scan.next(bytes) {
            Ok(()) => buf.put_slice(bytes),
            Err(valid) => {
                let valid = valid.min(buf.remaining().saturating_sub(SPOIL.len()));
                buf.put_slice(&bytes[..valid]);
                buf.put_slice(SPOIL);
                self.held = Some(BytesMut::from(&bytes[valid..]));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Bounds how long the client may leave no room to write: only bytes that it took, or that
    /// there are none left, end the wait. A connection is not idle before its response has gone
    /// out.
    fn watch_write(&self, taken: Option<usize>) {
        let deadlines = &self.client.deadlines;
        let idle = self.client.is_idle();
        let waited = deadlines.is_set(Wait::Write);
        match taken {
            Some(count) => {
                self.pace.moved(deadlines, count);
                if idle && waited {
                    self.client.end();
                }
            }
            None => {
                self.pace.waits(deadlines);
                if idle {
                    deadlines.clear(Wait::Request);
                }
            }
        }
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

impl ClientIo {
    fn poll_write_behind_hints(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_hints(cx))?;
        self.flushed = false;
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.held.is_some() {
            // hyper has been told to refuse, or a tunnel takes over.
            return Poll::Pending;
        }
        if self.scan.opaque() >= buf.remaining() as u64 {
            ready!(self.poll_read_opaque(cx, buf))?;
        } else {
            ready!(self.poll_read_scanned(cx, buf))?;
        }
        let heads = self.scan.take_heads();
        self.client.hears(heads, self.header_timeout);
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
        if self.client.owes_nothing() {
            // No request was handed over: this is hyper's own answer to what it cannot read.
            self.client.refuse(slices.first().map_or(&[], |head| head));
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = self.poll_write_behind_hints(cx, slices);
        self.watch_write(match &written {
            Poll::Ready(taken) => Some(taken.as_ref().map_or(0, |count| *count)),
            Poll::Pending => None,
        });
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes when it has nothing left to write: a response has gone out whole, or none has
    /// begun.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed = true;
        self.client.has_flushed();
        let hinted = self.poll_hints(cx);
        self.watch_write(hinted.is_ready().then_some(0));
        if self.client.is_idle() {
            self.pace.begins();
        }
        hinted
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            if !self.client.may_send_more() {
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

    fn poll_drain(&mut self, socket: &mut TokioIo<Metered>, cx: &mut Context<'_>) -> Poll<()> {
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

/// A socket that knows how much its last read brought.
struct Metered {
    socket: SharedSocket,
    count: usize,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buf);
        self.count = buf.filled().len() - before;
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
