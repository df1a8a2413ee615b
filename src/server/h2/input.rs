//! The body of a request over HTTP/2.

use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::Frame;

use super::wire::Wire;
use crate::forward::body::BodyError;

/// The body of a client's request. A client may send as much as its window says, and gets that back
/// when a piece has gone on: then the next is asked for.
pub(crate) struct Incoming {
    stream: RecvStream,
    wire: Rc<Wire>,
    /// How long the latest piece was, if its window is still to be given back.
    taken: usize,
    /// How much is left, where that is known.
    left: Option<u64>,
    /// Whether only trailers may follow.
    has_ended: bool,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a body")
    }
}

impl Incoming {
    /// What comes behind the head of a request, and is so long, if that was said.
    pub(super) fn new(stream: RecvStream, wire: Rc<Wire>, left: Option<u64>) -> Self {
        Self { stream, wire, taken: 0, left, has_ended: false }
    }

    /// Takes the next piece.
    pub(in crate::server) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.wire.say_continue();
        let taken = std::mem::take(&mut self.taken);
        if taken > 0 && self.stream.flow_control().release_capacity(taken).is_err() {
            return Poll::Ready(Some(Err(BodyError::Client)));
        }
        while !self.has_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.taken = data.len();
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(BodyError::Client))),
                None => self.has_ended = true,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Ok(None) => Poll::Ready(None),
            Err(_) => Poll::Ready(Some(Err(BodyError::Client))),
        }
    }

    /// Whether all of it has been taken.
    pub(in crate::server) fn is_at_end(&self) -> bool {
        self.stream.is_end_stream()
    }

    /// How much is left of it, where that is known.
    pub(in crate::server) fn left(&self) -> Option<u64> {
        self.left
    }
}
