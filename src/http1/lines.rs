//! Where a head ends, and how its lines do; pure.

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter};

/// How the lines of a head end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ends {
    /// No line has come.
    #[default]
    Unknown,
    /// All with CRLF.
    Crlf,
    /// All with LF alone.
    Lf,
    /// Some so, some so.
    ///
    /// A parser that takes a bare LF for the end of a line as well as CRLF lets somebody else write
    /// lines: whoever gets LF into a field of an application that ends its own lines with CRLF
    /// ("response splitting").
    Mixed,
}

impl Ends {
    fn and(self, crlf: bool) -> Self {
        let this = if crlf { Self::Crlf } else { Self::Lf };
        if self == Self::Unknown || self == this { this } else { Self::Mixed }
    }
}

/// How long the first line of a head is, its end included.
pub(crate) fn first(head: &[u8]) -> usize {
    memchr(b'\n', head).map_or(head.len(), |end| end + 1)
}

/// A quick look for the end of a head that has come as a whole, in bytes that begin with it. It
/// takes a quarter of the instructions of looking at each line; how they end is seen when they are
/// read.
#[derive(Debug)]
pub(crate) struct EmptyLine(Finder<'static>);

impl Default for EmptyLine {
    fn default() -> Self {
        Self(Finder::new(Self::NEEDLE))
    }
}

impl EmptyLine {
    const NEEDLE: &[u8] = b"\n\r\n";

    /// Where the head ends if all its lines do with CRLF; if the first does and another does not,
    /// the end may be before that. None: to be looked for line by line.
    pub(crate) fn end(&self, bytes: &[u8]) -> Option<usize> {
        let begins_late = matches!(bytes, [b'\r' | b'\n', ..]);
        let found = if begins_late { None } else { self.0.find(bytes) };
        found.map(|at| at + Self::NEEDLE.len())
    }
}

/// A look for the end of a head, in bytes that may come in pieces.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// How many bytes have been looked at.
    looked: usize,
    /// Where the line begins whose end has not come.
    line: usize,
    ends: Ends,
}

impl Lines {
    /// Where the head ends, behind its empty line, if it does; `bytes` are those of the last call
    /// and what came since.
    pub(crate) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for at in memchr_iter(b'\n', &bytes[self.looked..]) {
            let at = self.looked + at;
            let line = &bytes[self.line..at];
            let crlf = line.last() == Some(&b'\r');
            self.ends = self.ends.and(crlf);
            self.line = at + 1;
            if line.len() == usize::from(crlf) {
                return Some(at + 1);
            }
        }
        self.looked = bytes.len();
        None
    }

    /// How the lines that have come end.
    pub(crate) fn ends(&self) -> Ends {
        self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, expected: Option<usize>, ends: Ends) {
        for step in [1, 2, 3, 1000] {
            let mut lines = Lines::default();
            let came = (0..bytes.len()).step_by(step).map(|from| bytes.len().min(from + step));
            let end = came.map(|to| lines.end(&bytes.as_bytes()[..to])).find(Option::is_some);
            assert_eq!((end.flatten(), lines.ends()), (expected, ends), "{bytes:?} by {step}");
        }
    }

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_comes() {
        check("A\r\n\r\nbody\n\n", Some(5), Ends::Crlf);
        check("A\r\nB: c\r\n\r\n", Some(11), Ends::Crlf);
        check("A\n\nbody", Some(3), Ends::Lf);
        check("A\r\nB: c\r\n", None, Ends::Crlf);
        check("A\r\n\r", None, Ends::Crlf);
        check("A", None, Ends::Unknown);
        check("", None, Ends::Unknown);
        check("\r\nA", Some(2), Ends::Crlf);
    }

    #[test]
    fn lines_that_end_differently_are_found() {
        check("A\r\nB: c\nC: d\r\n\r\n", Some(16), Ends::Mixed);
        check("A\r\nB: c\r\n\n", Some(10), Ends::Mixed);
        check("A\nB: c\r\n\r\n", Some(10), Ends::Mixed);
        check("A\n\r\n", Some(4), Ends::Mixed);
    }
}
