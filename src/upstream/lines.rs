//! Whether the lines of a response's head end alike; pure.

use memchr::memchr;

/// How long the part of a status line is that holds the status: `HTTP/1.1 200`.
const STATUS_END: usize = 12;

/// How far a response's head has come.
///
/// hyper takes a bare LF for the end of a line as well as CRLF. An application that lets a caller
/// write LF into a field so has a caller write fields, or whole answers ("response splitting"). An
/// upstream may end all its lines with LF; one that does both lets somebody else write.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// Whether a head is being read: only then is anything looked at.
    expected: bool,
    /// Whether the first line ended with CRLF; none before it has.
    crlf: Option<bool>,
    /// How long the line is whose end has not come, and its last byte.
    length: usize,
    last: u8,
    /// How the status line begins.
    start: [u8; STATUS_END],
}

impl Lines {
    /// The next bytes are a response's.
    pub(super) fn expected() -> Self {
        Self { expected: true, ..Self::default() }
    }

    /// Whether the next bytes have to be looked at.
    pub(super) fn is_expected(&self) -> bool {
        self.expected
    }

    /// Looks at the next bytes; says whether all lines end alike.
    pub(super) fn end_alike(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, behind) = (&rest[..end], &rest[end + 1..]);
            rest = behind;
            // Nearly every line comes whole, ends with CRLF and is neither the first nor the last.
            if self.length == 0 && self.crlf == Some(true) && matches!(line, [_, .., b'\r']) {
                continue;
            }
            self.part(line);
            if !self.line() {
                return false;
            }
            if !self.expected {
                return true;
            }
        }
        self.part(rest);
        true
    }

    /// A part of a line.
    fn part(&mut self, part: &[u8]) {
        let Some(&last) = part.last() else { return };
        if self.crlf.is_none() && self.length < STATUS_END {
            let count = part.len().min(STATUS_END - self.length);
            self.start[self.length..self.length + count].copy_from_slice(&part[..count]);
        }
        self.length += part.len();
        self.last = last;
    }

    /// The end of a line; says whether it is as it should be.
    fn line(&mut self) -> bool {
        let crlf = self.length > 0 && self.last == b'\r';
        let empty = self.length == usize::from(crlf);
        self.length = 0;
        match self.crlf {
            // Empty lines before the first are no part of the head.
            None if empty => return true,
            None => self.crlf = Some(crlf),
            Some(before) if before != crlf => return false,
            Some(_) => {}
        }
        if empty {
            // Another head follows an informational response, but none a switch of protocols.
            let status = &self.start[STATUS_END - 3..];
            let informational = status[0] == b'1' && status != b"101";
            *self = Self { expected: informational, ..Self::default() };
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is alike, however it comes in pieces.
    #[track_caller]
    fn check(head: &str, expected: bool) {
        for size in [1, 2, 3, 7, 4096] {
            let mut lines = Lines::expected();
            let alike = head.as_bytes().chunks(size).all(|piece| {
                // As whoever reads it does.
                !lines.is_expected() || lines.end_alike(piece)
            });
            assert_eq!(alike, expected, "{head:?} in pieces of {size}");
        }
    }

    #[test]
    fn lines_that_end_alike_pass() {
        check("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", true);
        check("HTTP/1.1 200 OK\nA: b\n\n", true);
        check("\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n", true);
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n", true);
    }

    #[test]
    fn lines_that_do_not_are_found() {
        check("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", false);
        check("HTTP/1.1 200 OK\r\nA: b\n\n", false);
        check("HTTP/1.1 200 OK\r\nA: b\r\n\n", false);
        check("HTTP/1.1 200 OK\nA: b\r\n\r\n", false);
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", false);
        check("HTTP/1.1 103 Early Hints\r\nA: b\nC: d\r\n\r\n", false);
    }

    #[test]
    fn a_body_and_what_follows_a_switch_are_not_looked_at() {
        check("HTTP/1.1 200 OK\r\nA: b\r\n\r\none\ntwo\r\n", true);
        check("HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\none\ntwo\r\n", true);
    }
}
