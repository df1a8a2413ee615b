//! A body out of the bytes that carry it (RFC 9112, sections 6 and 7); pure.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use memchr::memchr;

use super::chunk::{self, Extensions};
use super::field_line;
use super::lines::{Ends, Lines};
use super::stock;

/// How long the fields behind the last chunk may be together.
const MAX_TRAILERS: usize = 16 * 1024;

/// How much may stand behind the sizes of all chunks of one body: a body of nothing but extensions
/// is somebody's joke (CVE-2023-39326).
const MAX_EXTENSIONS: usize = 16 * 1024;

/// What nearly always follows the last piece of a body in chunks.
const LAST: &[u8] = b"\r\n0\r\n\r\n";

/// What is next in a body.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// A piece of it.
    Data(Bytes),
    /// The fields behind it; the end follows.
    Trailers(HeaderMap),
    /// Its end: the next byte is not its own.
    End,
    /// More bytes are needed to tell.
    Incomplete,
}

/// What came is no body, or not all of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// How far a body has come.
#[derive(Debug)]
pub(crate) struct Decoder {
    at: At,
    extensions: Extensions,
    extensions_left: usize,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
enum At {
    /// So many bytes, then the end.
    Length(u64),
    /// Everything until the stream ends.
    UntilClose,
    /// The line before a chunk.
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The end of a chunk's own line.
    ChunkEnd,
    /// The fields behind the last chunk.
    Trailers,
    /// Nothing.
    End,
}

impl Decoder {
    /// A body of so many bytes.
    pub(crate) fn length(length: u64) -> Self {
        Self::new(At::Length(length), Extensions::Strict)
    }

    /// A body in chunks.
    pub(crate) fn chunked(extensions: Extensions) -> Self {
        Self::new(At::ChunkSize, extensions)
    }

    /// A body that ends with the stream.
    pub(crate) fn until_close() -> Self {
        Self::new(At::UntilClose, Extensions::Strict)
    }

    fn new(at: At, extensions: Extensions) -> Self {
        Self { at, extensions, extensions_left: MAX_EXTENSIONS }
    }

    /// Whether the end has come.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self.at, At::Length(0) | At::End)
    }

    /// How many bytes are left, where that was said.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.at {
            At::Length(left) => Some(left),
            At::End => Some(0),
            _ => None,
        }
    }

    /// How many of the next bytes are data for certain.
    pub(crate) fn data_ahead(&self) -> u64 {
        match self.at {
            At::Length(left) | At::Chunk(left) => left,
            At::UntilClose => u64::MAX,
            _ => 0,
        }
    }

    /// Takes what is next out of the bytes that have come.
    ///
    /// # Errors
    /// They are no body.
    pub(crate) fn next(&mut self, bytes: &mut BytesMut) -> Result<Decoded, Malformed> {
        loop {
            match &mut self.at {
                At::Length(0) | At::End => return Ok(Decoded::End),
                _ if bytes.is_empty() => return Ok(Decoded::Incomplete),
                At::UntilClose => return Ok(Decoded::Data(bytes.split().freeze())),
                At::Length(left) => return Ok(Decoded::Data(take(bytes, left))),
                At::Chunk(left) => {
                    let data = take(bytes, left);
                    if *left == 0 {
                        self.at = At::ChunkEnd;
                        // Whoever knows with the last piece that it is the last can end at once.
                        if bytes.starts_with(LAST) {
                            bytes.advance(LAST.len());
                            self.at = At::End;
                        }
                    }
                    return Ok(Decoded::Data(data));
                }
                At::ChunkEnd => match &bytes[..] {
                    [b'\r', b'\n', ..] => {
                        bytes.advance(2);
                        self.at = At::ChunkSize;
                    }
                    [b'\r'] => return Ok(Decoded::Incomplete),
                    _ => return Err(Malformed),
                },
                At::ChunkSize => match self.chunk_size(bytes)? {
                    None => return Ok(Decoded::Incomplete),
                    Some(0) => self.at = At::Trailers,
                    Some(size) => self.at = At::Chunk(size),
                },
                At::Trailers => return self.trailers(bytes),
            }
        }
    }

    /// The stream has ended behind the bytes that have come.
    ///
    /// # Errors
    /// The body had not.
    pub(crate) fn close(&mut self) -> Result<(), Malformed> {
        match self.at {
            At::Length(0) | At::End | At::UntilClose => {
                self.at = At::End;
                Ok(())
            }
            _ => Err(Malformed),
        }
    }

    fn chunk_size(&mut self, bytes: &mut BytesMut) -> Result<Option<u64>, Malformed> {
        // The longest line that could still be one: digits, what is left for extensions, CR.
        const SIZE: usize = 17;
        let Some(end) = memchr(b'\n', bytes) else {
            let fits = bytes.len() <= SIZE + self.extensions_left;
            return fits.then_some(None).ok_or(Malformed);
        };
        let line = bytes[..end].strip_suffix(b"\r").ok_or(Malformed)?;
        let size = chunk::size(line, self.extensions).ok_or(Malformed)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let behind = line.len() - digits;
        self.extensions_left = self.extensions_left.checked_sub(behind).ok_or(Malformed)?;
        bytes.advance(end + 1);
        Ok(Some(size))
    }

    fn trailers(&mut self, bytes: &mut BytesMut) -> Result<Decoded, Malformed> {
        let mut lines = Lines::default();
        let end = lines.end(bytes);
        // A line that does not end with CRLF is none, whatever follows.
        let is_one = matches!(lines.ends(), Ends::Unknown | Ends::Crlf);
        let end = match end {
            None if is_one && bytes.len() <= MAX_TRAILERS => return Ok(Decoded::Incomplete),
            Some(end) if is_one && end <= MAX_TRAILERS => end,
            _ => return Err(Malformed),
        };
        let block = bytes.split_to(end).freeze();
        self.at = At::End;
        if end == b"\r\n".len() {
            return Ok(Decoded::End);
        }
        let mut trailers = HeaderMap::new();
        let read = field_line::read(&block, Ends::Crlf, |line| {
            let (name, value) = field_line::parts(line)?;
            trailers.append(HeaderName::from_bytes(name).ok()?, stock::shared(&block, value)?);
            Some(())
        });
        read.map_err(|_| Malformed)?;
        Ok(Decoded::Trailers(trailers))
    }
}

/// Takes as much as there is of what is left.
fn take(bytes: &mut BytesMut, left: &mut u64) -> Bytes {
    let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= count as u64;
    bytes.split_to(count).freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::lines;

    /// What was decoded, and what was left, when bytes come in pieces of these lengths.
    fn decode(
        mut decoder: Decoder,
        bytes: &[u8],
        pieces: &[usize],
    ) -> Result<(Vec<u8>, String, Vec<u8>), Malformed> {
        let (mut data, mut trailers, mut buffer) = (Vec::new(), String::new(), BytesMut::new());
        let mut rest = bytes;
        let mut pieces = pieces.iter().copied();
        loop {
            match decoder.next(&mut buffer)? {
                Decoded::Data(piece) => data.extend_from_slice(&piece),
                Decoded::Trailers(fields) => trailers = lines(&fields),
                Decoded::End => return Ok((data, trailers, [&buffer[..], rest].concat())),
                Decoded::Incomplete if rest.is_empty() => decoder.close()?,
                Decoded::Incomplete => {
                    let count = pieces.next().unwrap_or(rest.len()).clamp(1, rest.len());
                    buffer.extend_from_slice(&rest[..count]);
                    rest = &rest[count..];
                }
            }
        }
    }

    #[track_caller]
    fn check(decoder: impl Fn() -> Decoder, text: &str, expected: Option<(&str, &str, &str)>) {
        let ones = vec![1; text.len()];
        for pieces in [&[][..], &ones] {
            let decoded = decode(decoder(), text.as_bytes(), pieces).ok();
            let decoded = decoded.map(|(data, trailers, rest)| {
                (String::from_utf8(data).unwrap(), trailers, String::from_utf8(rest).unwrap())
            });
            let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
            assert_eq!(decoded, expected, "{text:?}");
        }
    }

    fn chunked() -> Decoder {
        Decoder::chunked(Extensions::Strict)
    }

    #[test]
    fn a_length_takes_so_many_bytes() {
        check(|| Decoder::length(5), "hellomore", Some(("hello", "", "more")));
        check(|| Decoder::length(0), "more", Some(("", "", "more")));
        check(|| Decoder::length(5), "hell", None);
        check(|| Decoder::length(u64::MAX), "hell", None);
    }

    #[test]
    fn without_a_length_the_end_of_the_stream_is_the_end() {
        check(Decoder::until_close, "hello", Some(("hello", "", "")));
        check(Decoder::until_close, "", Some(("", "", "")));
    }

    #[test]
    fn chunks_are_joined() {
        check(chunked, "5\r\nhello\r\n0\r\n\r\nmore", Some(("hello", "", "more")));
        check(chunked, "1;a=b\r\n\n\r\n0A\r\n0123456789\r\n000\r\n\r\n", {
            Some(("\n0123456789", "", ""))
        });
        check(chunked, "0\r\nA: b\r\nc:d\r\n\r\nmore", Some(("", "a: b\nc: d", "more")));
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for wrong in [
            "",
            "5\r\nhello\r\n",
            "5\r\nhello\r\n0\r\n",
            "5\r\nhell",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "\r\n0\r\n\r\n",
            "x\r\n",
            "5;\r\nhello\r\n0\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\nA: b\r\n\n",
            "0\r\n\n",
            "0\r\nno field\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\n A: b\r\n\r\n",
            "0\r\nA: \0\r\n\r\n",
        ] {
            check(chunked, wrong, None);
        }
    }

    #[test]
    fn what_can_be_no_body_is_not_waited_for() {
        for begun in ["5\n", "5\r\nhello\n", "0\r\n\n", "0\r\nA: b\n", "0\r\nA: b\r\nc\n"] {
            let (mut decoder, mut bytes) = (chunked(), BytesMut::from(begun));
            let refused = loop {
                match decoder.next(&mut bytes) {
                    Ok(Decoded::Data(_)) => {}
                    decoded => break decoded.is_err(),
                }
            };
            assert!(refused, "{begun:?}");
        }
    }

    #[test]
    fn a_body_cannot_be_all_extensions_or_trailers() {
        let long = |count: usize| "a".repeat(count);
        let within = format!("5;{}\r\nhello\r\n0\r\n\r\n", long(MAX_EXTENSIONS - 1));
        check(chunked, &within, Some(("hello", "", "")));
        check(chunked, &format!("5;{}\r\nhello\r\n0\r\n\r\n", long(MAX_EXTENSIONS)), None);
        let halves = format!("1;{0}\r\nx\r\n1;{0}\r\nx\r\n0\r\n\r\n", long(MAX_EXTENSIONS / 2));
        check(chunked, &halves, None);
        // No end of the line needs to come for that.
        check(chunked, &format!("5;{}", long(2 * MAX_EXTENSIONS)), None);
        let value = long(MAX_TRAILERS - "A:\r\n\r\n".len());
        let within = format!("0\r\nA:{value}\r\n\r\n");
        check(chunked, &within, Some(("", &format!("a: {value}"), "")));
        check(chunked, &format!("0\r\nA:{value}a\r\n\r\n"), None);
        check(chunked, &format!("0\r\nA:{}", long(2 * MAX_TRAILERS)), None);
        let fields = |count| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert!(decode(chunked(), fields(field_line::MAX_FIELDS).as_bytes(), &[]).is_ok());
        check(chunked, &fields(field_line::MAX_FIELDS + 1), None);
    }

    #[test]
    fn what_is_ahead_is_known() {
        let mut decoder = chunked();
        assert_eq!((decoder.left(), decoder.data_ahead(), decoder.is_at_end()), (None, 0, false));
        let mut bytes = BytesMut::from("5\r\nhe");
        assert!(matches!(decoder.next(&mut bytes), Ok(Decoded::Data(_))));
        assert_eq!((decoder.left(), decoder.data_ahead(), decoder.is_at_end()), (None, 3, false));
        bytes.extend_from_slice(b"llo\r\n0\r\n\r\n");
        while !matches!(decoder.next(&mut bytes), Ok(Decoded::End)) {}
        assert_eq!((decoder.left(), decoder.data_ahead(), decoder.is_at_end()), (Some(0), 0, true));
        let decoder = Decoder::length(7);
        assert_eq!((decoder.left(), decoder.data_ahead()), (Some(7), 7));
        assert!(Decoder::length(0).is_at_end());
        assert_eq!(Decoder::until_close().data_ahead(), u64::MAX);
    }

    proptest! {
        #[test]
        fn how_the_bytes_come_changes_nothing(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("3\r\n"), Just("abc"), Just("\r\n"), Just("0\r\n"), Just("\n"),
                    Just("A: b\r\n"), Just(";a=b"), Just("1"), Just("\r"),
                ],
                0..24,
            ),
            pieces in proptest::collection::vec(1_usize..9, 0..64),
        ) {
            let bytes = parts.concat();
            let whole = decode(chunked(), bytes.as_bytes(), &[]);
            prop_assert_eq!(decode(chunked(), bytes.as_bytes(), &pieces), whole);
        }
    }
}
