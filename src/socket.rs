//! A stream to a peer, over TCP, TLS or a unix socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::tls::Alpn;
use crate::tls::stream::TlsStream;

/// A connected stream.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over TLS, which goes over TCP; boxed, so that others are not larger for it.
    Tls(Box<TlsStream>),
    /// Over a unix socket.
    Unix(UnixStream),
}

/// A connected stream that is on no runtime yet, and never blocks.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Over TCP.
    Tcp(std::net::TcpStream),
    /// Over TCP, for a handshake of TLS to begin.
    Tls(std::net::TcpStream),
    /// Over a unix socket.
    Unix(std::os::unix::net::UnixStream),
}

/// Up to how many bytes are gathered for one send(2), which costs the kernel less than writev(2):
/// about as much as copying them costs.
const SMALL: usize = 1024;

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => poll_send(stream, cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(cx, only);
        }
        let total = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if total <= SMALL {
            let mut small = [0; SMALL];
            let mut end = 0;
            for slice in slices {
                small[end..end + slice.len()].copy_from_slice(slice);
                end += slice.len();
            }
            return self.poll_write(cx, &small[..end]);
        }
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Only TLS holds anything back: what is encrypted already, and has found no room.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Sends as much as there is room for.
fn poll_send(stream: &TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        let send = || rustix::net::send(stream, bytes, SendFlags::NOSIGNAL);
        if let Some(count) = attempt(stream, Interest::WRITABLE, bytes.len(), send)? {
            return Poll::Ready(Ok(count));
        }
        ready!(stream.poll_write_ready(cx))?;
    }
}

/// Moves up to so many bytes by a system call, if the kernel has said that it can be done; none: it
/// could not. After fewer than that it has to say so again, as for the runtime's own reads and
/// writes.
///
/// They go through the C library, where a thread may be cancelled at each call: four locked
/// instructions, and 90 instructions in all.
fn attempt(
    stream: &TcpStream,
    interest: Interest,
    length: usize,
    call: impl FnOnce() -> rustix::io::Result<usize>,
) -> io::Result<Option<usize>> {
    let mut moved = None;
    let tried = stream.try_io(interest, || {
        let count = *moved.insert(call()?);
        if count == 0 || count == length { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    });
    match tried {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(moved),
    }
}

/// Whether a socket could not be opened because this process or this machine has no descriptor left
/// (accept(2), socket(2)).
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| number == Some(errno.raw_os_error()))
}

/// Puts a descriptor on the runtime, which tells then when it is ready.
///
/// # Errors
/// When it cannot be registered.
pub(crate) fn watch<T: AsFd + AsRawFd>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    #[expect(deprecated, reason = "its successor is unsafe but for what owns its descriptor")]
    AsyncFd::with_interest(owner, interest)
}

/// A stream on the runtime of a worker.
pub(crate) enum Registered {
    /// One that can be spoken over.
    Open(Socket),
    /// One on which hands are to be shaken first.
    Handshake(TcpStream),
}

impl Stream {
    /// Puts it on the runtime of the calling worker. Nothing is read before the kernel says that
    /// there is something: a client that has just connected is mostly still sending.
    ///
    /// # Errors
    /// When the descriptor cannot be registered.
    pub(crate) fn register(self) -> io::Result<Registered> {
        Ok(match self {
            Self::Tcp(stream) => Registered::Open(Socket::Tcp(TcpStream::from_std(stream)?)),
            Self::Tls(stream) => Registered::Handshake(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Registered::Open(Socket::Unix(UnixStream::from_std(stream)?)),
        })
    }
}

impl Socket {
    /// Reads what has come into memory that was written before: nothing is the end of the stream.
    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Self::Tcp(stream) = self else {
            let mut read = ReadBuf::new(room);
            ready!(Pin::new(self).poll_read(cx, &mut read))?;
            return Poll::Ready(Ok(read.filled().len()));
        };
        loop {
            // First, so that the task's budget counts: who always has more must not keep others
            // from the worker.
            ready!(stream.poll_read_ready(cx))?;
            let recv = |room: &mut [u8]| rustix::net::recv(&stream, room, RecvFlags::empty());
            let length = room.len();
            if let Some(count) = attempt(stream, Interest::READABLE, length, || Ok(recv(room)?.1))?
            {
                return Poll::Ready(Ok(count));
            }
        }
    }

    /// What is spoken over it, as far as that was agreed on with TLS.
    pub(crate) fn alpn(&self) -> Option<Alpn> {
        match self {
            Self::Tls(stream) => Some(stream.alpn()),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }

    /// What a request that comes over it was asked for by: `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.alpn().is_some() { "https" } else { "http" }
    }

    /// Whether there is anything to read, the end of the stream included. Over TLS it may come to
    /// nothing yet.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Whether the kernel has told of nothing to read, nor of the end of the stream. Nobody is
    /// woken when it does, so that this takes a fifth of [`Socket::poll_read_ready`]. What TLS may
    /// hold is not looked at: there it is never known.
    pub(crate) fn is_quiet(&self) -> bool {
        let told = || Ok(());
        let told = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, told),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, told),
            Self::Tls(_) => return false,
        };
        told.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ends the stream with a reset when it is closed; a unix socket has none.
    pub(crate) fn reset_when_closed(&mut self) {
        let stream = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => {
                stream.cut();
                stream.tcp()
            }
            Self::Unix(_) => return,
        };
        // If that fails, the stream is closed in the usual way.
        let _ = stream.set_zero_linger();
    }

    /// Whether the peer has closed its side, even if bytes before that are still unread.
    pub(crate) fn is_read_closed(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let ready = match self {
            Self::Tcp(stream) => pin!(stream.ready(Interest::READABLE)).poll(&mut cx),
            Self::Tls(stream) => pin!(stream.tcp().ready(Interest::READABLE)).poll(&mut cx),
            Self::Unix(stream) => pin!(stream.ready(Interest::READABLE)).poll(&mut cx),
        };
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::unconstrained;

    use super::*;

    /// A connection over TCP, and its other end.
    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let connected = TcpStream::connect(listener.local_addr().expect("an address")).await;
        let (accepted, _) = listener.accept().await.expect("a connection");
        (Socket::Tcp(accepted), connected.expect("a connection"))
    }

    /// What comes next, of which so much is taken at a time.
    async fn recv(socket: &mut Socket, length: usize) -> Vec<u8> {
        let mut room = vec![0; length];
        let count = poll_fn(|cx| socket.poll_recv(cx, &mut room)).await.expect("no error");
        room[..count].to_vec()
    }

    #[tokio::test]
    async fn what_comes_is_received_until_the_end() {
        let (mut near, mut far) = pair().await;
        for said in ["one", "another"] {
            far.write_all(said.as_bytes()).await.expect("room");
            assert_eq!(recv(&mut near, 100).await, said.as_bytes());
            // All of it was taken, and the next is waited for.
            assert!(near.is_quiet());
        }
        far.write_all(b"whole").await.expect("room");
        assert_eq!(recv(&mut near, 2).await, b"wh");
        assert!(!near.is_quiet());
        assert_eq!(recv(&mut near, 3).await, b"ole");
        drop(far);
        assert_eq!(recv(&mut near, 100).await, b"");
        assert_eq!(recv(&mut near, 100).await, b"");
    }

    #[tokio::test]
    async fn who_always_has_more_lets_others_have_their_turn() {
        let (mut near, mut far) = pair().await;
        far.write_all(&[b'x'; 4096]).await.expect("room");
        recv(&mut near, 1).await;
        let mut read = 1;
        poll_fn(|cx| {
            while near.poll_recv(cx, &mut [0]).is_ready() {
                read += 1;
            }
            Poll::Ready(())
        })
        .await;
        assert!(read < 4096, "all was read at once");
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_sent_when_there_is() {
        let (mut near, mut far) = pair().await;
        let piece = [b'x'; 100_000];
        let sent = poll_fn(|cx| {
            let mut sent = 0;
            while let Poll::Ready(count) = Pin::new(&mut near).poll_write(cx, &piece) {
                sent += count.expect("no error");
            }
            Poll::Ready(sent)
        });
        let sent = unconstrained(sent).await;
        let told = tokio::spawn(async move {
            let mut all = vec![0; sent];
            far.read_exact(&mut all).await.map(|_| far)
        });
        near.write_all(b"more").await.expect("room");
        let mut far = told.await.expect("no panic").expect("all that was sent");
        let mut rest = [0; 4];
        far.read_exact(&mut rest).await.expect("the rest");
        assert_eq!(rest, *b"more");
    }

    #[tokio::test]
    async fn who_has_left_is_sent_nothing() {
        let (mut near, far) = pair().await;
        drop(far);
        let broken = loop {
            // The first may still find room.
            if let Err(error) = near.write_all(b"x").await {
                break error;
            }
        };
        assert!(matches!(
            broken.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        ));
    }
}
