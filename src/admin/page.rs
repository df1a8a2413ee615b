//! What the admin listener answers.

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::State;
use crate::observe::metrics::Format;

/// A response whose body is in memory.
type Page = Response<Full<Bytes>>;

/// Answers a request; its body is not looked at.
pub(super) fn respond<B>(request: &Request<B>, state: &State) -> Page {
    let answer: fn(&HeaderMap, &State) -> Page = match request.uri().path() {
        "/livez" => |_, _| plain(StatusCode::OK, "alive\n"),
        "/readyz" => |_, state| match *state.stop.borrow() {
            // Traffic is to go elsewhere, and the process is to live on until it is done.
            true => plain(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            false => plain(StatusCode::OK, "ready\n"),
        },
        "/metrics" => metrics,
        _ => return plain(StatusCode::NOT_FOUND, "not found\n"),
    };
    match *request.method() {
        // Of an answer to HEAD hyper sends no body.
        Method::GET | Method::HEAD => answer(request.headers(), state),
        _ => {
            let mut page = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            page.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            page
        }
    }
}

fn metrics(headers: &HeaderMap, state: &State) -> Page {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    page(StatusCode::OK, format.media_type(), state.gate.page(format).into())
}

fn plain(status: StatusCode, text: &'static str) -> Page {
    page(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn page(status: StatusCode, media_type: &'static str, body: Bytes) -> Page {
    let mut page = Response::new(Full::new(body));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}
