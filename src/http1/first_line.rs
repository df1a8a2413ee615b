//! The first line of a head (RFC 9112, sections 3 and 4); pure.
//!
//! What httparse finds in it is found here with a fifth of its 600 instructions a request, because
//! the line is there as a whole; a test holds the two against each other.

use http::StatusCode;

use super::lines::Ends;

/// The line of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine<'a> {
    /// What stands before the first blank; whether it is a method is still to be seen.
    pub(crate) method: &'a [u8],
    /// What is asked for: at least one character of UTF-8, no blank and no control among them.
    pub(crate) target: &'a [u8],
    /// Whether it is one of HTTP/1.0.
    pub(crate) is_old: bool,
}

/// Reads the line of a request, which ends with CRLF.
pub(crate) fn request(line: &[u8]) -> Option<RequestLine<'_>> {
    let (rest, version) = line.strip_suffix(b"\r\n")?.split_last_chunk()?;
    let is_old = is_old(version)?;
    let rest = rest.strip_suffix(b" ")?;
    let blank = rest.iter().position(|&byte| byte == b' ')?;
    let (method, target) = (&rest[..blank], &rest[blank + 1..]);
    let is_whole = !target.is_empty()
        && target.iter().all(|&byte| byte > b' ' && byte != DELETE)
        && (target.is_ascii() || str::from_utf8(target).is_ok());
    is_whole.then_some(RequestLine { method, target, is_old })
}

/// The line of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusLine<'a> {
    /// Whether it is one of HTTP/1.0.
    pub(crate) is_old: bool,
    /// What came of the request.
    pub(crate) status: StatusCode,
    /// The same in words, where they are ASCII.
    pub(crate) reason: &'a [u8],
}

/// Reads the line of a response, which ends as `ends` says.
pub(crate) fn status(line: &[u8], ends: Ends) -> Option<StatusLine<'_>> {
    let line = match ends {
        Ends::Crlf => line.strip_suffix(b"\r\n")?,
        Ends::Lf => line.strip_suffix(b"\n")?,
        Ends::Unknown | Ends::Mixed => return None,
    };
    let (version, rest) = line.split_first_chunk()?;
    let (code, rest) = rest.strip_prefix(b" ")?.split_first_chunk::<3>()?;
    let reason = match rest {
        // It may be missing with the blank before it, as some servers have it.
        [] => rest,
        [b' ', reason @ ..] => reason,
        _ => return None,
    };
    let may_stand = |&byte: &u8| byte == b'\t' || byte >= b' ' && byte != DELETE;
    let reason = reason.iter().all(may_stand).then_some(reason)?;
    Some(StatusLine {
        is_old: is_old(version)?,
        status: StatusCode::from_bytes(code).ok()?,
        reason: if reason.is_ascii() { reason } else { b"" },
    })
}

const DELETE: u8 = 0x7f;

/// Whether a version is HTTP/1.0, and not HTTP/1.1; none if it is neither.
fn is_old(version: &[u8; 8]) -> Option<bool> {
    match version {
        b"HTTP/1.1" => Some(false),
        b"HTTP/1.0" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;

    use super::*;

    /// What httparse finds in the line of a request that begins with no empty one.
    fn known_request(line: &[u8]) -> Option<(Method, &[u8], bool)> {
        let mut parsed = httparse::Request::new(&mut []);
        parsed.parse(line).ok().filter(|_| !line.starts_with(b"\r") && !line.starts_with(b"\n"))?;
        let method = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
        Some((method, parsed.path?.as_bytes(), parsed.version? == 0))
            .filter(|_| line.ends_with(b"\r\n"))
    }

    fn found_request(line: &[u8]) -> Option<(Method, &[u8], bool)> {
        let RequestLine { method, target, is_old } = request(line)?;
        Some((Method::from_bytes(method).ok()?, target, is_old))
    }

    /// The same of a response.
    fn known_status(line: &[u8]) -> Option<StatusLine<'_>> {
        let mut parsed = httparse::Response::new(&mut []);
        parsed.parse(line).ok().filter(|_| line.starts_with(b"H"))?;
        let status = StatusCode::from_u16(parsed.code?).ok()?;
        let reason = parsed.reason?.as_bytes();
        Some(StatusLine { is_old: parsed.version? == 0, status, reason })
    }

    #[test]
    fn a_request_line_has_three_parts() {
        let get = |target: &'static str, is_old| Some((Method::GET, target.as_bytes(), is_old));
        for (line, expected) in [
            ("GET / HTTP/1.1", get("/", false)),
            ("GET /a?b#c HTTP/1.0", get("/a?b#c", true)),
            ("GET /\u{e4} HTTP/1.1", get("/\u{e4}", false)),
            ("GET  / HTTP/1.1", None),
            ("GET /  HTTP/1.1", None),
            ("GET / HTTP/1.1 ", None),
            ("GET / / HTTP/1.1", None),
            ("GET /\t HTTP/1.1", None),
            ("GET /\u{7f} HTTP/1.1", None),
            ("GET HTTP/1.1", None),
            ("GET  HTTP/1.1", None),
            (" GET / HTTP/1.1", None),
            ("GET / HTTP/1.2", None),
            ("GET / http/1.1", None),
            ("GET /", None),
            ("G:T / HTTP/1.1", None),
            ("", None),
        ] {
            let line = format!("{line}\r\n");
            assert_eq!(found_request(line.as_bytes()), expected, "{line:?}");
            assert_eq!(known_request(line.as_bytes()), expected, "{line:?}");
        }
        for end in ["", "\n", "\r", "\r\r\n", "\n\r\n"] {
            let line = format!("GET / HTTP/1.1{end}");
            assert_eq!(request(line.as_bytes()), None, "{line:?}");
        }
        assert_eq!(request(b"GET /\xff HTTP/1.1\r\n"), None);
    }

    #[test]
    fn a_status_line_may_have_words() {
        let said = |is_old, code, reason| {
            Some(StatusLine { is_old, status: StatusCode::from_u16(code).unwrap(), reason })
        };
        for (line, expected) in [
            (&b"HTTP/1.1 200 OK"[..], said(false, 200, &b"OK"[..])),
            (b"HTTP/1.0 404 not\there ", said(true, 404, b"not\there ")),
            (b"HTTP/1.1 200 ", said(false, 200, b"")),
            (b"HTTP/1.1 999", said(false, 999, b"")),
            (b"HTTP/1.1 200 gr\xfc\xdf", said(false, 200, b"")),
            (b"HTTP/1.1 099 x", None),
            (b"HTTP/1.1 20 x", None),
            (b"HTTP/1.1 2000", None),
            (b"HTTP/1.1  200 OK", None),
            (b"HTTP/1.1 200 a\0b", None),
            (b"HTTP/1.1 200 a\rb", None),
            (b"HTTP/1.1 200 a\x7fb", None),
            (b"HTTP/2.0 200 OK", None),
            (b"", None),
        ] {
            for (end, ends) in [(&b"\r\n"[..], Ends::Crlf), (b"\n", Ends::Lf)] {
                let line = [line, end].concat();
                assert_eq!(status(&line, ends), expected, "{}", line.escape_ascii());
                assert_eq!(known_status(&line), expected, "{}", line.escape_ascii());
            }
        }
        for ends in [Ends::Unknown, Ends::Mixed] {
            assert_eq!(status(b"HTTP/1.1 200 OK\r\n", ends), None);
        }
        assert_eq!(status(b"HTTP/1.1 200 OK\n", Ends::Crlf), None);
    }

    /// A line that is nearly right.
    fn line(usual: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            8 => prop::sample::select(usual).prop_map(|part| part.as_bytes().to_vec()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        let inner = proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat());
        inner.prop_filter("one line", |line| !line.contains(&b'\n'))
    }

    proptest! {
        #[test]
        fn another_parser_finds_the_same_in_a_request(
            inner in line(&["GET", "POST", " ", "/a", "*", "?b=c", "\u{e4}", "HTTP/1.1", " HTTP/1.0"]),
        ) {
            for line in [inner.clone(), [&inner[..], b" HTTP/1.1"].concat()] {
                let line = [&line[..], b"\r\n"].concat();
                prop_assert_eq!(found_request(&line), known_request(&line));
            }
        }

        #[test]
        fn another_parser_finds_the_same_in_a_response(
            inner in line(&["HTTP/1.1", "HTTP/1.0 ", " ", "200", "404 ", "OK", "\t", "\u{e4}"]),
        ) {
            for line in [inner.clone(), [b"HTTP/1.1 200", &inner[..]].concat()] {
                let line = [&line[..], b"\r\n"].concat();
                prop_assert_eq!(status(&line, Ends::Crlf), known_status(&line));
            }
        }
    }
}
