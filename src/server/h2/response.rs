//! The head of a response over HTTP/2; pure.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body;

use crate::fields::Fields;
use crate::head::ResponseHead;
use crate::http1::declared;

/// Writes the head of a response to a request of this method, and says whether that is all of it.
pub(super) fn write(head: &ResponseHead, asked: &Method, body: &impl Body) -> (Response<()>, bool) {
    let bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let is_all = bodiless || *asked == Method::HEAD || body.is_end_stream();
    let mut headers = map_of(&head.headers);
    let said = head.headers.get(&CONTENT_LENGTH);
    let said = said.and_then(|length| declared::decimal(length.as_bytes()));
    // Of what is known of a body, the body itself knows most.
    let known = body.size_hint().exact().filter(|&length| length > 0);
    let length = match known {
        _ if bodiless && *asked != Method::HEAD || head.status == StatusCode::NO_CONTENT => None,
        Some(length) if !bodiless && *asked != Method::HEAD => Some(length),
        known => said.or(known.filter(|_| !bodiless)),
    };
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    (bare(head.status, headers), is_all)
}

/// A head as the `h2` crate takes it.
pub(super) fn bare(status: StatusCode, headers: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The fields that may stand in a message of HTTP/2, but for the body's length. What must not be
/// guessed from how well it compresses is not put into the table (RFC 7541, section 7.1.3).
pub(super) fn map_of(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len() + 1);
    for (name, value) in fields {
        if is_for_a_connection(name) || *name == CONTENT_LENGTH {
            continue;
        }
        let mut value = value.clone();
        if *name == SET_COOKIE {
            value.set_sensitive(true);
        }
        map.append(name.clone(), value);
    }
    map
}

/// RFC 9113, section 8.2.2.
fn is_for_a_connection(name: &HeaderName) -> bool {
    match name.as_str().len() {
        2 => *name == TE,
        7 => *name == UPGRADE,
        10 => *name == CONNECTION || name.as_str() == "keep-alive",
        16 => name.as_str() == "proxy-connection",
        17 => *name == TRANSFER_ENCODING,
        _ => false,
    }
}
