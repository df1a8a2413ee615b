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
use crate::headers::is_token;
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
                let request = RequestHead { method, uri: target, version, headers, came: None };
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
        if has_blank_ends(value.as_bytes()) || !is_token(name) {
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

/// The cookies in one field, into however many they were split (RFC 9113, section 8.2.3). An empty
/// one would leave a blank at an end.
fn cookie(headers: &HeaderMap) -> Result<HeaderValue, Cause> {
    let crumbs = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let mut crumbs = crumbs.filter(|crumb| !crumb.is_empty());
    match (crumbs.next(), crumbs.next()) {
        (Some(only), None) => HeaderValue::from_bytes(only),
        (first, second) => {
            let all: Vec<_> = first.into_iter().chain(second).chain(crumbs).collect();
            HeaderValue::from_bytes(&all.join(&b"; "[..]))
        }
    }
    .map_err(|_| Cause::BadRequest)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::sample::lines;

    const MAX_SIZE: usize = 1000;

    /// What comes of a request with these fields, whose stream has ended or not.
    fn read(uri: &str, fields: &str, has_ended: bool) -> Result<Head, Cause> {
        let mut request = Request::new(());
        *request.uri_mut() = uri.parse().expect("a URI");
        for line in fields.lines() {
            let (name, value) = line.split_once(':').expect("a field");
            // As the crate does that decodes them.
            let name = http::HeaderName::from_lowercase(name.as_bytes()).expect("a name");
            request.headers_mut().append(name, value.parse().expect("a value"));
        }
        let head = Head::new(request.into_parts().0, has_ended, MAX_SIZE, Fields::new());
        head.map_err(|refusal| refusal.cause)
    }

    #[track_caller]
    fn check(uri: &str, fields: &str, expected: Result<(&str, &str), Cause>) {
        let head = read(uri, fields, true);
        let told = head
            .as_ref()
            .map(|head| (head.request.uri.to_string(), lines(&head.request.headers)))
            .map_err(|cause| *cause);
        let expected = expected.map(|(uri, fields)| (uri.to_owned(), fields.to_owned()));
        assert_eq!(told, expected, "{uri} {fields:?}");
    }

    #[test]
    fn a_head_is_what_http_1_would_have_brought() {
        for (uri, fields, target, read) in [
            ("http://a.test/x?y", "", "/x?y", "host: a.test"),
            ("https://a.test:1/", "accept:b", "/", "host: a.test:1\naccept: b"),
            ("/x", "accept:b\nhost:a.test", "/x", "accept: b\nhost: a.test"),
            ("http://a.test/x", "host:A.test", "/x", "host: a.test"),
            ("http://a.test/", "cookie:a\nb:c\ncookie:d", "/", "host: a.test\ncookie: a; d\nb: c"),
            ("http://a.test/", "cookie:\ncookie:a\ncookie:", "/", "host: a.test\ncookie: a"),
            ("http://a.test/", "cookie:\ncookie:", "/", "host: a.test\ncookie: "),
            ("/x", "host:a\nhost:b", "/x", "host: a\nhost: b"),
        ] {
            check(uri, fields, Ok((target, read)));
        }
        assert_eq!(read("/", "", true).expect("a head").request.version, Version::HTTP_2);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (uri, fields) in [
            ("ftp://a.test/x", ""),
            ("http://a.test?x", ""),
            ("http://a.test/", "host:b.test"),
            ("http://a.test/", "host:a.test\nhost:b.test"),
            ("/x", "a: b"),
            ("/x", "a:b "),
            ("/x", "a:\tb"),
            ("/x", "x-api\"key:b"),
            ("/x", "content-length:1\ncontent-length:2"),
            ("/x", "content-length:+1"),
            ("/x", "content-length:9223372036854775808"),
        ] {
            check(uri, fields, Err(Cause::BadRequest));
        }
    }

    #[test]
    fn a_list_is_counted_with_32_bytes_a_field() {
        // Four pseudo-header fields: 29 bytes of names, `GET`, `http`, `/`, and 32 for each.
        const REST: usize = MAX_SIZE - (29 + 8 + 4 * FIELD_OVERHEAD);
        let field = |length: usize| format!("x:{}", "y".repeat(length));
        let longest = REST - FIELD_OVERHEAD - 1;
        assert!(read("/", &field(longest), true).is_ok());
        check("/", &field(longest + 1), Err(Cause::HeadTooLarge));
        let many = "x:\n".repeat(REST / (FIELD_OVERHEAD + 1) + 1);
        check("/", &many, Err(Cause::HeadTooLarge));
    }

    #[test]
    fn no_message_has_more_fields_than_one_of_http_1() {
        let head = |count: usize| {
            let mut request = Request::new(());
            for number in 0..count {
                let name: http::HeaderName = format!("x-{number}").parse().expect("a name");
                request.headers_mut().append(name, HeaderValue::from_static(""));
            }
            let head = Head::new(request.into_parts().0, true, usize::MAX, Fields::new());
            head.map(|head| head.request.headers.len()).map_err(|refusal| refusal.cause)
        };
        assert_eq!(head(MAX_FIELDS), Ok(MAX_FIELDS));
        assert_eq!(head(MAX_FIELDS + 1), Err(Cause::HeadTooLarge));
    }

    #[test]
    fn a_body_without_a_length_is_one() {
        let head = |fields: &str, has_ended| {
            let head = read("/x", fields, has_ended).expect("a head");
            (head.request.is_without_body(), head.length, head.expects_continue)
        };
        assert_eq!(head("", true), (true, Some(0), false));
        assert_eq!(head("", false), (false, None, false));
        assert_eq!(head("content-length:5", false), (false, Some(5), false));
        assert_eq!(head("content-length:0", false), (true, Some(0), false));
        assert_eq!(head("expect:100-continue", false), (false, None, true));
        assert_eq!(head("expect:100-continue", true), (true, Some(0), false));
    }
}
