//! The head of a request out of what the `h2` crate has decoded; pure.
//!
//! What comes is made into the head that HTTP/1 would have brought (RFC 9113, section 8.3), and
//! what its parser would refuse is refused: behind this, no rule asks which version it was.

use http::header::{COOKIE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use crate::fields::Fields;
use crate::head::RequestHead;
use crate::http1::declared::Declared;
use crate::http1::field_line::MAX_FIELDS;
use crate::reply::Cause;
use crate::server::h1::head::{MAX_LENGTH, Refusal, asks_to_continue};

/// What a field is counted with beside its name and its value (RFC 9113, section 6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// A request's head, and what it says about the stream.
#[derive(Debug)]
pub(crate) struct Head {
    /// The request.
    pub(crate) request: RequestHead,
    /// How long its body is, if that was said.
    pub(crate) length: Option<u64>,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
}

impl Head {
    /// Makes a head of a request, whose stream has ended with it or not; its fields are appended to
    /// `empty`.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn new(
        parts: Parts,
        has_ended: bool,
        max_size: usize,
        empty: Fields,
    ) -> Result<Self, Refusal> {
        let Parts { method, uri, headers, .. } = parts;
        let read = Self::read(&method, &uri, &headers, has_ended, max_size, empty);
        let target = target(&uri);
        match read {
            Ok((headers, length)) => {
                let expects_continue = !has_ended && asks_to_continue(&headers);
                let version = Version::HTTP_2;
                let request = RequestHead { method, uri: target, version, headers };
                Ok(Self { request, length, expects_continue })
            }
            Err(cause) => Err(Refusal { cause, asked: Some(Box::new((method, target))) }),
        }
    }

    fn read(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        has_ended: bool,
        max_size: usize,
        empty: Fields,
    ) -> Result<(Fields, Option<u64>), Cause> {
        if size(method, uri, headers) > max_size {
            return Err(Cause::HeadTooLarge);
        }
        let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
        // RFC 9110, section 4.2: nothing else is asked for over HTTP.
        let scheme = uri.scheme_str().is_none_or(|scheme| scheme == "http" || scheme == "https");
        // `?query` is no target, although `http` takes it for one; `CONNECT` has none.
        let target = path.starts_with('/') || path == "*" || *method == Method::CONNECT;
        if !scheme || !target || method.as_str().contains('#') {
            return Err(Cause::BadRequest);
        }
        let mut fields = fields(uri, headers, empty)?;
        let length = Declared::of(&fields).ok_or(Cause::BadRequest)?.length;
        if length.is_some_and(|length| length > MAX_LENGTH) {
            return Err(Cause::BadRequest);
        }
        if !has_ended && length.is_none() {
            // Every rule that asks whether there is a body knows this one.
            fields.append(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Ok((fields, length.or(has_ended.then_some(0))))
    }
}

/// The target as HTTP/1 would bring it; an authority alone for `CONNECT`.
fn target(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(path) => Uri::from(path.clone()),
        None => uri.clone(),
    }
}

/// How large the head is, as a client counts it (RFC 9113, section 6.5.2).
fn size(method: &Method, uri: &Uri, headers: &HeaderMap) -> usize {
    let line = |name: &str, value: &[u8]| name.len() + value.len() + FIELD_OVERHEAD;
    let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let pseudo = [(":method", method.as_str()), (":scheme", "http"), (":path", path)];
    let pseudo = pseudo.into_iter().chain([(":authority", authority)]);
    let pseudo: usize = pseudo.map(|(name, value)| line(name, value.as_bytes())).sum();
    let fields = headers.iter().map(|(name, value)| line(name.as_str(), value.as_bytes()));
    pseudo + fields.sum::<usize>()
}

/// The fields, with one `Host` and one `Cookie`.
fn fields(uri: &Uri, headers: &HeaderMap, mut fields: Fields) -> Result<Fields, Cause> {
    if let Some(authority) = uri.authority() {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Cause::BadRequest)?;
        // Two that differ may be read in two ways (RFC 9113, section 8.3.1).
        let same = |other: &HeaderValue| other.as_bytes().eq_ignore_ascii_case(host.as_bytes());
        if !headers.get_all(HOST).iter().all(same) {
            return Err(Cause::BadRequest);
        }
        fields.append(HOST, host);
    }
    let takes_host = fields.is_empty();
    for (name, value) in headers {
        if has_blank_ends(value.as_bytes()) {
            return Err(Cause::BadRequest);
        }
        if *name == HOST && !takes_host || *name == COOKIE && fields.contains(&COOKIE) {
            continue;
        }
        if fields.len() == MAX_FIELDS {
            return Err(Cause::HeadTooLarge);
        }
        let value = if *name == COOKIE { cookie(headers)? } else { value.clone() };
        fields.append(name.clone(), value);
    }
    Ok(fields)
}

/// RFC 9113, section 8.2.1: HTTP/1 would lose them.
fn has_blank_ends(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.first()) || is_blank(value.last())
}

/// The cookies in one field, into however many they were split (RFC 9113, section 8.2.3).
fn cookie(headers: &HeaderMap) -> Result<HeaderValue, Cause> {
    let mut crumbs = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    match (crumbs.next(), crumbs.next()) {
        (Some(only), None) => HeaderValue::from_bytes(only),
        (first, second) => {
            let all: Vec<_> = first.into_iter().chain(second).chain(crumbs).collect();
            HeaderValue::from_bytes(&all.join(&b"; "[..]))
        }
    }
    .map_err(|_| Cause::BadRequest)
}
