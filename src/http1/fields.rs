//! Header fields between bytes and `HeaderMap`, and what they say about the body; pure.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr_iter;

/// The most fields of one message.
pub(crate) const MAX_FIELDS: usize = 100;

/// Room for as many fields as there may be, for httparse to fill.
pub(crate) fn room<'a>() -> [MaybeUninit<httparse::Header<'a>>; MAX_FIELDS] {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// Puts fields that httparse found in `head` into an empty map. Values share the memory of `head`.
/// None if one is no field, which httparse leaves no room for.
pub(crate) fn collect(
    head: &Bytes,
    found: &[httparse::Header<'_>],
    mut fields: HeaderMap,
) -> Option<HeaderMap> {
    fields.reserve(found.len());
    for field in found {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        // An empty value of httparse's points nowhere.
        let value = match field.value {
            [] => HeaderValue::from_static(""),
            value => HeaderValue::from_maybe_shared(head.slice_ref(value)).ok()?,
        };
        fields.append(name, value);
    }
    Some(fields)
}

/// Where a head ends, behind its empty line, if it does; `from` bytes have been looked at before.
pub(crate) fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    // The end may have begun in what was there before.
    let start = from.saturating_sub(2);
    memchr_iter(b'\n', &bytes[start..]).map(|at| start + at).find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// Whether all lines of a head end with CRLF, or all of them with LF alone.
///
/// A parser that takes a bare LF for the end of a line as well as CRLF lets somebody else write
/// lines: whoever gets LF into a field of an application that ends its own lines with CRLF
/// ("response splitting").
pub(crate) fn lines_end_alike(head: &[u8]) -> bool {
    let mut before = None;
    memchr_iter(b'\n', head).all(|at| {
        let crlf = at > 0 && head[at - 1] == b'\r';
        *before.get_or_insert(crlf) == crlf
    })
}

/// What a head says about the body that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodySaid {
    /// Its length.
    pub(crate) length: Option<u64>,
    /// Whether it comes in chunks.
    pub(crate) chunked: bool,
}

impl BodySaid {
    /// Reads `Content-Length` and `Transfer-Encoding`; none if they cannot be believed: a length
    /// that is no number or is said in two ways, or a coding that is not exactly `chunked`.
    pub(crate) fn by(fields: &HeaderMap) -> Option<Self> {
        let mut lengths = fields.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
        let length = match lengths.next() {
            None => None,
            Some(first) => {
                let length = decimal(first)?;
                // Each line on its own: "1, 1" is no number.
                if !lengths.all(|other| decimal(other) == Some(length)) {
                    return None;
                }
                Some(length)
            }
        };
        let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
        let chunked = match codings.next() {
            None => false,
            Some(coding) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
            Some(_) => return None,
        };
        codings.next().is_none().then_some(Self { length, chunked })
    }
}

/// A number that is written in digits only.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

/// Writes fields as lines.
pub(crate) fn write<'a>(
    out: &mut Vec<u8>,
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) {
    for (name, value) in fields {
        write_one(out, name, value.as_bytes());
    }
}

/// Writes one field as a line.
pub(crate) fn write_one(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_comes() {
        for (bytes, end) in [
            ("A\r\n\r\nbody\r\n\r\n", Some(5)),
            ("A\n\nbody", Some(3)),
            ("A\r\nB: c\r\n\r\n", Some(11)),
            ("A\n\r\n", Some(4)),
            ("A\r\nB: c\r\n", None),
            ("A\r\n\r", None),
            ("", None),
        ] {
            for from in 0..=end.map_or(bytes.len(), |end| end - 1) {
                assert_eq!(end_of_head(bytes.as_bytes(), from), end, "{bytes:?} from {from}");
            }
        }
    }

    #[test]
    fn lines_end_alike_or_not() {
        for (head, alike) in [
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", true),
            ("HTTP/1.1 200 OK\nA: b\n\n", true),
            ("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nA: b\r\n\n", false),
            ("HTTP/1.1 200 OK\nA: b\r\n\r\n", false),
            ("\n\r\n", false),
        ] {
            assert_eq!(lines_end_alike(head.as_bytes()), alike, "{head:?}");
        }
    }

    #[track_caller]
    fn check_said(lines: &str, expected: Option<(Option<u64>, bool)>) {
        let said = BodySaid::by(&sample::fields(lines));
        assert_eq!(said.map(|said| (said.length, said.chunked)), expected, "{lines:?}");
    }

    #[test]
    fn a_body_is_said_once_or_alike() {
        check_said("", Some((None, false)));
        check_said("Content-Length: 0", Some((Some(0), false)));
        check_said("Content-Length: 005\nContent-Length: 5", Some((Some(5), false)));
        check_said("Transfer-Encoding: Chunked", Some((None, true)));
        check_said("Transfer-Encoding: chunked\nContent-Length: 5", Some((Some(5), true)));
        for wrong in [
            "Content-Length:",
            "Content-Length: 5, 5",
            "Content-Length: 5\nContent-Length: 6",
            "Content-Length: +5",
            "Content-Length: -5",
            "Content-Length: 0x5",
            "Content-Length: 18446744073709551616",
            "Transfer-Encoding:",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\nContent-Length: x",
        ] {
            check_said(wrong, None);
        }
    }

    #[test]
    fn fields_are_collected_and_written_as_they_came() {
        let head = Bytes::from_static(b"A: b\r\nX-Y:\r\na:  c\r\n\r\n");
        let mut room = [httparse::EMPTY_HEADER; 4];
        let parsed = httparse::parse_headers(&head, &mut room).expect("fields");
        let httparse::Status::Complete((_, found)) = parsed else { panic!("a whole head") };
        let fields = collect(&head, found, HeaderMap::new()).expect("fields");
        let mut out = Vec::new();
        write(&mut out, &fields);
        assert_eq!(out, b"a: b\r\na: c\r\nx-y: \r\n");
    }
}
