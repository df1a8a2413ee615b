//! A stream to a peer, over TCP, TLS or a unix socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use rustix::io::Errno;
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
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
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
