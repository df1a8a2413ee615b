//! What hyper's client makes of an answer, as a reference.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::Empty;
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper::ext::ReasonPhrase;
use hyper::rt::{Read, ReadBufCursor, Write};
use keygate::fuzzing::Heard;

/// A connection on which this comes as soon as anything was sent.
struct Answering {
    bytes: Bytes,
    is_asked: bool,
}

impl Read for Answering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_asked {
            return Poll::Pending;
        }
        let count = buf.remaining().min(self.bytes.len());
        buf.put_slice(&self.bytes.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl Write for Answering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_asked = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Reads the answer to a request, and its version.
pub fn hear(bytes: &[u8], asked: &Method) -> (Heard, Version) {
    let mut cx = Context::from_waker(Waker::noop());
    let io = Answering { bytes: Bytes::copy_from_slice(bytes), is_asked: false };
    let Poll::Ready(Ok((mut sender, mut connection))) =
        pin!(http1::handshake::<_, Empty<Bytes>>(io)).poll(&mut cx)
    else {
        panic!("a connection")
    };
    let informational = Arc::<Mutex<Vec<_>>>::default();
    let said = Arc::clone(&informational);
    let mut request = Request::builder().method(asked).uri("/").body(Empty::new()).expect("one");
    hyper::ext::on_informational(&mut request, move |response| {
        said.lock().expect("it").push((response.status(), response.headers().clone()));
    });
    let mut response = pin!(sender.send_request(request));
    let (mut heard, mut version) = (Heard::default(), Version::HTTP_11);
    let (mut body, mut ended) = (None, false);
    // However long it takes, nobody else is waited for.
    let is_whole = loop {
        ended = ended || connection.poll_without_shutdown(&mut cx).is_ready();
        let Some(body) = &mut body else {
            match response.as_mut().poll(&mut cx) {
                Poll::Ready(Ok(response)) => {
                    let (head, came) = response.into_parts();
                    let reason = head.extensions.get().map(ReasonPhrase::as_bytes);
                    let reason = reason.map(Bytes::copy_from_slice);
                    heard.head = Some((head.status, reason, head.headers));
                    version = head.version;
                    body = Some(came);
                }
                Poll::Ready(Err(_)) => break false,
                Poll::Pending => assert!(!ended, "the end, and no response"),
            }
            continue;
        };
        match Pin::new(body).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => heard.data.extend_from_slice(&data),
                Err(frame) => heard.trailers = frame.into_trailers().unwrap_or_default(),
            },
            Poll::Ready(Some(Err(_))) => break false,
            Poll::Ready(None) => break true,
            Poll::Pending => assert!(!ended, "the end within a body"),
        }
    };
    let rest = connection.into_parts();
    heard.left = is_whole.then(|| rest.read_buf.len() + rest.io.bytes.len());
    heard.informational = std::mem::take(&mut *informational.lock().expect("it"));
    (heard, version)
}
