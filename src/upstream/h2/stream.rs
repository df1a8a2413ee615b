//! One request over a shared connection, and its response.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;

use super::head;
use super::links::Place;
use super::upload::Upload;
use crate::forward::body::RequestBody;
use crate::forward::headers::Framing;
use crate::http1::stock::Stock;
use crate::upstream::connection::{Broken, Said};

/// A request, and how far it and its response have come. One that is dropped half-way is reset,
/// which leaves the connection to the others.
pub(crate) struct Stream {
    upload: Upload<RequestBody>,
    download: Download,
    /// Whether the upstream has said anything to the request.
    has_said: bool,
    /// Whether the upstream said that it has done nothing about it.
    is_unprocessed: bool,
    /// Dropped last: the others are to find the stream closed.
    place: Place,
}

enum Download {
    /// Nothing was asked yet.
    Nothing,
    /// It cannot be asked, for this reason.
    Unsent(Option<Broken>),
    /// The head is awaited.
    Head(ResponseFuture, Method),
    /// The body comes, or has.
    Body(Coming),
    /// All of it was taken.
    Over,
}

/// A body that comes.
pub(crate) struct Coming {
    stream: RecvStream,
    /// How much is to come, where that was said.
    left: Option<u64>,
    /// How much was handed over that the upstream was not told of yet.
    owed: usize,
}

impl Stream {
    /// A place on a connection, for one request.
    pub(super) fn new(place: Place) -> Self {
        Self {
            upload: Upload::new(RequestBody::none(), Framing::None),
            download: Download::Nothing,
            has_said: false,
            is_unprocessed: false,
            place,
        }
    }

    /// Begins a request; polling for what the upstream says sends its body.
    pub(crate) fn send(
        &mut self,
        request: Result<Request<()>, Broken>,
        body: RequestBody,
        framing: Framing,
    ) {
        self.upload = Upload::new(body, framing);
        self.download = match request.and_then(|request| self.begin(request)) {
            Ok(download) => download,
            Err(broken) => Download::Unsent(Some(broken)),
        };
    }

    fn begin(&mut self, request: Request<()>) -> Result<Download, Broken> {
        let asked = request.method().clone();
        let sent = self.place.link.send(request, self.upload.is_over());
        let (response, stream) = sent.map_err(|error| self.broken(error))?;
        self.upload.begin(stream);
        Ok(Download::Head(response, asked))
    }

    /// Goes on with the request.
    ///
    /// # Errors
    /// It cannot be sent to its end.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        self.upload.poll(cx).map_err(Broken::Body)
    }

    /// Goes on with the request, and takes what the upstream says to it.
    pub(crate) fn poll_said(
        &mut self,
        cx: &mut Context<'_>,
        stock: &Stock,
    ) -> Poll<Result<Said, Broken>> {
        self.drive(cx)?;
        let polled = match &mut self.download {
            Download::Head(response, asked) => poll_head(response, asked, cx, stock),
            Download::Unsent(broken) => {
                const AGAIN: Broken = Broken::Malformed("the request was not sent");
                return Poll::Ready(Err(broken.take().unwrap_or(AGAIN)));
            }
            _ => return Poll::Ready(Err(Broken::Malformed("no request was sent"))),
        };
        let said = ready!(polled);
        if !matches!(said, Err(Trouble::Stream(_))) {
            self.has_said = true;
            self.place.link.responds();
        }
        Poll::Ready(match said {
            Ok(Heard::Interim(said)) => Ok(said),
            Ok(Heard::Final(head, coming)) => {
                self.download = Download::Body(coming);
                Ok(Said::Response(head))
            }
            Err(Trouble::Stream(error)) => Err(self.broken(error)),
            Err(Trouble::Malformed(why)) => Err(self.nonsense(why)),
        })
    }

    /// Goes on with the request, and takes the next piece of the response's body.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.drive(cx)?;
        let Download::Body(coming) = &mut self.download else { return Poll::Ready(None) };
        let frame = ready!(coming.poll_frame(cx));
        self.place.link.responds();
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => Some(Err(self.broken(error))),
            None => {
                self.download = Download::Over;
                None
            }
        })
    }

    /// How much of the response's body is left, where that is known. What has come as a whole may
    /// have trailers still.
    pub(crate) fn left(&self) -> Option<u64> {
        match &self.download {
            Download::Body(coming) if coming.stream.is_end_stream() => Some(0),
            Download::Body(coming) => coming.left.filter(|&left| left > 0),
            _ => Some(0),
        }
    }

    /// Whether the upstream has said anything to the request.
    pub(crate) fn has_said(&self) -> bool {
        self.has_said
    }

    /// The request's body, if nothing can have been done about the request, and all of it is there.
    pub(crate) fn take_back(&mut self) -> Option<RequestBody> {
        if self.is_unprocessed { self.upload.take_back() } else { None }
    }

    fn nonsense(&self, why: &'static str) -> Broken {
        // An upstream is told so often that it is wrong, and then the connection is closed under
        // all that share it. This way only those suffer that it was wrong to.
        self.place.link.retire();
        Broken::Malformed(why)
    }

    /// What is wrong with the stream, or with all of the connection.
    fn broken(&mut self, error: h2::Error) -> Broken {
        // Said only to streams that come behind the last which the upstream will look at (RFC 9113,
        // section 6.8).
        let went_away = error.is_go_away() && error.is_remote();
        let was_reset = error.is_reset() && error.is_remote();
        let refused = was_reset && error.reason() == Some(Reason::REFUSED_STREAM);
        if refused {
            self.place.link.retire();
        }
        if went_away || refused {
            self.is_unprocessed = !self.has_said;
            return Broken::Unprocessed;
        }
        if was_reset {
            return Broken::Reset(error.reason().unwrap_or(Reason::INTERNAL_ERROR));
        }
        if !error.is_io() {
            return self.nonsense("what the upstream says is no valid HTTP/2");
        }
        Broken::Closed(error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Download::Body(coming) = std::mem::replace(&mut self.download, Download::Over)
            && coming.left == Some(0)
            && !coming.stream.is_end_stream()
            && self.upload.is_over()
        {
            self.place.link.see_off(coming.stream);
        }
    }
}

/// What has come.
pub(crate) enum Heard {
    Interim(Said),
    Final(crate::head::ResponseHead, Coming),
}

/// Why there is no head.
pub(crate) enum Trouble {
    Stream(h2::Error),
    Malformed(&'static str),
}

impl From<h2::Error> for Trouble {
    fn from(error: h2::Error) -> Self {
        Self::Stream(error)
    }
}

impl From<&'static str> for Trouble {
    fn from(why: &'static str) -> Self {
        Self::Malformed(why)
    }
}

/// What comes before the body, one by one.
pub(crate) fn poll_head(
    response: &mut ResponseFuture,
    asked: &Method,
    cx: &mut Context<'_>,
    stock: &Stock,
) -> Poll<Result<Heard, Trouble>> {
    while let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
        let (parts, ()) = interim?.into_parts();
        // Those that are not passed on must be valid as well: what follows is the same upstream's.
        let fields = head::fields(parts.headers, stock)?;
        match parts.status {
            StatusCode::CONTINUE => return Poll::Ready(Ok(Heard::Interim(Said::Continue))),
            StatusCode::EARLY_HINTS => {
                return Poll::Ready(Ok(Heard::Interim(Said::Hints(fields))));
            }
            // HTTP/2 has no such thing (RFC 9113, section 8.6).
            StatusCode::SWITCHING_PROTOCOLS => {
                return Poll::Ready(Err("the upstream switches protocols over HTTP/2".into()));
            }
            _ => {}
        }
    }
    let (parts, stream) = ready!(Pin::new(response).poll(cx))?.into_parts();
    let (head, left) = head::response(Response::from_parts(parts, ()), asked, stock)?;
    Poll::Ready(Ok(Heard::Final(head, Coming { stream, left, owed: 0 })))
}

impl Coming {
    /// The next piece. The upstream may send as much again as the client has taken: what was handed
    /// over last has gone on when more is asked for.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        loop {
            if self.owed > 0 {
                self.stream.flow_control().release_capacity(std::mem::take(&mut self.owed))?;
            }
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.owed = data.len();
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                // All that was announced has come; how the stream ends then is no loss.
                Some(Err(_)) if self.left == Some(0) => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let trailers = ready!(self.stream.poll_trailers(cx));
                    return Poll::Ready(
                        trailers.transpose().map(|trailers| trailers.map(Frame::trailers)),
                    );
                }
            }
        }
    }
}
