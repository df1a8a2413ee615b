//! A request's body on its way over a shared connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use http_body::{Body, Frame};

use crate::forward::body::BodyError;
use crate::forward::headers::Framing;

/// How many pieces are sent before the response has its turn: an upstream may answer while it is
/// sent more and more.
const MAX_PIECES: u32 = 16;

/// A body that is being sent, or has been.
pub(super) struct Upload<B> {
    /// None once the body has ended, or the upstream wants no more of it.
    stream: Option<SendStream<Bytes>>,
    /// None once its end is known.
    body: Option<B>,
    framing: Framing,
    /// What was taken from the client and has not gone on.
    data: Bytes,
    /// Whether anything was taken out of the body, which cannot be put back.
    is_begun: bool,
    /// Whether the end was sent.
    is_over: bool,
    /// Why the body broke off. It must not be asked for more.
    broken_off: Option<BodyError>,
}

/// The upstream wants no more: it has answered, or reset the stream, or is gone. Its response tells
/// which (RFC 9113, section 8.1).
struct Unwanted;

/// What was taken out of a body.
enum Taken {
    Data(Bytes),
    End(Option<http::HeaderMap>),
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Upload<B> {
    /// One of which nothing was sent.
    pub(super) fn new(body: B, framing: Framing) -> Self {
        Self {
            stream: None,
            body: Some(body),
            framing,
            data: Bytes::new(),
            is_begun: false,
            is_over: framing.is_empty(),
            broken_off: None,
        }
    }

    /// The head has been sent; the body follows over `stream`, if there is one.
    pub(super) fn begin(&mut self, stream: SendStream<Bytes>) {
        self.stream = Some(stream).filter(|_| !self.is_over);
    }

    /// Whether the upstream has been sent all of it.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The body, if all of it is there.
    pub(super) fn take_back(&mut self) -> Option<B> {
        self.body.take_if(|_| !self.is_begun)
    }

    /// Sends as much as goes. Nothing is taken from the client before there is room for some of it
    /// on the connection.
    ///
    /// # Errors
    /// The body broke off.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        if let Some(error) = self.broken_off {
            return Err(error);
        }
        for _ in 0..MAX_PIECES {
            if self.stream.is_none() {
                return Ok(());
            }
            match self.poll_piece(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(Ok(()))) => {}
                Poll::Ready(Ok(Err(Unwanted))) => self.stream = None,
                Poll::Ready(Err(error)) => {
                    self.broken_off = Some(error);
                    return Err(error);
                }
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<(), Unwanted>, BodyError>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(Ok(()))) };
        let wanted = self.data.len().max(1);
        let Ok(mut room) = ready!(poll_room(stream, wanted, cx)) else {
            return Poll::Ready(Ok(Err(Unwanted)));
        };
        if self.data.is_empty() {
            match ready!(self.poll_taken(cx))? {
                Taken::Data(data) => self.data = data,
                Taken::End(trailers) => return Poll::Ready(Ok(self.end(trailers))),
            }
            let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(Ok(()))) };
            // There was room for a byte; for all of it there may be at once.
            stream.reserve_capacity(self.data.len());
            room = stream.capacity();
        }
        let piece = self.data.split_to(room.min(self.data.len()));
        let is_last = self.data.is_empty() && self.has_ended();
        let sent = self.stream.as_mut().map(|stream| stream.send_data(piece, is_last));
        if is_last {
            self.finish();
        }
        Poll::Ready(Ok(match sent {
            Some(Err(_)) => Err(Unwanted),
            _ => Ok(()),
        }))
    }

    /// Takes the next piece of the body that is one, or its end.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<Result<Taken, BodyError>> {
        loop {
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(Taken::End(None))) };
            let frame = ready!(Pin::new(body).poll_frame(cx)).transpose()?;
            self.is_begun = true;
            match frame.map(Frame::into_data) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.count(&data)?;
                    return Poll::Ready(Ok(Taken::Data(data)));
                }
                // An end that comes too early is none: the upstream must not take it for one.
                _ if matches!(self.framing, Framing::Length(left) if left > 0) => {
                    return Poll::Ready(Err(BodyError::Client));
                }
                Some(Err(frame)) => return Poll::Ready(Ok(Taken::End(frame.into_trailers().ok()))),
                None => return Poll::Ready(Ok(Taken::End(None))),
            }
        }
    }

    fn count(&mut self, data: &Bytes) -> Result<(), BodyError> {
        if let Framing::Length(left) = self.framing {
            let left = left.checked_sub(data.len() as u64).ok_or(BodyError::Client)?;
            self.framing = Framing::Length(left);
        }
        Ok(())
    }

    /// Whether what was taken is known to be all.
    fn has_ended(&self) -> bool {
        match self.framing {
            Framing::Length(left) => left == 0,
            Framing::Chunked => self.body.as_ref().is_none_or(Body::is_end_stream),
            Framing::None => true,
        }
    }

    fn end(&mut self, trailers: Option<http::HeaderMap>) -> Result<(), Unwanted> {
        let sent = match (&mut self.stream, trailers) {
            (None, _) => Ok(()),
            (Some(stream), Some(trailers)) => stream.send_trailers(trailers),
            (Some(stream), None) => stream.send_data(Bytes::new(), true),
        };
        self.finish();
        sent.map_err(|_| Unwanted)
    }

    fn finish(&mut self) {
        self.is_over = true;
        self.stream = None;
        self.body = None;
    }
}

/// How much there is room for, if there is any; as much as is wanted is asked for.
fn poll_room(
    stream: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, Unwanted>> {
    stream.reserve_capacity(wanted);
    while stream.capacity() == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(Err(Unwanted)),
        }
    }
    Poll::Ready(Ok(stream.capacity()))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use h2::RecvStream;
    use tokio::io::duplex;
    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    /// A body that gives these pieces, and then ends.
    struct Pieces(VecDeque<Result<Frame<Bytes>, BodyError>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    /// What comes of an upload, and what arrives of it: data, and whether it ended.
    async fn uploaded(
        framing: Framing,
        pieces: &[&'static str],
    ) -> (Option<BodyError>, String, bool) {
        let (near, far) = duplex(64 * 1024);
        let (mut requests, connection) = h2::client::handshake(near).await.expect("begun");
        spawn_local(connection);
        let arrived = spawn_local(async {
            let mut connection = h2::server::handshake(far).await.expect("begun");
            let (request, _respond) = connection.accept().await.expect("one").expect("a request");
            spawn_local(async move { while connection.accept().await.is_some() {} });
            arrived(request.into_body()).await
        });
        let request = http::Request::post("http://a.test/").body(()).expect("a request");
        let (response, stream) = requests.send_request(request, false).expect("it is open");
        let data = |piece: &&'static str| Ok(Frame::data(Bytes::from_static(piece.as_bytes())));
        let mut upload = Upload::new(Pieces(pieces.iter().map(data).collect()), framing);
        upload.begin(stream);
        let error = poll_fn(|cx| match upload.poll(cx) {
            Err(error) => Poll::Ready(Some(error)),
            Ok(()) if upload.is_over() => Poll::Ready(None),
            Ok(()) => Poll::Pending,
        });
        let error = error.await;
        // One that breaks off is dropped; of another, all is to arrive first.
        let kept = error.is_none().then_some((upload, response));
        let (data, ended) = arrived.await.expect("no panic");
        drop(kept);
        (error, data, ended)
    }

    async fn arrived(mut stream: RecvStream) -> (String, bool) {
        let mut all = String::new();
        while let Some(data) = stream.data().await {
            // What came before a reset may be lost with it.
            let Ok(data) = data else { return (String::new(), false) };
            all.push_str(std::str::from_utf8(&data).expect("text"));
        }
        (all, true)
    }

    #[tokio::test]
    async fn a_body_of_another_length_never_ends() {
        let check = async |framing, pieces: &[_], error, arrived: &str, ended| {
            let expected = (error, arrived.to_owned(), ended);
            assert_eq!(uploaded(framing, pieces).await, expected, "{framing:?} {pieces:?}");
        };
        let wrong = Some(BodyError::Client);
        let checks = async {
            check(Framing::Length(5), &["he", "", "llo"], None, "hello", true).await;
            check(Framing::Chunked, &["he", "llo"], None, "hello", true).await;
            check(Framing::Chunked, &[], None, "", true).await;
            check(Framing::Length(5), &["he"], wrong, "", false).await;
            check(Framing::Length(5), &[], wrong, "", false).await;
            check(Framing::Length(5), &["hel", "lo!"], wrong, "", false).await;
        };
        LocalSet::new().run_until(checks).await;
    }
}
