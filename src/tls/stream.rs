//! A connection over TLS, once hands are shaken.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio_rustls::TlsStream as Inner;

use super::Alpn;

/// A stream of either side of TLS.
pub(crate) struct TlsStream {
    inner: Inner<TcpStream>,
    /// Whether the peer may not take the end for a proper one.
    is_cut: bool,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsStream").field(self.tcp()).finish()
    }
}

impl TlsStream {
    /// What came of a handshake.
    pub(crate) fn new(inner: Inner<TcpStream>) -> Self {
        Self { inner, is_cut: false }
    }

    /// What was agreed to be spoken.
    pub(crate) fn alpn(&self) -> Alpn {
        Alpn::of(self.inner.get_ref().1.alpn_protocol())
    }

    /// What it goes over.
    pub(crate) fn tcp(&self) -> &TcpStream {
        self.inner.get_ref().0
    }

    /// Whether there may be anything to read: what is decrypted already, the end of it, or what the
    /// kernel has.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (tcp, session) = self.inner.get_ref();
        if session.wants_read() { tcp.poll_read_ready(cx) } else { Poll::Ready(Ok(())) }
    }

    /// Ends without saying so: the peer learns that something is missing.
    pub(crate) fn cut(&mut self) {
        self.is_cut = true;
    }
}

impl Drop for TlsStream {
    /// Says that this is the end (`close_notify`; RFC 8446, section 6.1), if there is room for it:
    /// whoever went away needs no word.
    fn drop(&mut self) {
        if !self.is_cut {
            // The task's budget must not count: nobody comes back to this.
            let told = pin!(unconstrained(self.inner.shutdown()));
            let _ = told.poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsStream {
    /// Takes no more before what was taken has gone out: what waits here is out of the reach of
    /// those who count how slow a peer is.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.inner.get_ref().1.wants_write() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
