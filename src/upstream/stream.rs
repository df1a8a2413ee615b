//! An upstream's socket as hyper sees it: what the upstream has said is read, even if it no longer
//! listens, and its heads are looked at first.

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::lines::Lines;
use crate::socket::SharedSocket;

/// A socket that cannot be written to any more waits instead of failing.
///
/// An upstream that answers before it has read the whole request, and closes, resets the connection
/// under whoever is still writing. hyper would throw the connection away with the answer in it: a
/// 413 or 401 would be a 502 (RFC 9112, section 9.6). The reading side knows how it ended: with the
/// answer, or with an error, and that comes at once.
pub(super) struct Stream {
    socket: SharedSocket,
    lines: Rc<Cell<Lines>>,
}

impl Stream {
    /// Reads from and writes to a socket; whoever sends a request says in `lines` that a response
    /// is expected.
    pub(super) fn new(socket: SharedSocket, lines: Rc<Cell<Lines>>) -> Self {
        Self { socket, lines }
    }

    /// The socket itself.
    pub(super) fn into_inner(self) -> SharedSocket {
        self.socket
    }

    /// Looks at what has been read.
    fn look(&self, bytes: &[u8]) -> io::Result<()> {
        let mut lines = self.lines.get();
        if lines.is_expected() {
            if !lines.end_alike(bytes) {
                let reason = "the lines of the response's head end differently";
                return Err(io::Error::new(ErrorKind::InvalidData, reason));
            }
            self.lines.set(lines);
        }
        Ok(())
    }
}

/// Whoever waits for room to write is woken by what there is to read.
fn wait_if_closed<T>(written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    match written {
        Poll::Ready(Err(error)) if is_closed(error.kind()) => Poll::Pending,
        written => written,
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        Poll::Ready(self.look(&buf.filled()[before..]))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        wait_if_closed(Pin::new(&mut self.socket).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        wait_if_closed(Pin::new(&mut self.socket).poll_write_vectored(cx, slices))
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
