//! The head of a response; pure.

use bytes::{Buf, Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, StatusCode};

use crate::head::ResponseHead;
use crate::http1::body::Decoder;
use crate::http1::chunk::Extensions;
use crate::http1::declared::Declared;
use crate::http1::field_line::NoFields;
use crate::http1::first_line::{self, StatusLine};
use crate::http1::lines::{self, Ends, Lines};
use crate::http1::stock::Stock;

/// The longest head.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// Why there is no head in what came.
pub(crate) type Malformed = &'static str;

/// A head, and what follows it.
#[derive(Debug)]
pub(crate) struct Response {
    /// Status, reason and fields.
    pub(crate) head: ResponseHead,
    /// Its body.
    pub(crate) body: Decoder,
    /// Whether the connection can carry another request afterwards.
    pub(crate) keeps_alive: bool,
}

/// Takes a head out of the bytes that have come, if it is there as a whole; `lines` is what is
/// known of them. Its fields come out of `stock`.
///
/// # Errors
/// It is none.
pub(crate) fn take(
    bytes: &mut BytesMut,
    lines: &mut Lines,
    asked: &Method,
    stock: &Stock,
) -> Result<Option<Response>, Malformed> {
    if let Some((first, end)) = whole(bytes, lines, stock) {
        *lines = Lines::default();
        return parse(&bytes.split_to(end).freeze(), first, Ends::Crlf, asked, stock).map(Some);
    }
    let start = empty_lines(bytes);
    if bytes[start..] == *b"\r" {
        // It may be the beginning of an empty line.
        return Ok(None);
    }
    if !bytes[start..].iter().zip(START).all(|(byte, start)| byte == start) {
        return Err(WHY);
    }
    let end = match lines.end(&bytes[start..]) {
        None if bytes.len() - start <= MAX_HEAD => return Ok(None),
        Some(end) if end <= MAX_HEAD => end,
        _ => return Err("the response's head is too long"),
    };
    let ends = std::mem::take(lines).ends();
    if ends == Ends::Mixed {
        return Err("the lines of the response's head end differently");
    }
    bytes.advance(start);
    let head = bytes.split_to(end).freeze();
    parse(&head, lines::first(&head), ends, asked, stock).map(Some)
}

/// Where the first line and the head end, if it has come as a whole, as nearly all do, and that
/// line ends with CRLF; if another does not, it is refused when it is read.
fn whole(bytes: &[u8], lines: &Lines, stock: &Stock) -> Option<(usize, usize)> {
    if lines.ends() != Ends::Unknown || !bytes.starts_with(START) {
        return None;
    }
    let end = stock.empty_line.end(bytes).filter(|&end| end <= MAX_HEAD)?;
    let first = lines::first(bytes);
    bytes[..first].ends_with(b"\r\n").then_some((first, end))
}

/// What every response begins with: what does not is no HTTP, and its end need not be waited for.
const START: &[u8] = b"HTTP/1.";

/// How many empty lines there may be before a response.
const MAX_EMPTY_LINES: usize = 2;

const WHY: Malformed = "no valid HTTP/1 response";

/// How long the empty lines before a response are, which are no part of it. They stay until it has
/// come, so that there are no more of them when they come one by one.
fn empty_lines(bytes: &[u8]) -> usize {
    let mut start = 0;
    for _ in 0..MAX_EMPTY_LINES {
        start += match bytes[start..] {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => break,
        }
    }
    start
}

/// Parses a head that is whole; `first` is where its first line ends.
fn parse(
    head: &Bytes,
    first: usize,
    ends: Ends,
    asked: &Method,
    stock: &Stock,
) -> Result<Response, Malformed> {
    let StatusLine { is_old, status, reason } =
        first_line::status(&head[..first], ends).ok_or(WHY)?;
    let headers = stock.read(head, first, ends).map_err(|why| match why {
        NoFields::TooMany => "the response has too many fields",
        NoFields::Malformed => WHY,
    })?;
    let usual = status.canonical_reason().map(str::as_bytes);
    let reason = (usual != Some(reason)).then(|| Bytes::copy_from_slice(reason));
    let said = Declared::of(&headers).ok_or("the response says in no valid way how long it is")?;
    frame(ResponseHead { status, reason, headers }, is_old, said, asked)
}

/// Where the body ends (RFC 9112, section 6.3).
fn frame(
    mut head: ResponseHead,
    is_old: bool,
    said: Declared,
    asked: &Method,
) -> Result<Response, Malformed> {
    if is_old && said.chunked {
        return Err("an HTTP/1.0 response has no chunks");
    }
    let has_none = *asked == Method::HEAD
        || head.status.is_informational()
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = match said.length {
        _ if has_none => Decoder::length(0),
        _ if said.chunked => Decoder::chunked(Extensions::Any),
        Some(length) => Decoder::length(length),
        None => Decoder::until_close(),
    };
    match said.length {
        // A length beside a coding is not the body's.
        Some(_) if said.chunked => {
            head.headers.retain(|name, _| *name != CONTENT_LENGTH);
        }
        // It may have been said in several lines.
        Some(length) if head.headers.get_all(&CONTENT_LENGTH).nth(1).is_some() => {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        _ => {}
    }
    let is_framed = match (said.chunked, said.length) {
        // Two framings may be the work of whoever had a hand in one of them: what comes behind is
        // not believed.
        (true, Some(_)) => false,
        (false, None) => has_none,
        _ => true,
    };
    let keeps_alive = !said.close && (said.keep_alive || !is_old);
    Ok(Response { head, body, keeps_alive: keeps_alive && is_framed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::field_line::MAX_FIELDS;
    use crate::sample::lines;

    fn head(text: &str, asked: Method) -> Result<Response, Malformed> {
        let mut bytes = BytesMut::from(text);
        let taken = take(&mut bytes, &mut Lines::default(), &asked, &Stock::default())?;
        Ok(taken.expect("a whole head"))
    }

    /// Status, length of the body if it is known, and whether the connection lives on.
    #[track_caller]
    fn check(text: &str, expected: Option<(u16, Option<u64>, bool)>) {
        let text = format!("{text}\r\n\r\n");
        let seen = head(&text, Method::GET).ok();
        let seen = seen.map(|response| {
            (response.head.status.as_u16(), response.body.left(), response.keeps_alive)
        });
        assert_eq!(seen, expected, "{text:?}");
    }

    #[test]
    fn a_head_says_where_its_body_ends() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5", Some((200, Some(5), true)));
        check("HTTP/1.1 200 OK\r\nContent-Length: 0", Some((200, Some(0), true)));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", Some((200, None, true)));
        check("HTTP/1.1 200 OK", Some((200, None, false)));
        check("HTTP/1.1 204 No Content", Some((204, Some(0), true)));
        check("HTTP/1.1 304 Not Modified\r\nContent-Length: 5", Some((304, Some(0), true)));
        check("HTTP/1.1 103 Early Hints", Some((103, Some(0), true)));
        check("HTTP/1.1 101 Switching Protocols", Some((101, Some(0), true)));
        let of_head = head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::HEAD).unwrap();
        assert!(of_head.body.is_at_end() && of_head.keeps_alive);
        assert_eq!(lines(&of_head.head.headers), "content-length: 5");
    }

    #[test]
    fn a_connection_lives_on_if_both_sides_know_where_it_is() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x, Close", {
            Some((200, Some(5), false))
        });
        check("HTTP/1.0 200 OK\r\nContent-Length: 5", Some((200, Some(5), false)));
        check("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive", {
            Some((200, Some(5), true))
        });
        check("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive, close", {
            Some((200, Some(5), false))
        });
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked";
        check(both, Some((200, None, false)));
        let of_head = head(&format!("{both}\r\n\r\n"), Method::HEAD).unwrap();
        assert_eq!(lines(&of_head.head.headers), "transfer-encoding: chunked");
        assert!(!of_head.keeps_alive);
    }

    #[test]
    fn a_body_that_cannot_be_told_from_what_follows_is_refused() {
        for fields in [
            "Content-Length: x",
            "Content-Length: 5, 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ] {
            check(&format!("HTTP/1.1 200 OK\r\n{fields}"), None);
        }
        check("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", None);
        let alike = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\nContent-Length: 5\r\n\r\n";
        let fields = head(alike, Method::GET).unwrap().head.headers;
        assert_eq!(lines(&fields), "content-length: 5\na: b");
        // What is said once stays as it came.
        let once = "HTTP/1.1 200 OK\r\nContent-Length: 005\r\n\r\n";
        let fields = head(once, Method::GET).unwrap().head.headers;
        assert_eq!(lines(&fields), "content-length: 005");
    }

    #[test]
    fn a_head_is_not_too_long_for_the_empty_lines_before_it() {
        let begin = "\r\n\r\nHTTP/1.1 200 OK\r\nA: ";
        let long = |more: usize| {
            let mut bytes = BytesMut::from(begin);
            bytes.resize(MAX_HEAD + "\r\n\r\n".len() + more, b'b');
            take(&mut bytes, &mut Lines::default(), &Method::GET, &Stock::default())
        };
        assert!(matches!(long(0), Ok(None)));
        assert!(long(1).is_err());
    }

    #[test]
    fn so_many_fields_fit_into_a_head() {
        let text = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert!(head(&text(MAX_FIELDS), Method::GET).is_ok());
        let why = head(&text(MAX_FIELDS + 1), Method::GET).err();
        assert_eq!(why, Some("the response has too many fields"));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for wrong in [
            "HTTP/1.1 200 OK\r\nA : b",
            "HTTP/1.1 200 OK\r\nA: b\r\n c",
            "HTTP/1.1 200 OK\r\nA: b\nC: d",
            "HTTP/1.1 200 OK\nA: b",
            "HTTP/1.1 200 OK\r\nA: \0",
            "HTTP/1.1 200 OK\r\nA",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 1000 OK",
            "HTTP/1.1 099 OK",
            "HTTP/2.0 200 OK",
            "HTTP/1.2 200 OK",
            "http/1.1 200 OK",
            "\n\n\nHTTP/1.1 200 OK",
            "GET / HTTP/1.1",
            "x",
        ] {
            check(wrong, None);
        }
        check(&format!("HTTP/1.1 200 OK{}", "\r\nA: b".repeat(MAX_FIELDS + 1)), None);
        check(&format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(MAX_HEAD)), None);
        // No end need come for that.
        let long = format!("HTTP/1.1 200 {}", "b".repeat(MAX_HEAD));
        for endless in ["x", "HTTP/2", "\r\n\r\n\r\n", &long] {
            let taken =
                take(&mut endless.into(), &mut Lines::default(), &Method::GET, &Stock::default());
            assert!(taken.is_err(), "{endless:.20}");
        }
    }

    #[test]
    fn so_many_empty_lines_are_too_many_however_they_come() {
        for (text, is_taken) in [
            ("\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", true),
            ("\n\nHTTP/1.1 200 OK\r\n\r\n", true),
            ("\r\n\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false),
            ("\n\n\nHTTP/1.1 200 OK\r\n\r\n", false),
        ] {
            for step in [1, 2, 3, text.len()] {
                let (mut bytes, mut known) = (BytesMut::new(), Lines::default());
                let taken = text.as_bytes().chunks(step).find_map(|piece| {
                    bytes.extend_from_slice(piece);
                    take(&mut bytes, &mut known, &Method::GET, &Stock::default()).transpose()
                });
                assert_eq!(taken.expect("an end").is_ok(), is_taken, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn what_was_looked_at_of_one_head_is_not_the_next() {
        let (mut bytes, mut known) = (BytesMut::new(), Lines::default());
        let mut more = |piece: &str| {
            bytes.extend_from_slice(piece.as_bytes());
            take(&mut bytes, &mut known, &Method::GET, &Stock::default())
        };
        assert!(matches!(more("HTTP/1.1 100 Continue"), Ok(None)));
        assert!(matches!(more("\r\n\r\n"), Ok(Some(_))));
        assert!(more("HTTP/1.1 200\nA: b\r\n\r\n").is_err());
    }

    #[test]
    fn a_head_comes_in_pieces_and_leaves_what_follows() {
        let text = "\r\n\nHTTP/1.1 200 Fine\r\nA: b\r\n\r\nbody";
        let (mut bytes, mut known, mut taken) = (BytesMut::new(), Lines::default(), None);
        for byte in text.bytes() {
            bytes.extend_from_slice(&[byte]);
            if taken.is_none() {
                taken = take(&mut bytes, &mut known, &Method::GET, &Stock::default()).unwrap();
            }
        }
        let head = taken.expect("a head").head;
        assert_eq!(lines(&head.headers), "a: b");
        assert_eq!(head.reason.as_deref(), Some(&b"Fine"[..]));
        assert_eq!(&bytes[..], b"body");
    }
}
