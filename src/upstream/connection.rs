//! A connection to an upstream: a request goes out while its response comes in.
//!
//! There is no task and no channel in it. Whoever sends the request polls it, and is woken by its
//! socket.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use h2::Reason;
use http::{Method, StatusCode};
use http_body::Frame;
use tokio::io::AsyncReadExt;
use tokio::task::unconstrained;

use super::head;
use super::upload::{Cut, Upload};
use crate::fields::Fields;
use crate::forward::body::{BodyError, RequestBody};
use crate::forward::headers::Framing;
use crate::head::ResponseHead;
use crate::http1::body::{Decoded, Decoder};
use crate::http1::lines::Lines;
use crate::http1::stock::Stock;
use crate::socket::Socket;

/// How much is read at a time, unless more is known to come; and then at most.
const READ_SIZE: usize = 8 * 1024;
const LARGE_READ_SIZE: usize = 64 * 1024;

/// With less room than this it is worth making some, even if no body is known to come.
const MIN_ROOM: usize = 1024;

/// What an upstream says to a request.
#[derive(Debug)]
pub(crate) enum Said {
    /// It wants the body (`100 Continue`).
    Continue,
    /// What the response may mention (`103 Early Hints`).
    Hints(Fields),
    /// The response, whose body follows.
    Response(ResponseHead),
}

/// Why there is no response, or not all of it.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The request's body broke off.
    Body(BodyError),
    /// The connection broke, or was closed.
    Closed(io::Error),
    /// What came is no response.
    Malformed(&'static str),
    /// The upstream ended this one request of a connection.
    Reset(Reason),
    /// The upstream says that it has done nothing about the request, and will not.
    Unprocessed,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(error) => error.fmt(f),
            Self::Closed(error) => error.fmt(f),
            Self::Malformed(why) => f.write_str(why),
            Self::Reset(reason) => write!(f, "the upstream reset the stream: {reason}"),
            Self::Unprocessed => f.write_str("the upstream does not take the request"),
        }
    }
}

impl From<Cut> for Broken {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Body(error) => Self::Body(error),
            Cut::Socket(error) => Self::Closed(error),
        }
    }
}

/// A connection, and how far its request and response have come.
pub(super) struct Connection {
    socket: Socket,
    /// What has come and was not taken yet.
    read: BytesMut,
    /// Whether the memory of `read` is larger than usual.
    is_large: bool,
    /// Whether the last read took all that there was room for, and there may be more.
    was_full: bool,
    upload: Upload<RequestBody>,
    download: Download,
    /// Whether the upstream has said anything to the request.
    has_said: bool,
    /// Whether another request may follow.
    keeps_alive: bool,
}

enum Download {
    /// The head is awaited.
    Head { asked: Method, lines: Lines },
    /// The body comes, or has.
    Body(Decoder),
    /// Another protocol has the connection now.
    Switched,
}

impl Connection {
    /// A connection on which nothing has been said.
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            read: BytesMut::new(),
            is_large: false,
            was_full: false,
            upload: Upload::none(),
            download: Download::Body(Decoder::length(0)),
            has_said: false,
            keeps_alive: true,
        }
    }

    /// Begins a request; polling for what the upstream says sends it.
    pub(super) fn send(
        &mut self,
        asked: Method,
        write_head: impl FnOnce(&mut Vec<u8>),
        body: RequestBody,
        framing: Framing,
    ) {
        self.upload.begin(write_head, body, framing);
        self.has_said = false;
        self.download = Download::Head { asked, lines: Lines::default() };
    }

    /// Goes on with the request.
    ///
    /// # Errors
    /// It cannot be sent to its end.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        if !self.upload.is_over()
            && let Poll::Ready(sent) = self.upload.poll(&mut self.socket, cx)
        {
            sent?;
        }
        Ok(())
    }

    /// Goes on with the request, and takes what the upstream says to it.
    pub(super) fn poll_said(
        &mut self,
        cx: &mut Context<'_>,
        stock: &Stock,
    ) -> Poll<Result<Said, Broken>> {
        self.drive(cx)?;
        loop {
            let Download::Head { asked, lines } = &mut self.download else {
                return Poll::Ready(Err(Broken::Malformed("no request was sent")));
            };
            let taken = head::take(&mut self.read, lines, asked, stock);
            if let Some(response) = taken.map_err(Broken::Malformed)? {
                if let Some(said) = self.take_head(response)? {
                    return Poll::Ready(Ok(said));
                }
            } else if ready!(self.poll_read(cx)).map_err(Broken::Closed)? == 0 {
                let error = io::Error::new(ErrorKind::UnexpectedEof, "closed without a response");
                return Poll::Ready(Err(Broken::Closed(error)));
            }
        }
    }

    fn take_head(&mut self, response: head::Response) -> Result<Option<Said>, Broken> {
        self.has_said = true;
        match response.head.status {
            StatusCode::CONTINUE => return Ok(Some(Said::Continue)),
            StatusCode::EARLY_HINTS => return Ok(Some(Said::Hints(response.head.headers))),
            // What follows a head that was cut off would be read as the rest of it.
            StatusCode::SWITCHING_PROTOCOLS if !self.upload.is_over() => {
                return Err(Broken::Malformed("the upstream switches before it was asked"));
            }
            StatusCode::SWITCHING_PROTOCOLS => self.download = Download::Switched,
            status if status.is_informational() => return Ok(None),
            _ => self.download = Download::Body(response.body),
        }
        self.keeps_alive = response.keeps_alive;
        Ok(Some(Said::Response(response.head)))
    }

    /// Goes on with the request, and takes the next piece of the response's body.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        const NO_BODY: Broken = Broken::Malformed("the response's body is no valid one");
        self.drive(cx)?;
        loop {
            let Download::Body(body) = &mut self.download else { return Poll::Ready(None) };
            match body.next(&mut self.read).map_err(|_| NO_BODY)? {
                Decoded::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Decoded::Trailers(fields) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(fields))));
                }
                Decoded::End => return Poll::Ready(None),
                Decoded::Incomplete => {}
            }
            if ready!(self.poll_read(cx)).map_err(Broken::Closed)? == 0
                && let Download::Body(body) = &mut self.download
            {
                let early = || Broken::Closed(ErrorKind::UnexpectedEof.into());
                body.close().map_err(|_| early())?;
            }
        }
    }

    /// How much of the response's body is left, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match &self.download {
            Download::Body(body) => body.left(),
            _ => Some(0),
        }
    }

    /// Whether the upstream has said anything to the request.
    pub(super) fn has_said(&self) -> bool {
        self.has_said
    }

    /// The request's body, if nothing of the request has gone out.
    pub(super) fn take_back(&mut self) -> Option<RequestBody> {
        self.upload.take_back()
    }

    /// Whether another request can be sent, as far as is known: not when the upstream closes the
    /// connection, or was still being sent the last request when it had answered, or has said
    /// something that nobody asked for.
    pub(super) fn is_free(&self) -> bool {
        let is_answered = matches!(&self.download, Download::Body(body) if body.is_at_end());
        is_answered && self.keeps_alive && self.upload.is_over() && self.read.is_empty()
    }

    /// Whether the upstream has not closed the connection, nor said anything, while it was idle.
    pub(super) fn is_still_free(&mut self) -> bool {
        if self.socket.is_quiet() {
            return true;
        }
        let heard = poll_fn(|cx| {
            ready!(self.socket.poll_read_ready(cx))?;
            self.poll_read(cx)
        });
        // The task's budget must not count: when it is spent, every socket says that nothing has
        // come. Whoever uses the connection says whom to wake when it sends and reads.
        pin!(unconstrained(heard)).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Gives back the memory that only a large message needed.
    pub(super) fn shrink(&mut self) {
        self.upload.shrink();
        if self.is_large {
            self.read = BytesMut::new();
            self.is_large = false;
        }
    }

    /// The socket, and what has come behind the response's head.
    pub(super) fn into_stream(self) -> (Socket, Bytes) {
        (self.socket, self.read.freeze())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let ahead = match &self.download {
            // Of one who sends slowly a little is read at a time, however much will come.
            Download::Body(body) if self.was_full => {
                usize::try_from(body.data_ahead()).unwrap_or(usize::MAX)
            }
            _ => 0,
        };
        let room = self.read.capacity() - self.read.len();
        if room < if ahead > room { READ_SIZE } else { MIN_ROOM } {
            let size = ahead.clamp(READ_SIZE, LARGE_READ_SIZE);
            self.is_large |= size > READ_SIZE || self.read.len() >= READ_SIZE;
            self.read.reserve(size);
        }
        let read = ready!(pin!(self.socket.read_buf(&mut self.read)).poll(cx));
        self.was_full = self.read.len() == self.read.capacity();
        Poll::Ready(read)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::*;

    /// A connection on which a response with these lines has begun, and its other end.
    async fn answered(lines: &str) -> (Connection, UnixStream) {
        let (near, mut far) = UnixStream::pair().expect("a pair of sockets");
        let mut connection = Connection::new(Socket::Unix(near));
        let request = |out: &mut Vec<u8>| out.extend_from_slice(b"HEAD\r\n\r\n");
        connection.send(Method::GET, request, RequestBody::none(), Framing::None);
        far.write_all(format!("HTTP/1.1 200 OK\r\n{lines}").as_bytes()).await.expect("room");
        let said = poll_fn(|cx| connection.poll_said(cx, &Stock::default())).await;
        assert!(matches!(said, Ok(Said::Response(_))));
        (connection, far)
    }

    #[tokio::test]
    async fn a_connection_is_free_once_nothing_is_left_of_either_message() {
        for (lines, is_free) in [
            ("Content-Length: 2\r\n\r\nhi", true),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", true),
            ("Content-Length: 2\r\n\r\nhi!", false),
            ("Content-Length: 2\r\nConnection: close\r\n\r\nhi", false),
            ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false),
        ] {
            let (mut connection, mut far) = answered(lines).await;
            assert!(!connection.is_free());
            while let Some(frame) = poll_fn(|cx| connection.poll_frame(cx)).await {
                assert!(frame.is_ok());
            }
            assert_eq!(connection.is_free(), is_free, "{lines}");
            assert!(connection.is_still_free());
            match is_free {
                true => far.write_all(b"x").await.expect("room"),
                false => drop(far),
            }
            poll_fn(|cx| connection.socket.poll_read_ready(cx)).await.expect("it is open");
            assert!(!connection.is_still_free(), "{lines}");
        }
    }

    #[tokio::test]
    async fn nobody_switches_before_the_whole_request_was_sent() {
        let (near, mut far) = UnixStream::pair().expect("a pair of sockets");
        let mut connection = Connection::new(Socket::Unix(near));
        let endless = |out: &mut Vec<u8>| out.resize(16 * 1024 * 1024, b'x');
        connection.send(Method::GET, endless, RequestBody::none(), Framing::None);
        far.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.expect("room");
        let said = poll_fn(|cx| connection.poll_said(cx, &Stock::default())).await;
        assert!(matches!(said, Err(Broken::Malformed(_))), "{said:?}");
    }

    #[tokio::test]
    async fn only_a_body_that_comes_fast_takes_a_large_buffer() {
        const PIECE: [u8; 100] = [b'x'; 100];
        for lines in ["\r\n", "Content-Length: 1000000\r\n\r\n"] {
            let (mut connection, mut far) = answered(lines).await;
            for _ in 0..READ_SIZE / PIECE.len() * 2 {
                far.write_all(&PIECE).await.expect("room");
                let frame = poll_fn(|cx| connection.poll_frame(cx)).await;
                let data = frame.and_then(|frame| frame.ok()?.into_data().ok());
                assert_eq!(data.as_deref(), Some(&PIECE[..]));
            }
            assert!(!connection.is_large, "{lines}");
            far.write_all(&[b'x'; 2 * LARGE_READ_SIZE]).await.expect("room");
            while !connection.is_large {
                let frame = poll_fn(|cx| connection.poll_frame(cx)).await;
                assert!(matches!(frame, Some(Ok(_))));
            }
        }
    }
}
