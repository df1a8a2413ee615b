//! Header fields between bytes and values, and what they say about the body; pure.

use std::mem::MaybeUninit;

use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue};

use crate::fields::Fields;

/// The most fields of one message.
pub(crate) const MAX_FIELDS: usize = 100;

/// Room for as many fields as there may be, for httparse to fill.
pub(crate) fn room<'a>() -> [MaybeUninit<httparse::Header<'a>>; MAX_FIELDS] {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// What a head says about the message itself, before any field means anything: how long its body
/// is, and what becomes of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    /// The body's length.
    pub(crate) length: Option<u64>,
    /// Whether it comes in chunks.
    pub(crate) chunked: bool,
    /// Whether `Connection` says `close`.
    pub(crate) close: bool,
    /// Whether it says `keep-alive`.
    pub(crate) keep_alive: bool,
    /// Whether `TE` says `trailers`.
    pub(crate) trailers: bool,
}

impl Declared {
    /// Reads `Content-Length`, `Transfer-Encoding`, `Connection` and `TE`; none if the first two
    /// cannot be believed: a length that is no number or is said in two ways, or a coding that is
    /// not exactly `chunked`, once.
    pub(crate) fn of(fields: &Fields) -> Option<Self> {
        let mut said = Self::default();
        for (name, value) in fields {
            let value = value.as_bytes();
            match *name {
                TE => said.trailers |= lists(value, "trailers"),
                CONNECTION => {
                    said.close |= lists(value, "close");
                    said.keep_alive |= lists(value, "keep-alive");
                }
                CONTENT_LENGTH => {
                    // Each line on its own: "1, 1" is no number.
                    let length = decimal(value)?;
                    if said.length.is_some_and(|other| other != length) {
                        return None;
                    }
                    said.length = Some(length);
                }
                TRANSFER_ENCODING => {
                    if said.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                        return None;
                    }
                    said.chunked = true;
                }
                _ => {}
            }
        }
        Some(said)
    }
}

fn lists(value: &[u8], option: &str) -> bool {
    let mut options = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    options.any(|listed| listed.eq_ignore_ascii_case(option.as_bytes()))
}

/// A number that is written in digits only.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    let mut digits =
        digits.iter().map(|&byte| byte.is_ascii_digit().then(|| u64::from(byte - b'0')));
    let first = digits.next()??;
    digits.try_fold(first, |number, digit| number.checked_mul(10)?.checked_add(digit?))
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

    #[track_caller]
    fn check(lines: &str, expected: Option<(Option<u64>, bool)>) {
        let said = Declared::of(&sample::fields(lines)).map(|said| (said.length, said.chunked));
        assert_eq!(said, expected, "{lines:?}");
    }

    #[test]
    fn a_body_is_said_once_or_alike() {
        check("A: b", Some((None, false)));
        check("Content-Length: 0", Some((Some(0), false)));
        check("content-length: 005\r\nContent-Length: 5", Some((Some(5), false)));
        check("Content-Length: 18446744073709551615", Some((Some(u64::MAX), false)));
        check("Transfer-Encoding: Chunked", Some((None, true)));
        check("Transfer-Encoding: chunked\r\nContent-Length: 5", Some((Some(5), true)));
        for wrong in [
            "Content-Length:",
            "Content-Length: 5, 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: +5",
            "Content-Length: -5",
            "Content-Length: 0x5",
            "Content-Length: 18446744073709551616",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding:",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nContent-Length: x",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn options_of_the_connection_are_read_wherever_they_stand() {
        for (value, close, keep_alive) in [
            ("", false, false),
            ("close", true, false),
            ("x, Close ,y", true, false),
            ("Keep-Alive", false, true),
            ("closed, keep-alive2", false, false),
            ("close,keep-alive", true, true),
        ] {
            let fields = sample::fields(&format!("CONNECTION: {value}"));
            let said = Declared::of(&fields).expect("nothing is wrong");
            assert_eq!((said.close, said.keep_alive), (close, keep_alive), "{value:?}");
        }
        for (value, trailers) in [("", false), ("gzip, Trailers", true), ("trailers2", false)] {
            let said = Declared::of(&sample::fields(&format!("Te: {value}")));
            let said = said.expect("nothing is wrong");
            assert_eq!(said.trailers, trailers, "{value:?}");
        }
    }

    #[test]
    fn fields_are_written_as_lines() {
        let mut out = Vec::new();
        write(&mut out, &sample::fields("A: b\nX-Y:\na: c"));
        assert_eq!(out, b"a: b\r\nx-y: \r\na: c\r\n");
    }
}
