//! After a `101`: bytes in both directions until either side ends.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, split};

use super::clock::{Deadlines, Wait};
use crate::observe::record::Record;
use crate::socket::Socket;
use crate::upstream::lease::Lease;

/// An upstream's connection that has switched protocols, waiting for the client's.
pub(crate) struct Tunnel {
    lease: Lease,
    record: Box<Record>,
}

impl Tunnel {
    /// The request is recorded when the tunnel ends.
    pub(crate) fn new(lease: Lease, record: Box<Record>) -> Self {
        Self { lease, record }
    }

    /// Carries bytes until either side ends, or nothing has come for the upstream's `read_timeout`,
    /// or the key `is_over`. `early` is what the client sent behind its request.
    ///
    /// A side that ends takes the other along at once: a WebSocket is closed as a whole (RFC 6455,
    /// section 7.1.1), and a side that does not notice would hold both connections.
    pub(crate) async fn run(
        mut self,
        client: Socket,
        early: Bytes,
        deadlines: &Rc<Deadlines>,
        is_over: impl Fn() -> bool,
    ) {
        let timeout = self.lease.upstream().read_timeout;
        let Some((upstream, late, _slot)) = self.lease.into_stream() else { return };
        let (client_read, mut client_write) = split(Watched::new(client, deadlines, timeout));
        let upstream = Watched::new(upstream, deadlines, timeout);
        let received = Rc::clone(&upstream.received);
        let (upstream_read, mut upstream_write) = split(upstream);
        deadlines.clear(Wait::Request);
        deadlines.set(Wait::Upstream, timeout);
        let up = carry(&early, client_read, &mut upstream_write);
        let down = carry(&late, upstream_read, &mut client_write);
        let idle = std::future::poll_fn(|cx| {
            deadlines.watch(cx.waker());
            let over = deadlines.passed(Wait::Upstream) || is_over();
            if over { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::select! {
            // What either side sent before its end has been passed on; how it ended is no news.
            _ended = up => {}
            _ended = down => {}
            () = idle => {}
        }
        deadlines.clear(Wait::Upstream);
        self.record.add_bytes(received.get() + late.len() as u64);
    }
}

/// Writes what has come already, and then what comes, until the end of it.
async fn carry(
    first: &[u8],
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    to.write_all(first).await?;
    tokio::io::copy(&mut from, to).await?;
    to.shutdown().await
}

/// A stream on which everything that comes puts the end of the wait off.
struct Watched<'a, S> {
    inner: S,
    deadlines: &'a Deadlines,
    timeout: Duration,
    /// How many bytes have come.
    received: Rc<Cell<u64>>,
}

impl<'a, S> Watched<'a, S> {
    fn new(inner: S, deadlines: &'a Deadlines, timeout: Duration) -> Self {
        Self { inner, deadlines, timeout, received: Rc::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if polled.is_ready() {
            self.deadlines.set(Wait::Upstream, self.timeout);
            let count = buf.filled().len() - before;
            self.received.set(self.received.get() + count as u64);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
