//! The heads of requests and responses, as HTTP/2 has them; pure.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};

use crate::fields::Fields;
use crate::forward::headers::{self, Lines, Outgoing};
use crate::head::ResponseHead;
use crate::headers::is_token;
use crate::http1::declared::Declared;
use crate::http1::field_line::MAX_FIELDS;
use crate::http1::stock::Stock;

/// How many fields keygate adds to those of a client, generously.
const OWN_FIELDS: usize = 12;

/// The head of a request that goes upstream.
///
/// # Errors
/// It has no head that HTTP/2 could carry.
pub(crate) fn request(
    outgoing: &Outgoing<'_>,
    scheme: Scheme,
) -> Result<Request<()>, &'static str> {
    const WHY: &str = "the request cannot be said in HTTP/2";
    if outgoing.passage.websocket {
        return Err("a WebSocket cannot go to an upstream over HTTP/2");
    }
    let head = outgoing.head;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(scheme);
    uri.path_and_query = Some(path(&head.uri).ok_or(WHY)?);
    uri.authority = Some(authority(outgoing.host).ok_or(WHY)?);
    let mut fields = Map {
        map: HeaderMap::with_capacity(head.headers.len() + OWN_FIELDS),
        credentials: outgoing.credentials,
        is_whole: true,
    };
    headers::write_fields(&mut fields, head, outgoing.passage);
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| WHY)?;
    *request.headers_mut() = fields.map;
    if fields.is_whole { Ok(request) } else { Err(WHY) }
}

/// The target without scheme and authority; what is left stays byte for byte.
fn path(uri: &Uri) -> Option<PathAndQuery> {
    match uri.path_and_query() {
        None => Some(PathAndQuery::from_static("/")),
        // `http://host?query` has an empty path, which is `/` (RFC 3986, section 6.2.3).
        Some(path) if path.as_str().starts_with('?') => {
            PathAndQuery::try_from(format!("/{}", path.as_str())).ok()
        }
        Some(path) => Some(path.clone()),
    }
}

fn authority(host: Option<&HeaderValue>) -> Option<Authority> {
    Authority::from_maybe_shared(Bytes::copy_from_slice(host?.as_bytes())).ok()
}

/// Fields as the crate takes them.
struct Map<'a> {
    map: HeaderMap,
    /// Which of them may carry a credential.
    credentials: &'a [HeaderName],
    /// Whether all have found their place.
    is_whole: bool,
}

impl Map<'_> {
    fn add(&mut self, name: &HeaderName, mut value: HeaderValue) {
        // A credential stands in no table that requests of others are packed with (RFC 7541,
        // section 7.1.3).
        let is_secret = headers::may_be_secret(name, self.credentials);
        value.set_sensitive(value.is_sensitive() || is_secret);
        self.is_whole &= self.map.try_append(name.clone(), value).is_ok();
    }
}

impl Lines for Map<'_> {
    const IS_HTTP1: bool = false;

    fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.add(name, value.clone());
    }

    fn text(&mut self, name: &HeaderName, value: &[u8]) {
        match HeaderValue::from_bytes(value) {
            Ok(value) => self.add(name, value),
            Err(_) => self.is_whole = false,
        }
    }
}

/// What an upstream has responded, and how long the body is, where that is said; that of a response
/// that has none is empty. Names, lengths and fields of the connection the crate has looked at.
///
/// # Errors
/// It is no valid response.
pub(crate) fn response(
    response: Response<()>,
    asked: &Method,
    stock: &Stock,
) -> Result<(ResponseHead, Option<u64>), &'static str> {
    let (parts, ()) = response.into_parts();
    let status = parts.status;
    let mut headers = fields(parts.headers, stock)?;
    let said = Declared::of(&headers).filter(|said| !said.chunked);
    let said = said.ok_or("the response says in no valid way how long it is")?;
    // It may have been said in several lines.
    if let Some(length) = said.length
        && headers.get_all(&CONTENT_LENGTH).nth(1).is_some()
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let has_none = *asked == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let left = if has_none { Some(0) } else { said.length };
    Ok((ResponseHead { status, reason: None, headers }, left))
}

/// Fields as keygate keeps them.
///
/// # Errors
/// There are too many, or one is none.
pub(super) fn fields(map: HeaderMap, stock: &Stock) -> Result<Fields, &'static str> {
    if map.len() > MAX_FIELDS {
        return Err("the response has too many fields");
    }
    let mut fields = stock.empty();
    fields.reserve(map.len());
    let mut last = None;
    for (name, value) in map {
        // A name stands before the first of its values.
        last = name.or(last);
        if let Some(name) = &last {
            if !is_token(name) {
                return Err("the response has a field whose name is none");
            }
            fields.append(name.clone(), value);
        }
    }
    Ok(fields)
}
