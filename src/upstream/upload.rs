//! A request on its way to the upstream.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use crate::forward::body::BodyError;
use crate::forward::headers::Framing;
use crate::http1::{chunk, field_line};
use crate::socket::Socket;

/// What ends a chunk, and the chunks.
const CRLF: &[u8] = b"\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n";

/// How much memory is kept for the next head: what nearly all fit in.
const MAX_KEPT: usize = 4 * 1024;

/// How often is written before the response has its turn: an upstream may answer while it is sent
/// more and more.
const MAX_WRITES: u32 = 16;

/// Why a request cannot be sent to its end.
#[derive(Debug)]
pub(super) enum Cut {
    /// Its body broke off.
    Body(BodyError),
    /// The connection cannot be written to.
    Socket(io::Error),
}

/// A request that is being sent, or has been.
pub(super) struct Upload<B> {
    /// The head, or the line before a chunk, and how much of it has gone out.
    text: Vec<u8>,
    written: usize,
    /// A piece of the body that goes out behind it.
    data: Bytes,
    /// The end of a chunk, behind that.
    tail: &'static [u8],
    body: Option<B>,
    /// How the rest of the body is framed; none once its end is among the above.
    framing: Option<Framing>,
    /// Whether any byte has gone out, or anything was taken out of the body, which cannot be put
    /// back.
    is_begun: bool,
    /// Whether the socket holds nothing back of what was written.
    is_flushed: bool,
    /// Whether the upstream reads no more.
    is_unheard: bool,
    /// Why the body broke off. It must not be asked for more: that there is no more would look like
    /// its end.
    broken_off: Option<BodyError>,
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Upload<B> {
    /// Nothing is to be sent.
    pub(super) fn none() -> Self {
        Self {
            text: Vec::new(),
            written: 0,
            data: Bytes::new(),
            tail: b"",
            body: None,
            framing: None,
            is_begun: false,
            is_flushed: true,
            is_unheard: false,
            broken_off: None,
        }
    }

    /// A request: `write_head` writes its head.
    pub(super) fn begin(
        &mut self,
        write_head: impl FnOnce(&mut Vec<u8>),
        body: B,
        framing: Framing,
    ) {
        self.text.clear();
        self.written = 0;
        write_head(&mut self.text);
        self.body = Some(body);
        self.framing = Some(framing).filter(|framing| !framing.is_empty());
        self.is_begun = false;
    }

    /// Whether all of it has gone out.
    pub(super) fn is_over(&self) -> bool {
        self.framing.is_none() && self.is_written() && self.is_flushed
    }

    /// The body, if nothing of the request has gone out and all of the body is there.
    pub(super) fn take_back(&mut self) -> Option<B> {
        self.body.take_if(|_| !self.is_begun)
    }

    /// Sends as much as goes.
    ///
    /// An upstream that answers before it has read the whole request, and closes, resets the
    /// connection under whoever is still writing. That is no error here: the answer may be there
    /// to be read (RFC 9112, section 9.6), and reading tells how the connection ended.
    pub(super) fn poll(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Cut>> {
        let mut turns = 0..MAX_WRITES;
        while !self.is_unheard {
            if turns.next().is_none() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let next = self.poll_next(cx);
            if let Poll::Ready(Err(error)) = next {
                self.broken_off = Some(error);
                return Poll::Ready(Err(Cut::Body(error)));
            }
            if self.is_written() {
                ready!(Pin::new(&mut *socket).poll_flush(cx)).map_err(Cut::Socket)?;
                self.is_flushed = true;
                return next.map_err(Cut::Body);
            }
            match ready!(self.poll_write(socket, cx)) {
                Ok(()) => {}
                Err(error) if is_closed(error.kind()) => self.is_unheard = true,
                Err(error) => return Poll::Ready(Err(Cut::Socket(error))),
            }
        }
        Poll::Pending
    }

    /// Gives back the memory that only a long head needed.
    pub(super) fn shrink(&mut self) {
        if self.text.capacity() > MAX_KEPT {
            self.text = Vec::new();
        }
    }

    fn is_written(&self) -> bool {
        self.written == self.text.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Takes the next piece of the body, if there is room for it. Ready when there is nothing to
    /// wait for.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if let Some(error) = self.broken_off {
            return Poll::Ready(Err(error));
        }
        while let (Some(framing), Some(body)) = (self.framing, &mut self.body)
            && self.data.is_empty()
            && self.tail.is_empty()
        {
            let frame = ready!(Pin::new(body).poll_frame(cx)).transpose()?;
            self.take(framing, frame)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Puts a piece of the body, or its end, behind what has gone out.
    fn take(&mut self, framing: Framing, frame: Option<Frame<Bytes>>) -> Result<(), BodyError> {
        if self.written == self.text.len() {
            self.text.clear();
            self.written = 0;
        }
        self.is_begun = true;
        let frame = match frame.map(Frame::into_data) {
            Some(Ok(data)) if data.is_empty() => return Ok(()),
            Some(Ok(data)) => return self.take_data(framing, data),
            Some(Err(frame)) => frame.into_trailers().ok(),
            None => None,
        };
        match framing {
            Framing::Chunked => {
                self.text.extend_from_slice(LAST_CHUNK);
                field_line::write_all(&mut self.text, &frame.unwrap_or_default());
                self.text.extend_from_slice(CRLF);
            }
            // It does not end here: what follows on this connection would be taken for the rest.
            Framing::Length(left) if left > 0 => return Err(BodyError::Client),
            Framing::Length(_) | Framing::None => {}
        }
        self.end();
        Ok(())
    }

    fn take_data(&mut self, framing: Framing, data: Bytes) -> Result<(), BodyError> {
        match framing {
            Framing::Chunked => {
                chunk::write_size(&mut self.text, data.len());
                self.tail = CRLF;
            }
            Framing::Length(left) => {
                let left = left.checked_sub(data.len() as u64).ok_or(BodyError::Client)?;
                self.framing = Some(Framing::Length(left));
                if left == 0 {
                    self.end();
                }
            }
            Framing::None => return Err(BodyError::Client),
        }
        self.data = data;
        Ok(())
    }

    /// The end of the body is known. Nothing of the client's may be held by a connection that waits
    /// for the next request.
    fn end(&mut self) {
        self.framing = None;
        self.body = None;
    }

    fn poll_write(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let text = &self.text[self.written..];
        let mut socket = Pin::new(socket);
        let count = ready!(if self.data.is_empty() && self.tail.is_empty() {
            socket.poll_write(cx, text)
        } else {
            let slices = [text, &self.data, self.tail].map(IoSlice::new);
            let first = usize::from(text.is_empty());
            socket.as_mut().poll_write_vectored(cx, &slices[first..])
        })?;
        if count == 0 {
            return Poll::Ready(Err(ErrorKind::WriteZero.into()));
        }
        self.is_begun = true;
        self.is_flushed = false;
        self.advance(count);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        let of_text = count.min(self.text.len() - self.written);
        self.written += of_text;
        let of_data = (count - of_text).min(self.data.len());
        self.data.advance(of_data);
        if self.data.is_empty() {
            // Without a byte it would still hold the memory that it was cut out of.
            self.data = Bytes::new();
        }
        self.tail = &self.tail[count - of_text - of_data..];
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}
