//! Where the records of a keys file begin, found without reading them.

use std::iter;
use std::ops::Range;

use memchr::memmem;

/// What a record begins with.
const HEADER: &str = "[[key]]";

/// Strings that may hold lines of their own; a text with one of these is not cut.
const LONG_QUOTES: [&str; 2] = ["\"\"\"", "'''"];

/// The parts of a text with so many records each. What stands before the first record belongs to
/// the first part, so that the parts are the whole text.
///
/// A line that begins with `[[key]]` begins a record wherever the text is TOML: no comment and no
/// value begins so, save a part of a string of several lines. Where it is not, a part is not.
pub(super) fn batches(text: &str, count: usize) -> impl Iterator<Item = Range<usize>> {
    let mut headers = headers(text).skip(1);
    let mut next = Some(0);
    iter::from_fn(move || {
        let start = next?;
        next = headers.nth(count - 1);
        Some(start..next.unwrap_or(text.len()))
    })
}

/// The parts of a text with one record each: from its header to the next one. None when there is a
/// string of several lines in it.
pub fn records(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut headers = headers(text).peekable();
    iter::from_fn(move || {
        let start = headers.next()?;
        Some(start..headers.peek().copied().unwrap_or(text.len()))
    })
}

/// The part of a text around a place, from the record's header to the next one; before the first
/// header, what stands there.
pub fn around(text: &str, place: usize) -> Range<usize> {
    if !is_cut(text) {
        return 0..text.len();
    }
    let bytes = text.as_bytes();
    let place = place.min(text.len());
    // A header that reaches over the place begins before it.
    let end = bytes.len().min(place + HEADER.len());
    let mut before = memmem::rfind_iter(&bytes[..end], HEADER);
    let start = before.find(|&at| at <= place && begins_line(text, at));
    let rest = start.map_or(place, |start| start + HEADER.len());
    let mut after = memmem::find_iter(&bytes[rest..], HEADER).map(|at| rest + at);
    let end = after.find(|&at| begins_line(text, at));
    start.unwrap_or(0)..end.unwrap_or(text.len())
}

fn is_cut(text: &str) -> bool {
    !LONG_QUOTES.iter().any(|quotes| memmem::find(text.as_bytes(), quotes.as_bytes()).is_some())
}

/// Where the headers are.
fn headers(text: &str) -> impl Iterator<Item = usize> {
    let text = if is_cut(text) { text } else { "" };
    let found = memmem::find_iter(text.as_bytes(), HEADER);
    found.filter(move |&at| begins_line(text, at))
}

/// Whether only blanks stand before a place on its line.
fn begins_line(text: &str, at: usize) -> bool {
    let before = text[..at].trim_end_matches([' ', '\t']);
    before.is_empty() || before.ends_with('\n')
}
