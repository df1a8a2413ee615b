//! The socket of a shared connection.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::socket::Socket;

/// How often the socket is read before whoever waits for what came has a turn: an upstream that
/// sends informational responses without end would fill the memory with them.
const MAX_READS: u32 = 16;

/// What is known of a socket besides what is read from it.
#[derive(Debug, Default)]
pub(super) struct Ear {
    /// Whether anything has come since this was last asked.
    heard: Cell<bool>,
    /// How often it was read in this turn.
    reads: Cell<u32>,
}

impl Ear {
    /// Whether anything has come since this was last asked.
    pub(super) fn heard(&self) -> bool {
        self.heard.take()
    }

    /// Another turn begins.
    pub(super) fn turn(&self) {
        self.reads.set(0);
    }
}

/// A socket that notes whether anything comes, and bounds how much is read in a turn.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    ear: Rc<Ear>,
}

impl Wire {
    /// That of a connection, and what will be known of it.
    pub(super) fn new(socket: Socket) -> (Self, Rc<Ear>) {
        let ear = Rc::<Ear>::default();
        (Self { socket, ear: Rc::clone(&ear) }, ear)
    }

    fn socket(self: Pin<&mut Self>) -> Pin<&mut Socket> {
        Pin::new(&mut self.get_mut().socket)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let reads = self.ear.reads.get();
        if reads == MAX_READS {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ear.reads.set(reads + 1);
        let ear = Rc::clone(&self.ear);
        let before = buf.filled().len();
        let polled = self.socket().poll_read(cx, buf);
        if buf.filled().len() > before {
            ear.heard.set(true);
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.socket().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn so_much_is_read_in_a_turn_and_noted() {
        let (near, mut far) = UnixStream::pair().expect("a pair of sockets");
        let (mut wire, ear) = Wire::new(Socket::Unix(near));
        let read = |wire: &mut Wire| {
            let (mut byte, mut cx) = ([0], Context::from_waker(Waker::noop()));
            Pin::new(wire).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_ready()
        };
        assert!(!read(&mut wire) && !ear.heard());
        far.write_all(&[0; 100]).await.expect("room");
        std::future::poll_fn(|cx| wire.socket.poll_read_ready(cx)).await.expect("it is open");
        for _ in 0..2 {
            ear.turn();
            assert_eq!((0..100).filter(|_| read(&mut wire)).count(), MAX_READS as usize);
            assert!(ear.heard() && !ear.heard());
        }
    }
}
