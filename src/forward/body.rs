//! Bodies on their way: a request's with its limits, a response's with the connection it comes
//! from.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::headers::{Framing, trailer_may_pass};
use crate::fields::Fields;
use crate::server::body::ClientBody;
use crate::server::client::Client;
use crate::server::clock::Wait;
use crate::server::pace::Pace;
use crate::server::worker::Served;
use crate::upstream::connection::Broken;
use crate::upstream::lease::Lease;

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The request's body is longer than the location allows.
    TooLarge,
    /// The client stopped sending.
    ClientStalled,
    /// The client went away, or sent no valid body.
    Client,
    /// The upstream stopped sending.
    UpstreamStalled,
    /// The upstream went away, or sent no valid body.
    Upstream,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the request's body is too large",
            Self::ClientStalled => "the client stopped sending its body",
            Self::Client => "the client's body broke off",
            Self::UpstreamStalled => "the upstream stopped sending its body",
            Self::Upstream => "the upstream's body broke off",
        })
    }
}

impl Error for BodyError {}

/// How long a client that waits for `100 Continue` is kept waiting for the upstream to say it: as
/// long as clients wait themselves (RFC 9110, section 10.1.1, leaves the time open; curl waits a
/// second).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// A request's body on its way up; none, or one that streams from the client.
pub(crate) struct RequestBody(Option<Box<Streaming>>);

struct Streaming {
    inner: ClientBody,
    client: Rc<Client>,
    served: Rc<Served>,
    /// How long its client may still be waited for.
    pace: Pace,
    /// How many more bytes the location allows.
    left: Option<u64>,
    /// While the client waits for `100 Continue`: until when.
    expects: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    /// No body.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// A body that may be `limit` bytes long.
    pub(crate) fn streaming(
        inner: ClientBody,
        limit: Option<u64>,
        expects_continue: bool,
        client: Rc<Client>,
        served: Rc<Served>,
    ) -> Self {
        let expects =
            expects_continue.then(|| Box::pin(client.worker.here.timers.sleep(CONTINUE_TIMEOUT)));
        let pace = Pace::new(Wait::Body, &served.plan.server);
        let streaming = Streaming { inner, client, served, pace, left: limit, expects };
        Self(Some(Box::new(streaming)))
    }
}

impl Streaming {
    /// Waits until the upstream wants the body, or the client would send it anyway.
    fn poll_wanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.expects
            && !self.client.body_is_wanted.get()
        {
            ready!(sleep.as_mut().poll(cx));
        }
        self.expects = None;
        Poll::Ready(())
    }

    fn count(&mut self, data: &Bytes) -> Result<(), BodyError> {
        let Some(left) = &mut self.left else { return Ok(()) };
        *left = left.checked_sub(data.len() as u64).ok_or(BodyError::TooLarge)?;
        Ok(())
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        ready!(self.poll_wanted(cx));
        let deadlines = &self.client.deadlines;
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            if deadlines.passed(Wait::Body) {
                return Poll::Ready(Some(Err(BodyError::ClientStalled)));
            }
            self.pace.waits(deadlines);
            return Poll::Pending;
        };
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.pace.moved(deadlines, data.map_or(0, Bytes::len));
        // The upstream's time to answer counts from the last piece that it was sent, and a client
        // that is still sending need not read yet.
        deadlines.clear(Wait::Upstream);
        deadlines.clear(Wait::Write);
        match frame {
            None => Poll::Ready(None),
            Some(Err(_)) => Poll::Ready(Some(Err(BodyError::Client))),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref()
                    && let Err(error) = self.count(data)
                {
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(filter_trailers(frame, &self.served))))
            }
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.client.deadlines.clear(Wait::Body);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            None => Poll::Ready(None),
            Some(streaming) => streaming.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|streaming| streaming.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or(SizeHint::with_exact(0), |streaming| streaming.inner.size_hint())
    }
}

/// How a body that came in is framed when it goes on; `left` is how long it is, if that was said.
pub(crate) fn framing(headers: &Fields, left: Option<u64>) -> Framing {
    match left {
        // A length of 0 is said as it was: some origins ask for it with a POST.
        Some(0) if headers.contains(&CONTENT_LENGTH) => Framing::Length(0),
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    }
}

fn filter_trailers(frame: Frame<Bytes>, served: &Served) -> Frame<Bytes> {
    if !frame.is_trailers() {
        return frame;
    }
    let mut passed = HeaderMap::new();
    if let Ok(trailers) = frame.into_trailers() {
        for (name, value) in &trailers {
            if trailer_may_pass(name, &served.plan.credential_headers) {
                passed.append(name, value.clone());
            }
        }
    }
    Frame::trailers(passed)
}

/// A response's body; the connection it comes from is the client's [`Client::lease`] until the body
/// ends, and is driven here. A client that goes away drops both, and with them the upstream's
/// request.
pub(crate) struct UpstreamBody {
    /// How much is left, where that is known.
    left: Option<u64>,
    /// Whether the client sees by its framing where it ends.
    framed: bool,
    client: Rc<Client>,
    served: Rc<Served>,
}

impl UpstreamBody {
    /// The body of a response that came over `lease`, to a request of this version.
    pub(crate) fn new(
        lease: Lease,
        version: Version,
        client: Rc<Client>,
        served: Rc<Served>,
    ) -> Self {
        let left = lease.left();
        *client.lease.borrow_mut() = Some(lease);
        // HTTP/1.0 has no chunks: what has no length ends with the connection.
        let framed = version != Version::HTTP_10 || left.is_some();
        let body = Self { left, framed, client, served };
        if body.is_end_stream() {
            body.give_back();
        }
        body
    }

    /// Ends the response's claim on the connection, which may carry the next request.
    fn give_back(&self) {
        self.client.deadlines.clear(Wait::Upstream);
        if let Some(lease) = self.client.lease.take() {
            lease.give_back();
        }
    }

    /// Ends the response's claim on the connection, and the connection.
    fn give_up(&self) {
        self.client.deadlines.clear(Wait::Upstream);
        drop(self.client.lease.take());
    }

    /// Ends the connection. A client that could not tell otherwise sees that this was not all (RFC
    /// 9112, section 8).
    fn break_off(&self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.framed {
            self.client.reset_when_closed();
        }
        self.give_up();
        Poll::Ready(Some(Err(error)))
    }

    fn poll_upstream(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut lease = self.client.lease.borrow_mut();
        let Some(lease) = &mut *lease else { return Poll::Ready(None) };
        let polled = lease.poll_frame(cx);
        match polled {
            Poll::Pending => {
                let timeout = lease.upstream().read_timeout;
                self.client.deadlines.start(Wait::Upstream, timeout);
            }
            Poll::Ready(_) => self.left = lease.left(),
        }
        polled
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = self.poll_upstream(cx) else {
            if self.client.deadlines.passed(Wait::Upstream) {
                return self.break_off(BodyError::UpstreamStalled);
            }
            return Poll::Pending;
        };
        self.client.deadlines.clear(Wait::Upstream);
        match frame {
            None => {
                self.give_back();
                Poll::Ready(None)
            }
            Some(Err(_)) => self.break_off(BodyError::Upstream),
            Some(Ok(frame)) => {
                if self.is_end_stream() {
                    self.give_back();
                }
                Poll::Ready(Some(Ok(filter_trailers(frame, &self.served))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        self.give_up();
    }
}
