//! The body of a client's request, whichever version of HTTP carries it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{h1, h2};
use crate::forward::body::BodyError;

/// The body of a client's request, which comes piece by piece when it is asked for.
#[derive(Debug)]
pub(crate) enum ClientBody {
    /// There is none.
    None,
    /// It comes over a connection of HTTP/1.
    H1(h1::input::Incoming),
    /// It comes over a stream of HTTP/2; boxed, because it is larger.
    H2(Box<h2::input::Incoming>),
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::None => Poll::Ready(None),
            Self::H1(body) => body.poll_frame(cx),
            Self::H2(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::H1(body) => body.is_at_end(),
            Self::H2(body) => body.is_at_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let left = match self {
            Self::None => Some(0),
            Self::H1(body) => body.left(),
            Self::H2(body) => body.left(),
        };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
