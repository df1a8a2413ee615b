//! What hyper takes and another parser may read differently, found in a client's bytes before
//! hyper sees them; pure.
//!
//! hyper takes a bare LF for the end of a line, cuts a `#fragment` off a target, and lets nearly
//! anything stand behind the size of a chunk. None of that is visible in what it hands over, so the
//! bytes are looked at as they come in. Only what hyper leaves open is decided here: a line is
//! found and compared, everything else about it is hyper's.

use memchr::memchr;

/// The longest size of a chunk, in hexadecimal digits: 64 bits.
const MAX_SIZE_DIGITS: usize = 16;

/// How far the bytes of one client have been looked at.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    at: At,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    heads: u64,
}

/// What comes next.
#[derive(Debug, Default)]
enum At {
    /// A request line, or an empty line before it.
    #[default]
    Start,
    /// The header fields; what has been said of the body.
    Fields(Framing),
    /// So many bytes that are not looked at: a body, or a chunk and its line's end.
    Opaque { left: u64, then_chunk: bool },
    /// The size of a chunk.
    Size,
    /// The fields behind the last chunk.
    Trailers,
    /// Framing that is refused: whatever follows is no request, and must not be taken for one.
    Lost,
}

/// What the fields say about the body.
#[derive(Clone, Copy, Debug, Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    refused: bool,
}

impl Scan {
    /// How many heads have come whole since this was asked last. A request that is not among them
    /// was framed in another way than here, or in none that is accepted, and must be refused: hyper
    /// does not look at a `Content-Length` that comes after a coding.
    pub(crate) fn take_heads(&mut self) -> u64 {
        std::mem::take(&mut self.heads)
    }

    /// How many of the next bytes need not be looked at.
    pub(crate) fn opaque(&self) -> u64 {
        match self.at {
            At::Opaque { left, .. } => left,
            At::Lost => u64::MAX,
            _ => 0,
        }
    }

    /// Goes on by bytes that need not be looked at, at most as many as [`Scan::opaque`] says.
    pub(crate) fn skip(&mut self, count: u64) {
        if let At::Opaque { left, then_chunk } = &mut self.at {
            *left -= count;
            if *left == 0 {
                self.at = if *then_chunk { At::Size } else { At::Start };
            }
        }
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// What they must not be taken for a request or a body with: how many bytes are before the end
    /// of the line that is wrong.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let opaque = self.opaque().min(rest.len() as u64);
            if opaque > 0 {
                self.skip(opaque);
                rest = &rest[opaque as usize..];
                continue;
            }
            let Some(end) = memchr(b'\n', rest) else {
                self.partial.extend_from_slice(rest);
                break;
            };
            if !self.whole_line(&rest[..end]) {
                return Err(bytes.len() - rest.len() + end);
            }
            rest = &rest[end + 1..];
        }
        Ok(())
    }

    /// Takes a line without its LF, of which the beginning may have come before.
    fn whole_line(&mut self, end: &[u8]) -> bool {
        if self.partial.is_empty() {
            return self.line(end);
        }
        let mut line = std::mem::take(&mut self.partial);
        line.extend_from_slice(end);
        self.line(&line)
    }

    /// Takes a line without its LF; says whether it may be passed on.
    fn line(&mut self, line: &[u8]) -> bool {
        let Some(line) = line.strip_suffix(b"\r") else { return false };
        match &mut self.at {
            At::Start if line.is_empty() => {}
            At::Start => {
                self.at = At::Fields(Framing::default());
                return memchr(b'#', line).is_none();
            }
            At::Fields(framing) if line.is_empty() => {
                self.heads += u64::from(!framing.refused);
                self.at = framing.body();
            }
            At::Fields(framing) => framing.field(line),
            At::Size => match chunk_size(line) {
                Some(0) => self.at = At::Trailers,
                Some(size) => self.at = At::Opaque { left: size, then_chunk: true },
                None => return false,
            },
            At::Trailers if line.is_empty() => self.at = At::Start,
            At::Trailers => {}
            At::Opaque { .. } | At::Lost => return false,
        }
        true
    }
}

impl Framing {
    /// Takes a header field, as hyper does: `Transfer-Encoding` before `Content-Length`.
    fn field(&mut self, line: &[u8]) {
        if let Some(value) = value_of(line, b"content-length") {
            let length = decimal(value);
            self.refused |=
                length.is_none() || self.length.is_some_and(|other| length != Some(other));
            self.length = length;
        } else if let Some(value) = value_of(line, b"transfer-encoding") {
            self.refused |= self.chunked || !value.eq_ignore_ascii_case(b"chunked");
            self.chunked = true;
        }
    }

    /// What follows the head; where this is refused, nothing that could be a request.
    fn body(self) -> At {
        match self.length {
            _ if self.refused => At::Lost,
            _ if self.chunked => At::Size,
            None | Some(0) => At::Start,
            Some(left) => At::Opaque { left, then_chunk: false },
        }
    }
}

/// The value of the field that has this name, in any case.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// A number that is written in digits only.
fn decimal(digits: &[u8]) -> Option<u64> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

/// The size in the line before a chunk, with the end of the chunk's own line counted in; 0 is the
/// last chunk's. Nothing may stand behind it but extensions as RFC 9112, section 7.1.1, has them,
/// without the blanks that it advises against.
fn chunk_size(line: &[u8]) -> Option<u64> {
    const LINE_END: u64 = 2;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extensions) = line.split_at(digits);
    if !(1..=MAX_SIZE_DIGITS).contains(&digits) || !are_extensions(extensions) {
        return None;
    }
    match u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()? {
        0 => Some(0),
        size => size.checked_add(LINE_END),
    }
}

/// Whether this is `*( ";" token [ "=" ( token / quoted-string ) ] )`.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix(b";").and_then(after_token) else { return false };
        let value = after.strip_prefix(b"=");
        let end = match value {
            Some(value) => after_token(value).or_else(|| after_quoted(value)),
            None => Some(after),
        };
        let Some(end) = end else { return false };
        rest = end;
    }
    true
}

/// What follows a token (RFC 9110, section 5.6.2).
fn after_token(text: &[u8]) -> Option<&[u8]> {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let length = text.iter().take_while(|byte| is_tchar(byte)).count();
    (length > 0).then(|| &text[length..])
}

/// What follows a quoted string (RFC 9110, section 5.6.4).
fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let is_text = |byte: u8| byte == b'\t' || byte >= b' ' && byte != 0x7f;
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', quoted, after @ ..] if is_text(*quoted) => after,
            [byte, after @ ..] if is_text(*byte) => after,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "POST /x HTTP/1.1\r\nHost: a.test\r\n";

    /// How much passes, when the bytes come in pieces of these lengths.
    fn passed(bytes: &[u8], pieces: &[usize]) -> usize {
        let mut scan = Scan::default();
        let mut start = 0;
        for piece in pieces.iter().copied().chain([bytes.len()]) {
            let end = bytes.len().min(start + piece);
            match scan.next(&bytes[start..end]) {
                Ok(()) => start = end,
                Err(count) => return start + count,
            }
        }
        bytes.len()
    }

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let expected = expected.map_or(text.len(), |bad| text.find(bad).unwrap() + bad.len());
        let ones = vec![1; text.len()];
        for pieces in [&[][..], &ones] {
            assert_eq!(passed(text.as_bytes(), pieces), expected, "{text:?}");
        }
    }

    #[track_caller]
    fn check_chunk(line: &str, is_passed: bool) {
        let before = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
        let text = format!("{before}{line}\r\nhello\r\n0\r\n\r\n");
        let expected = if is_passed { text.len() } else { before.len() + line.len() + 1 };
        assert_eq!(passed(text.as_bytes(), &[]), expected, "{text:?}");
    }

    #[test]
    fn what_is_well_formed_passes() {
        check(&format!("\r\n{HEAD}\r\n{HEAD}Content-Length: 3\r\n\r\na\nb{HEAD}\r\n"), None);
        check(
            &format!("{HEAD}transfer-encoding: Chunked\r\n\r\n2\r\n\n#\r\n0\r\nA: b\r\n\r\n"),
            None,
        );
        // hyper takes the coding where both are said.
        check(
            &format!(
                "{HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\n"
            ),
            None,
        );
    }

    #[test]
    fn a_line_ends_with_crlf() {
        check("\nGET / HTTP/1.1\r\n", Some(""));
        check("GET / HTTP/1.1\nHost: a.test\r\n\r\n", Some("HTTP/1.1"));
        check("GET / HTTP/1.1\r\nA: b\nHost: a.test\r\n\r\n", Some("A: b"));
        check("GET / HTTP/1.1\r\nHost: a.test\r\n\nX", Some("a.test\r\n"));
        check(&format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n5\nhello"), Some("\r\n5"));
        check(&format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n"), Some("A: b"));
        // The second request of a connection is looked at like the first.
        check(
            &format!("{HEAD}Content-Length: 2\r\n\r\n\n\nGET / HTTP/1.1\n"),
            Some("GET / HTTP/1.1"),
        );
    }

    #[test]
    fn a_target_has_no_fragment() {
        const LINE: &str = "GET /a#b HTTP/1.1\r\nHost: a.test\r\n\r\n";
        for before in [
            "",
            "\r\n",
            &format!("{HEAD}\r\n"),
            &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nA: #\r\nB: #\r\n\r\n"),
        ] {
            check(&format!("{before}{LINE}"), Some("#b HTTP/1.1\r"));
        }
        check("GET /a HTTP/1.1\r\nHost: a.test\r\nA: #\r\n\r\n", None);
    }

    #[test]
    fn behind_the_size_of_a_chunk_stand_extensions_or_nothing() {
        for line in ["5", "05", "5;a", "5;a=b", "5;a=\"b;\\\"\tc\"", "5;a=b;c", "0000000000000005"]
        {
            check_chunk(line, true);
        }
        for line in [
            "",
            "g",
            "5 ",
            " 5",
            "5;",
            "5;;a",
            "5;a=",
            "5;a b",
            "5;bad[=x",
            "5;\0x",
            "5;a=\"b",
            "5\t",
            "5;a=\"b\\",
            "5;a=\"\0\"",
            "5;a=\"\\\u{1}\"",
            "0x5",
            "+5",
            "-5",
            "5;a\r",
            "00000000000000005",
            "FFFFFFFFFFFFFFFF",
            "5 ;a",
            "5; a",
        ] {
            check_chunk(line, false);
        }
    }

    #[test]
    fn what_follows_refused_framing_is_no_request() {
        for field in [
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length: x",
            "Transfer-Encoding: chunked\r\nContent-Length:",
            "Transfer-Encoding: chunked\r\nContent-Length: +5",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\nContent-Length: 4",
        ] {
            let mut scan = Scan::default();
            let bytes = format!("{HEAD}{field}\r\n\r\n{HEAD}\r\n");
            assert_eq!(scan.next(bytes.as_bytes()), Ok(()));
            assert_eq!(scan.take_heads(), 0, "{field}");
        }
    }

    proptest! {
        #[test]
        fn how_the_bytes_come_changes_nothing(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just(HEAD), Just("Content-Length: 4\r\n"), Just("Transfer-Encoding: chunked\r\n"),
                    Just("\r\n"), Just("\n"), Just("3\r\n"), Just("0\r\n"), Just("abc"), Just("#"),
                    Just("GET /"), Just(";a=b"),
                ],
                0..24,
            ),
            pieces in proptest::collection::vec(1_usize..9, 0..64),
        ) {
            let bytes = parts.concat();
            prop_assert_eq!(passed(bytes.as_bytes(), &pieces), passed(bytes.as_bytes(), &[]));
        }
    }
}
