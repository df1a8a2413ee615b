//! After a `101`: bytes in both directions until either side ends.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::clock::{Deadlines, Wait};
use crate::observe::record::Record;
use crate::socket::Socket;
use crate::upstream::pool::Lease;

/// An upstream's connection that has switched protocols, waiting for the client's.
pub(crate) struct Tunnel {
    lease: Lease,
    record: Record,
}

impl Tunnel {
    /// The request is recorded when the tunnel ends.
    pub(crate) fn new(lease: Lease, record: Record) -> Self {
        Self { lease, record }
    }

    /// Carries bytes until either side ends, or nothing has come for the upstream's `read_timeout`.
    /// `early` is what the client sent behind its request.
    pub(crate) async fn run(mut self, client: Socket, early: Bytes, deadlines: &Rc<Deadlines>) {
        let timeout = self.lease.upstream().read_timeout;
        let (upstream, late) = self.lease.into_stream().await;
        let mut client = Watched { inner: client, deadlines, timeout };
        let mut upstream = Watched { inner: upstream, deadlines, timeout };
        deadlines.clear(Wait::Request);
        deadlines.set(Wait::Upstream, timeout);
        let carry = async {
            upstream.write_all(&early).await?;
            client.write_all(&late).await?;
            tokio::io::copy_bidirectional(&mut client, &mut upstream).await
        };
        let idle = std::future::poll_fn(|cx| {
            deadlines.watch(cx.waker());
            if deadlines.passed(Wait::Upstream) { Poll::Ready(()) } else { Poll::Pending }
        });
        let carried = tokio::select! {
            carried = carry => carried.map_or(0, |(_up, down)| down),
            () = idle => 0,
        };
        deadlines.clear(Wait::Upstream);
        self.record.add_bytes(carried + late.len() as u64);
    }
}

/// A stream on which everything that comes puts the end of the wait off.
struct Watched<'a, S> {
    inner: S,
    deadlines: &'a Deadlines,
    timeout: Duration,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if polled.is_ready() {
            self.deadlines.set(Wait::Upstream, self.timeout);
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
