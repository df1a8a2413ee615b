//! The body of what the client gets, and with it the end of the request.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::forward::body::{BodyError, UpstreamBody};
use crate::observe::record::Record;

/// The body of a response to the client; the request is recorded when it is dropped.
pub(crate) struct Answer {
    body: Source,
    record: Option<Box<Record>>,
}

enum Source {
    /// One that keygate wrote itself, until it is sent.
    Own(Option<Bytes>),
    /// One that streams from an upstream.
    Upstream(UpstreamBody),
}

impl Answer {
    /// One that keygate wrote itself.
    pub(crate) fn own(body: Bytes, record: Box<Record>) -> Self {
        let body = Source::Own(Some(body).filter(|body| !body.is_empty()));
        Self { body, record: Some(record) }
    }

    /// None, because a tunnel takes over; the tunnel has the record.
    pub(crate) fn empty() -> Self {
        Self { body: Source::Own(None), record: None }
    }

    /// One that streams from an upstream.
    pub(crate) fn streaming(body: UpstreamBody, record: Box<Record>) -> Self {
        Self { body: Source::Upstream(body), record: Some(record) }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let answer = self.get_mut();
        let polled = match &mut answer.body {
            Source::Own(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Source::Upstream(body) => Pin::new(body).poll_frame(cx),
        };
        if let (Poll::Ready(Some(Ok(frame))), Some(record)) = (&polled, &mut answer.record) {
            record.add_bytes(frame.data_ref().map_or(0, Bytes::len) as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Source::Own(body) => body.is_none(),
            Source::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Source::Upstream(body) => body.size_hint(),
        }
    }
}
