//! What heads come to over HTTP/2, by way of the crate that decodes them, and over HTTP/1.1.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::io::{AsyncWrite, DuplexStream, duplex};

use super::{Heard, MAX_SIZE, map, sorted};
use crate::fields::Fields;
use crate::head::RequestHead;
use crate::headers::is_token;
use crate::http1::stock::Stock;
use crate::screen;
use crate::server::h1::head::{Head as Head1, Search};
use crate::server::h2::head::Head as Head2;
use crate::upstream::connection::Said as Interim;
use crate::upstream::h2::stream::{Coming, Heard as Said, poll_head};

/// A request as the pipeline sees it, once it has been screened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Method and target.
    pub line: (String, String),
    /// The host that it is routed by.
    pub host: Option<String>,
    /// Names and values in the order of their names.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Whether no body follows.
    pub is_bare: bool,
}

impl Asked {
    fn of(head: &RequestHead) -> Option<Self> {
        let host = screen::check(head).ok()?;
        Some(Self {
            line: (head.method.to_string(), head.uri.to_string()),
            host: host.name().map(str::to_owned),
            fields: sorted(&head.headers),
            is_bare: head.is_without_body(),
        })
    }
}

/// What a head of HTTP/1.1 asks for; none: it is refused.
pub fn asked_over_1(head: &[u8]) -> Option<Asked> {
    let stock = Stock::default();
    let found = Search::default().next(head, MAX_SIZE, &stock.empty_line).ok()??;
    let head = Bytes::copy_from_slice(&head[found.0..found.1]);
    Asked::of(&Head1::parse(&head, &stock).ok()?.request)
}

/// What a client's frames ask for first, the preface before them; none: it is refused.
pub fn asked_over_2(frames: &[u8]) -> Option<Asked> {
    let mut cx = Context::from_waker(Waker::noop());
    let (near, mut far) = pair();
    send(&mut far, frames, &mut cx);
    let handshake = pin!(h2::server::handshake(near));
    let Poll::Ready(Ok(mut connection)) = handshake.poll(&mut cx) else { return None };
    let Poll::Ready(Some(Ok((request, _)))) = connection.poll_accept(&mut cx) else { return None };
    let (parts, stream) = request.into_parts();
    let head = Head2::new(parts, stream.is_end_stream(), MAX_SIZE, Fields::new());
    Asked::of(&head.ok()?.request)
}

/// What an upstream's frames are taken for, its settings before them, as an answer to the first
/// request of a connection.
pub fn heard_over_2(frames: &[u8], asked: &Method) -> Heard {
    let mut heard = Heard::default();
    let mut cx = Context::from_waker(Waker::noop());
    let (near, mut far) = pair();
    let handshake = pin!(h2::client::handshake(near));
    let Poll::Ready(Ok((mut requests, mut connection))) = handshake.poll(&mut cx) else {
        return heard;
    };
    let request = Request::builder().method(asked).uri("http://a.test/").body(());
    let sent = requests.send_request(request.expect("a request"), true);
    let (mut response, _) = sent.expect("there is room for one");
    // The request goes out, and then everything comes at once.
    let _ = Pin::new(&mut connection).poll(&mut cx);
    send(&mut far, frames, &mut cx);
    let _ = Pin::new(&mut connection).poll(&mut cx);
    let coming = loop {
        match poll_head(&mut response, asked, &mut cx, &Stock::default()) {
            Poll::Ready(Ok(Said::Interim(said))) => heard.informational.push(match said {
                Interim::Hints(fields) => (StatusCode::EARLY_HINTS, map(&fields)),
                _ => (StatusCode::CONTINUE, HeaderMap::new()),
            }),
            Poll::Ready(Ok(Said::Final(head, coming))) => {
                heard.head = Some((head.status, head.reason, map(&head.headers)));
                break coming;
            }
            Poll::Ready(Err(_)) | Poll::Pending => return heard,
        }
    };
    read(coming, &mut heard, &mut cx);
    heard
}

fn read(mut coming: Coming, heard: &mut Heard, cx: &mut Context<'_>) {
    while let Poll::Ready(frame) = coming.poll_frame(cx) {
        match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
            Some(Ok(Ok(data))) => heard.data.extend_from_slice(&data),
            Some(Ok(Err(frame))) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                // As whoever passes them on does.
                let passed = trailers.iter().filter(|(name, _)| is_token(name));
                heard.trailers =
                    passed.map(|(name, value)| (name.clone(), value.clone())).collect();
            }
            Some(Err(_)) => return,
            None => return heard.left = Some(0),
        }
    }
}

/// Two ends of a connection that has room for all that is said on it.
fn pair() -> (DuplexStream, DuplexStream) {
    duplex(64 * 1024)
}

fn send(mut far: &mut DuplexStream, bytes: &[u8], cx: &mut Context<'_>) {
    let sent = Pin::new(&mut far).poll_write(cx, bytes);
    assert!(matches!(sent, Poll::Ready(Ok(count)) if count == bytes.len()), "there is no room");
}
