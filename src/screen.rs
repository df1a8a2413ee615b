//! What is refused or deleted before anything else looks at a request.
//!
//! The head has been parsed by now, and nearly all refused that two parsers could read differently
//! (`server/h1/head.rs`); these are the rules about what its parts say.

use std::net::Ipv6Addr;
use std::str::FromStr;

use http::header::{CONTENT_LENGTH, FORWARDED, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, Uri, Version};

use crate::fields::Fields;
use crate::head::RequestHead;
use crate::headers::{self, X_CONSUMER_USERNAME, X_CREDENTIAL_IDENTIFIER};
use crate::http1::declared;
use crate::reply::Cause;

/// Whom a request is for: the checked `Host`, and how much of it is before the port.
#[derive(Clone, Debug)]
pub(crate) struct Host(Option<(HeaderValue, usize)>);

impl Host {
    /// As it is sent on: with the port; none in an HTTP/1.0 request that names none.
    pub(crate) fn value(&self) -> Option<&HeaderValue> {
        self.0.as_ref().map(|(host, _)| host)
    }

    /// The host without the port.
    pub(crate) fn name(&self) -> Option<&str> {
        let (host, length) = self.0.as_ref()?;
        host.to_str().ok()?.get(..*length)
    }
}

/// Refuses what could be read in two ways; what is left has one host and one framing.
pub(crate) fn check(head: &RequestHead) -> Result<Host, Cause> {
    check_request_line(&head.method, &head.uri)?;
    check_framing(&head.headers)?;
    let host = check_host(head)?;
    check_authority(&head.uri, host)
}

/// Refuses a method that no origin gets to see, and a target that is none.
pub(crate) fn check_request_line(method: &Method, uri: &Uri) -> Result<(), Cause> {
    check_method(method)?;
    check_target(method, uri)
}

/// What [`check`] refuses of a request, in words; it is asked after it did.
pub(crate) fn refused_part(head: &RequestHead) -> &'static str {
    if check_method(&head.method).is_err() {
        "the method is one that no origin gets to see"
    } else if check_target(&head.method, &head.uri).is_err() {
        "the target is neither a path nor an http URL, or holds bytes beyond ASCII"
    } else if check_framing(&head.headers).is_err() {
        "Transfer-Encoding says something else than `chunked`"
    } else {
        "Host is missing, repeated, no host, or not the one that the target names"
    }
}

fn check_method(method: &Method) -> Result<(), Cause> {
    match *method {
        Method::CONNECT | Method::TRACE => Err(Cause::MethodNotAllowed),
        _ => Ok(()),
    }
}

/// RFC 9112, section 3.2: origin-form, absolute-form, or `*` with `OPTIONS`.
fn check_target(method: &Method, uri: &Uri) -> Result<(), Cause> {
    let path = uri.path();
    // The path of an authority-form, which only `CONNECT` may have, is empty.
    let shape = match path {
        "*" => *method == Method::OPTIONS,
        _ => path.starts_with('/'),
    };
    let scheme = uri.scheme_str().is_none_or(|scheme| scheme == "http" || scheme == "https");
    let ascii = path.is_ascii() && uri.query().is_none_or(str::is_ascii);
    if shape && scheme && ascii { Ok(()) } else { Err(Cause::BadRequest) }
}

/// A coding that is not `chunked` would be lost: framing is not relayed (RFC 9112, section 6.1).
fn check_framing(headers: &Fields) -> Result<(), Cause> {
    let mut codings = headers.get_all(&TRANSFER_ENCODING);
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Cause::BadRequest),
    }
}

/// One valid `Host` (RFC 9112, section 3.2); HTTP/1.0 may go without.
fn check_host(head: &RequestHead) -> Result<Host, Cause> {
    let mut hosts = head.headers.get_all(&HOST);
    match (hosts.next(), hosts.next()) {
        (None, _) if head.version == Version::HTTP_10 => Ok(Host(None)),
        (Some(host), None) => Ok(Host(Some((host.clone(), name_length(host)?)))),
        _ => Err(Cause::BadRequest),
    }
}

/// An absolute target and `Host` must name the same authority, and it must hold no user.
fn check_authority(uri: &Uri, host: Host) -> Result<Host, Cause> {
    let Some(authority) = uri.authority() else { return Ok(host) };
    let named = HeaderValue::from_str(authority.as_str()).map_err(|_| Cause::BadRequest)?;
    let length = name_length(&named)?;
    match host.value() {
        Some(host) if !host.as_bytes().eq_ignore_ascii_case(named.as_bytes()) => {
            Err(Cause::BadRequest)
        }
        _ => Ok(Host(Some((named, length)))),
    }
}

/// How long the host is in `host` or `host:port` (RFC 3986, section 3.2.2, without escapes).
fn name_length(value: &HeaderValue) -> Result<usize, Cause> {
    let text = value.as_bytes();
    let end = match text {
        [b'[', ..] => text.iter().position(|&byte| byte == b']').map_or(text.len(), |at| at + 1),
        _ => text.iter().position(|&byte| !is_unreserved(byte)).unwrap_or(text.len()),
    };
    let (name, rest) = text.split_at(end);
    let name_is_valid = match name {
        [b'[', address @ .., b']'] => {
            str::from_utf8(address).is_ok_and(|address| Ipv6Addr::from_str(address).is_ok())
        }
        _ => name.first().is_some_and(|&byte| is_unreserved(byte)),
    };
    let port_is_valid = match rest {
        [] => true,
        [b':', port @ ..] => {
            declared::decimal(port).is_some_and(|port| u16::try_from(port).is_ok())
        }
        _ => false,
    };
    if port_is_valid && name_is_valid { Ok(name.len()) } else { Err(Cause::BadRequest) }
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let (mut table, mut byte) = ([false; 256], 0);
        while byte < table.len() {
            table[byte] = matches!(byte as u8, b'-' | b'.' | b'_' | b'~')
                || (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}

/// The methods that header fields ask for instead of the request's own; none where a value is no
/// method. Some origins obey them.
pub(crate) fn other_methods(headers: &Fields) -> impl Iterator<Item = Option<Method>> {
    const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
    let asks = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with('x') && OVERRIDES.iter().any(|own| headers::is_alias(name, own))
    };
    headers.iter().filter(move |(name, _)| asks(name)).map(|(_, value)| {
        let method = value.as_bytes().trim_ascii().to_ascii_uppercase();
        Method::from_bytes(&method).ok()
    })
}

/// Deletes what only keygate, or a trusted proxy, may say: on every location, on every protocol,
/// in every spelling that an upstream could confuse with it. Other spellings of the fields that
/// frame a message go as well.
pub(crate) fn disown(headers: &mut Fields, peer_is_trusted: bool) {
    headers.retain(|name, _| {
        // A trusted proxy sets the names with `-`; any other spelling is the client's.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let believed = peer_is_trusted && name.as_str().bytes().all(is_plain);
        !is_identity(name) && !frames_elsewhere(name) && (believed || !is_forwarding(name))
    });
}

/// Whether a field is one that only keygate or a trusted proxy may send, or one of those that an
/// upstream could take for them.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    is_identity(name) || is_forwarding(name) || frames_elsewhere(name)
}

/// Whether an upstream could take a field for one that frames the message, which it is not here.
fn frames_elsewhere(name: &HeaderName) -> bool {
    let own = match name.as_str().len() {
        14 => CONTENT_LENGTH,
        17 => TRANSFER_ENCODING,
        _ => return false,
    };
    *name != own && headers::is_alias(name.as_str(), own.as_str())
}

fn is_identity(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with('x')
        && [X_CONSUMER_USERNAME, X_CREDENTIAL_IDENTIFIER]
            .iter()
            .any(|own| headers::is_alias(name, own.as_str()))
}

fn is_forwarding(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.as_bytes().first() {
        Some(b'f') => headers::is_alias(name, FORWARDED.as_str()),
        Some(b'x') => {
            let start = name.get(..X_FORWARDED.len());
            start.is_some_and(|start| headers::is_alias(start, X_FORWARDED))
                || PROXYS.iter().any(|own| headers::is_alias(name, own))
        }
        _ => false,
    }
}

const X_FORWARDED: &str = "x-forwarded-";

/// Other fields that say what a request was before a proxy changed it. The last two make some
/// origins serve another path than the one that was routed (CVE-2018-14773).
const PROXYS: [&str; 4] = ["x-real-ip", "x-request-id", "x-original-url", "x-rewrite-url"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[track_caller]
    fn check_request(request: &str, expected: Result<&str, Cause>) {
        let host = check(&sample::head(request));
        let value =
            host.as_ref().map(|host| host.value().map_or("", |host| host.to_str().unwrap()));
        assert_eq!(value.map_err(|cause| *cause), expected, "{request}");
    }

    #[test]
    fn a_request_has_one_target_one_framing_and_one_host() {
        for (request, host) in [
            ("GET /x\nHost: a.test:80", "a.test:80"),
            ("POST /x?y\nHost: a.test\nTransfer-Encoding: Chunked", "a.test"),
            ("OPTIONS *\nHost: a.test", "a.test"),
            ("GET http://A.test/x\nHost: a.test", "A.test"),
            ("GET HTTPS://a.test:1\nHost: a.test:1", "a.test:1"),
            ("GET /x HTTP/1.0", ""),
            ("GET http://a.test/ HTTP/1.0", "a.test"),
        ] {
            check_request(request, Ok(host));
        }
        for method in ["CONNECT", "TRACE"] {
            check_request(&format!("{method} /x\nHost: a.test"), Err(Cause::MethodNotAllowed));
        }
        for request in [
            "GET *\nHost: a.test",
            "GET a.test\nHost: a.test",
            "GET ftp://a.test/\nHost: a.test",
            "GET /é\nHost: a.test",
            "GET /?é\nHost: a.test",
            "GET /\nHost: a.test\nTransfer-Encoding: gzip",
            "GET /\nHost: a.test\nTransfer-Encoding: gzip, chunked",
            "GET /\nHost: a.test\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked",
            "GET /",
            "GET /\nHost: a b",
            "GET /\nHost: a.test\nHost: a.test",
            "GET / HTTP/1.0\nHost: a.test\nHost: a.test",
            "GET http://a.test/",
            "GET http://a.test/\nHost: b.test",
            "GET http://u@a.test/\nHost: u@a.test",
            "GET http://u@a.test/ HTTP/1.0",
        ] {
            check_request(request, Err(Cause::BadRequest));
        }
    }

    #[test]
    fn the_name_of_a_host_has_no_port() {
        for (host, name) in [("a.test:80", "a.test"), ("a.test", "a.test"), ("[::1]:80", "[::1]")] {
            let head = sample::head(&format!("GET /\nHost: {host}"));
            assert_eq!(check(&head).unwrap().name(), Some(name));
        }
        assert_eq!(check(&sample::head("GET / HTTP/1.0")).unwrap().name(), None);
    }

    #[track_caller]
    fn check_is_host(value: &str, expected: bool) {
        assert_eq!(
            name_length(&HeaderValue::from_str(value).unwrap()).is_ok(),
            expected,
            "{value:?}"
        );
    }

    #[test]
    fn hosts() {
        for host in
            ["a.test", "A.TEST", "a.test:8080", "127.0.0.1", "[::1]", "[::1]:80", "a_b", "a."]
        {
            check_is_host(host, true);
        }
        for host in [
            "",
            ":80",
            "a b",
            "a.test:",
            "a.test:x",
            "a.test:99999",
            "a.test:+80",
            "u@a.test",
            "a.test/x",
            "a.test, b.test",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[g]",
            "a:1:2",
            "a?b",
            "a#b",
            "%61.test",
        ] {
            check_is_host(host, false);
        }
    }

    #[test]
    fn other_methods_are_what_the_fields_of_overrides_ask_for() {
        for name in
            ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_Http.Method"]
        {
            let methods = |value: &str| -> Vec<_> {
                other_methods(&sample::fields(&format!("{name}: {value}\nHost: PUT"))).collect()
            };
            assert_eq!(methods("delete"), [Some(Method::DELETE)], "{name}");
            assert_eq!(methods("a b"), [None], "{name}");
        }
        let others = sample::fields("X-Http-Methods: PUT\nHttp-Method: PUT\nXhttp-Method: PUT");
        assert_eq!(other_methods(&others).count(), 0);
    }

    #[track_caller]
    fn check_disowned(name: &str, trusted: bool, gone: bool) {
        let mut headers = Fields::new();
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_static("1"),
        );
        disown(&mut headers, trusted);
        assert_eq!(headers.is_empty(), gone, "{name}, trusted: {trusted}");
    }

    #[test]
    fn only_keygate_names_the_consumer() {
        for name in [
            "X-Consumer-Username",
            "X_Consumer_Username",
            "x-consumer_username",
            "X-CREDENTIAL_IDENTIFIER",
        ] {
            check_disowned(name, false, true);
            check_disowned(name, true, true);
        }
        check_disowned("X-Consumer-Usernames", false, false);
    }

    #[test]
    fn no_other_spelling_frames_a_message() {
        for trusted in [false, true] {
            for name in ["Content_Length", "content.length", "Transfer_Encoding"] {
                check_disowned(name, trusted, true);
            }
            for name in ["Content-Length", "Transfer-Encoding", "ContentXLength", "Content_Lengths"]
            {
                check_disowned(name, trusted, false);
            }
        }
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        for name in [
            "Forwarded",
            "X-Forwarded-For",
            "x-forwarded-prefix",
            "X-Original-URL",
            "X-Real-IP",
            "X-Request-ID",
            "X-Rewrite-URL",
        ] {
            check_disowned(name, false, true);
            check_disowned(name, true, false);
        }
        for name in ["X_Forwarded_Host", "X-Forwarded_For", "X.Real.IP", "X_Request_Id"] {
            check_disowned(name, false, true);
            check_disowned(name, true, true);
        }
        check_disowned("X-Forward", false, false);
    }
}
