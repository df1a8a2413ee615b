//! What a message declares about itself in its fields; pure.

use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING};

use crate::fields::Fields;
use crate::headers::{is_listed_in, is_option, members};

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
            match *name {
                TE => said.trailers |= is_listed_in(value, "trailers"),
                // What it says nearly always, with a third of the instructions.
                CONNECTION if value == "keep-alive" => said.keep_alive = true,
                CONNECTION => {
                    for option in members(value) {
                        said.close |= is_option(option, "close");
                        said.keep_alive |= is_option(option, "keep-alive");
                    }
                }
                CONTENT_LENGTH => {
                    // Each line on its own: "1, 1" is no number.
                    let length = decimal(value.as_bytes())?;
                    if said.length.is_some_and(|other| other != length) {
                        return None;
                    }
                    said.length = Some(length);
                }
                TRANSFER_ENCODING => {
                    if said.chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
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

/// A number that is written in digits only.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let (&first, others) = digits.split_first()?;
    let add = |number: u64, &byte: &u8| number.checked_mul(10)?.checked_add(digit(byte)?);
    others.iter().try_fold(digit(first)?, add)
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
}
