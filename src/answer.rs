//! The body of what the client gets, and with it the end of the request.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::forward::body::{BodyError, UpstreamBody};
use crate::observe::record::Record;

/// The body of a response to the client.
pub(crate) struct Answer(Source);

enum Source {
    /// One that keygate wrote itself, until it is sent.
    Own(Option<Bytes>),
    /// One that streams from an upstream; the request is recorded when it is dropped.
    Upstream(UpstreamBody, Box<Record>),
}

impl Answer {
    /// One that keygate wrote itself.
    pub(crate) fn own(body: Bytes) -> Self {
        Self(Source::Own(Some(body).filter(|body| !body.is_empty())))
    }

    /// None, because a tunnel takes over.
    pub(crate) fn empty() -> Self {
        Self(Source::Own(None))
    }

    /// One that streams from an upstream.
    pub(crate) fn streaming(body: UpstreamBody, record: Box<Record>) -> Self {
        Self(Source::Upstream(body, record))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Source::Own(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Source::Upstream(body, record) => {
                let polled = Pin::new(body).poll_frame(cx);
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    record.add_bytes(frame.data_ref().map_or(0, Bytes::len) as u64);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Own(body) => body.is_none(),
            Source::Upstream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Source::Upstream(body, _) => body.size_hint(),
        }
    }
}
