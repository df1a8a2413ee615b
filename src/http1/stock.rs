//! Lists of header fields, and names of fields, that are used again.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue};

use super::field_line::{self, NoFields};
use super::lines::{EmptyLine, Ends};
use crate::fields::Fields;

/// How many lists are kept, and how long they may be.
const MAX_LISTS: usize = 64;
const MAX_LENGTH: usize = 64;

/// How many names are kept, and how long they may be.
const NAMES: usize = 128;
const MAX_NAME: usize = 64;

/// How much memory is taken at a time for heads, and how long those are that get a piece of it: a
/// request that lasts keeps all of it.
const ROOM: usize = 4 * 1024;
const MAX_PIECE: usize = ROOM / 4;

/// What heads are read into: memory that other heads no longer need, and names that have come
/// before.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    room: RefCell<BytesMut>,
    lists: RefCell<Vec<Fields>>,
    names: RefCell<Names>,
    /// Finds where a head ends.
    pub(crate) empty_line: EmptyLine,
}

impl Stock {
    /// A copy of a head. Memory of its own takes 350 instructions more, for it and for the count of
    /// those who share it.
    pub(crate) fn copy(&self, head: &[u8]) -> Bytes {
        if head.len() > MAX_PIECE {
            return Bytes::copy_from_slice(head);
        }
        let mut room = self.room.borrow_mut();
        if room.capacity() < head.len() {
            // What nobody holds a piece of any more is used again.
            room.reserve(ROOM);
        }
        room.extend_from_slice(head);
        room.split().freeze()
    }

    /// An empty list.
    pub(crate) fn empty(&self) -> Fields {
        self.lists.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps the memory of a list that is no longer needed, unless it has grown large.
    pub(crate) fn give_back(&self, mut fields: Fields) {
        let mut lists = self.lists.borrow_mut();
        if lists.len() < MAX_LISTS && fields.capacity() <= MAX_LENGTH {
            fields.clear();
            lists.push(fields);
        }
    }

    /// The fields in the lines of `head` from there on, each of which ends as `ends` says; their
    /// values share its memory.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) fn read(&self, head: &Bytes, from: usize, ends: Ends) -> Result<Fields, NoFields> {
        let (mut fields, mut names) = (self.empty(), self.names.borrow_mut());
        field_line::read(&head[from..], ends, |line| {
            let (name, value) = names.split(line)?;
            fields.append(name, shared(head, value)?);
            Some(())
        })?;
        Ok(fields)
    }
}

/// The value that these bytes of `head` are, if they may be one.
pub(crate) fn shared(head: &Bytes, value: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(head.slice_ref(value)).ok()
}

/// Names that have come of late, as they were written, each at a place that its bytes give. To
/// make one takes 115 instructions, and 280 if it is not among those that `http` knows; to copy one
/// takes 40.
///
/// Most heads are like the last: behind a name comes the one that came behind it before, and to see
/// that it does takes fewer instructions than to look for the colon.
#[derive(Debug)]
struct Names {
    kept: [Option<(Box<[u8]>, HeaderName)>; NAMES],
    /// The place of the name that came behind the one at each place.
    followers: [u8; NAMES],
    /// The place of the latest.
    latest: usize,
}

impl Default for Names {
    fn default() -> Self {
        Self { kept: [const { None }; NAMES], followers: [0; NAMES], latest: 0 }
    }
}

impl Names {
    /// The name of a field, and its value.
    fn split<'a>(&mut self, line: &'a [u8]) -> Option<(HeaderName, &'a [u8])> {
        let follower = usize::from(self.followers[self.latest]);
        if let Some((known, name)) = &self.kept[follower]
            && let Some([b':', value @ ..]) = line.strip_prefix(&**known)
        {
            self.latest = follower;
            return Some((name.clone(), field_line::without_blanks(value)));
        }
        let (written, value) = field_line::parts(line)?;
        let name = self.name(written)?;
        let place = place(written)?;
        self.followers[self.latest] = place as u8;
        self.latest = place;
        Some((name, value))
    }

    fn name(&mut self, written: &[u8]) -> Option<HeaderName> {
        let kept = &mut self.kept[place(written)?];
        if let Some((known, name)) = kept
            && **known == *written
        {
            return Some(name.clone());
        }
        let name = HeaderName::from_bytes(written).ok()?;
        if written.len() <= MAX_NAME {
            *kept = Some((written.into(), name.clone()));
        }
        Some(name)
    }
}

/// The place of a name. By these factors, of 49 names that browsers, SDKs and servers send 47 have
/// one for themselves.
fn place(written: &[u8]) -> Option<usize> {
    let (first, last) = (*written.first()?, *written.last()?);
    Some((29 * usize::from(first) + 14 * usize::from(last) + 5 * written.len()) % NAMES)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::sample::lines;

    #[test]
    fn fields_are_read_as_they_came() {
        let stock = Stock::default();
        // Twice: names are made, and then known.
        for _ in 0..2 {
            let head = Bytes::from_static(b"GET\r\nA: b\r\nX-Y:\r\na:  c\r\n\r\n");
            let fields = stock.read(&head, "GET\r\n".len(), Ends::Crlf).expect("fields");
            assert_eq!(lines(&fields), "a: b\nx-y: \na: c");
            stock.give_back(fields);
        }
    }

    #[test]
    fn a_name_is_what_was_written_whatever_came_before() {
        let mut names = Names::default();
        for written in ["x-ab-y", "x-ba-y", "x-aB-y", "x-ab-y", "X-ab-y", "x-ab-y"] {
            let name = names.name(written.as_bytes()).expect("a name");
            assert_eq!(name.as_str(), written.to_ascii_lowercase());
        }
        for wrong in ["", "x y", "x:y"] {
            assert!(names.name(wrong.as_bytes()).is_none(), "{wrong}");
        }
        let long = "a".repeat(MAX_NAME + 1);
        assert_eq!(names.name(long.as_bytes()).expect("a name"), *long);
        assert!(names.kept.iter().flatten().all(|(written, _)| written.len() <= MAX_NAME));
    }

    /// What browsers, SDKs and servers send.
    const USUAL: &str = "Host User-Agent Accept X-Api-Key X-API-Key Connection Authorization \
        Content-Type Content-Length Accept-Encoding Accept-Language Cache-Control Date \
        Server Transfer-Encoding Cookie Set-Cookie Origin Referer x-stainless-lang \
        x-stainless-package-version x-stainless-os x-stainless-arch \
        x-stainless-runtime x-stainless-runtime-version x-stainless-async \
        x-stainless-retry-count x-stainless-timeout x-stainless-read-timeout \
        anthropic-version openai-organization X-Request-Id X-Forwarded-For \
        X-Forwarded-Proto X-Forwarded-Host X-Real-IP Vary ETag Last-Modified \
        X-Ratelimit-Limit-Requests Keep-Alive host user-agent accept content-type \
        content-length connection date server";

    #[test]
    fn usual_names_have_places_for_themselves() {
        let places: HashSet<_> = USUAL.split(' ').map(|name| place(name.as_bytes())).collect();
        assert_eq!((USUAL.split(' ').count(), places.len()), (49, 47));
    }

    #[test]
    fn heads_are_copied_into_memory_that_is_used_again() {
        let stock = Stock::default();
        let all: Vec<_> = (0..100u8).map(|byte| stock.copy(&[byte; 100])).collect();
        assert!(all.iter().zip(0..).all(|(head, byte)| **head == [byte; 100]));
        drop(all);
        // What is left of it, and then all of it again and again.
        const HEAD: &[u8] = b"GET / HTTP/1.1";
        let places: HashSet<_> = (0..10_000).map(|_| stock.copy(HEAD).as_ptr()).collect();
        assert!(places.len() <= 2 * ROOM / HEAD.len(), "{} places", places.len());
        // A long one has memory of its own.
        let left = stock.room.borrow().capacity();
        for long in [&[b'x'; MAX_PIECE + 1][..], &[b'x'; ROOM + 1]] {
            assert_eq!(stock.copy(long), long);
            assert_eq!(stock.room.borrow().capacity(), left);
        }
    }

    #[test]
    fn what_came_behind_a_name_before_is_seen_again() {
        let mut names = Names::default();
        let heads =
            [["A: b", "X-Y:c", "A:d "], ["A: b", "X-Y:c", "A:d "], ["a: b", "x-y:c", "A:d "]];
        for lines in heads {
            let split = lines.map(|line| names.split(line.as_bytes()).expect("a field"));
            let split = split.map(|(name, value)| (name.as_str().to_owned(), value));
            let [a, x_y] = ["a", "x-y"].map(str::to_owned);
            assert_eq!(split, [(a.clone(), &b"b"[..]), (x_y, b"c"), (a, b"d")]);
        }
        // What only begins like it is another, or none.
        for (line, name) in [("X-Yz: c", Some("x-yz")), ("X-Y : c", None), ("X-Y", None)] {
            names.split(b"A: b").expect("a field");
            names.split(b"X-Y:c").expect("a field");
            names.split(b"A: b").expect("a field");
            let split = names.split(line.as_bytes()).map(|(name, _)| name);
            assert_eq!(split.as_ref().map(HeaderName::as_str), name);
        }
    }

    #[test]
    fn so_many_lists_are_kept_that_are_so_long() {
        let stock = Stock::default();
        let list = |length| {
            let mut fields = Fields::new();
            fields.reserve(length);
            fields
        };
        stock.give_back(list(MAX_LENGTH + 1));
        assert_eq!(stock.empty().capacity(), 0);
        (0..=MAX_LISTS).for_each(|_| stock.give_back(list(1)));
        assert_eq!(stock.lists.borrow().len(), MAX_LISTS);
        assert!(stock.empty().capacity() > 0);
    }
}
