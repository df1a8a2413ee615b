//! Every path that some server may take a path for.
//!
//! Servers disagree on what they do to a path before they use it, and in which order. Each thing
//! that one of them does is a [`STEPS`] entry here; the readings of a path are what any sequence
//! of the steps makes of it.

use std::ops::RangeInclusive;

/// The most readings a path may have; an honest one has a handful.
const READINGS_LIMIT: usize = 32;

/// The most bytes that all readings of a path may have together: [`FEW`] times its own, within
/// these bounds. Whoever sends a path must not take much more time with it than sending it takes.
const BYTES_LIMIT: RangeInclusive<usize> = 8 * 1024..=64 * 1024;

/// How many readings even a long path may have.
const FEW: usize = 6;

/// Something that a server may do to a path: what it makes of it, or none if it changes nothing.
type Step = fn(&[u8]) -> Option<Vec<u8>>;

/// What servers do, alone or in any combination. Escapes are decoded by kind, because a server may
/// keep an escaped `/` and decode the rest, as Tomcat and Go's `RawPath` do.
const STEPS: &[Step] = &[
    |path| decode(path, is_unreserved),
    |path| decode(path, |byte| byte == b'/'),
    |path| decode(path, |byte| byte == b'\\'),
    |path| decode(path, |byte| byte == b';'),
    |path| decode(path, |byte| !is_unreserved(byte) && !b"/\\;".contains(&byte)),
    decode_wide_escapes,
    decode_overlong,
    decode_lookalikes,
    turn_backslashes,
    merge_slashes,
    resolve_dots,
    drop_authority,
    drop_parameters,
    trim_blanks,
    trim_dots,
    |path| cut_at(path, 0),
    |path| cut_at(path, b'?'),
    |path| cut_at(path, b'#'),
    |path| cut_at(path, b';'),
];

/// What is known of a path after one look at every byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// No step changes anything: the path has one reading.
    pub(super) plain: bool,
    /// It holds an upper-case letter.
    pub(super) upper: bool,
}

const UPPER: u8 = 1;
const SPECIAL: u8 = 2;

/// What each byte means for the shape of a path.
const CLASSES: [u8; 256] = {
    let mut classes = [SPECIAL; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        if byte.is_ascii_uppercase() {
            classes[byte as usize] = UPPER;
        } else if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'\\' | b';' | b'?' | b'#') {
            classes[byte as usize] = 0;
        }
        byte += 1;
    }
    classes
};

impl Shape {
    /// Looks at every byte once. A `/` after another one can be merged; one after a `.` ends a
    /// segment that can be resolved or trimmed, and so does the end of the path.
    pub(super) fn of(path: &[u8]) -> Self {
        let mut seen = 0;
        let mut before = 0;
        for &byte in path {
            seen |= CLASSES[usize::from(byte)];
            if byte == b'/' && matches!(before, b'/' | b'.') {
                seen |= SPECIAL;
            }
            before = byte;
        }
        if before == b'.' {
            seen |= SPECIAL;
        }
        Self { plain: seen & SPECIAL == 0, upper: seen & UPPER != 0 }
    }
}

/// All readings of a path, itself the first; none when there are too many to look at.
pub(super) fn readings(path: Vec<u8>) -> Option<Vec<Vec<u8>>> {
    let most_bytes = (FEW * path.len()).clamp(*BYTES_LIMIT.start(), *BYTES_LIMIT.end());
    let mut bytes = path.len();
    let mut all = vec![path];
    let mut next = 0;
    while next < all.len() {
        for step in STEPS {
            let Some(reading) = step(&all[next]) else { continue };
            if all.contains(&reading) {
                continue;
            }
            bytes += reading.len();
            if all.len() == READINGS_LIMIT || bytes > most_bytes {
                return None;
            }
            all.push(reading);
        }
        next += 1;
    }
    Some(all)
}

/// The path with the digits of its escapes in upper case: the two forms are the same to all (RFC
/// 3986, section 6.2.2.1).
pub(super) fn upper_case_escapes(path: &[u8]) -> Vec<u8> {
    let mut upper = path.to_vec();
    for at in 0..path.len() {
        if escaped(&path[at..]).is_some() {
            upper[at..at + 3].make_ascii_uppercase();
        }
    }
    upper
}

/// Decodes the escapes of the bytes that are chosen, once.
pub(super) fn decode(path: &[u8], choose: fn(u8) -> bool) -> Option<Vec<u8>> {
    rewrite(path, |rest| escaped(rest).filter(|&byte| choose(byte)).map(|byte| (byte, 3)))
}

/// The byte that an escape at the beginning stands for.
pub(super) fn escaped(rest: &[u8]) -> Option<u8> {
    match rest {
        [b'%', high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// RFC 3986, section 2.3.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Decodes `%uXXXX`, which IIS and old scripts know.
fn decode_wide_escapes(path: &[u8]) -> Option<Vec<u8>> {
    rewrite(path, |rest| {
        let [b'%', b'u' | b'U', digits @ ..] = rest else { return None };
        let mut point = 0;
        for &digit in digits.get(..4)? {
            point = point << 4 | u32::from(hex(digit)?);
        }
        let byte = match point {
            0xFF01..=0xFF5E => point - 0xFEE0,
            _ => point,
        };
        // Beyond ASCII no character changes where a path leads, so one byte stands for them all.
        Some((u8::try_from(byte).ok().filter(u8::is_ascii).unwrap_or(0xFF), 6))
    })
}

/// Decodes ASCII characters that are written in more bytes of UTF-8 than they need (RFC 3629,
/// section 10). The second of two bytes is not checked, as IIS once did not.
fn decode_overlong(path: &[u8]) -> Option<Vec<u8>> {
    rewrite(path, |rest| match *rest {
        [lead @ (0xC0 | 0xC1), low, ..] => Some(((lead & 1) << 6 | low & 0x3F, 2)),
        [0xE0, high @ (0x80 | 0x81), low @ 0x80..=0xBF, ..] => {
            Some(((high & 1) << 6 | low & 0x3F, 3))
        }
        [0xF0, 0x80, high @ (0x80 | 0x81), low @ 0x80..=0xBF, ..] => {
            Some(((high & 1) << 6 | low & 0x3F, 4))
        }
        _ => None,
    })
}

/// Replaces characters by the ASCII that Unicode's compatibility forms, case mapping and Windows'
/// best fit make of them.
fn decode_lookalikes(path: &[u8]) -> Option<Vec<u8>> {
    rewrite(path, |rest| {
        Some(match *rest {
            [0xEF, 0xBC, low @ 0x81..=0xBF, ..] => (low - 0x60, 3),
            [0xEF, 0xBD, low @ 0x80..=0x9E, ..] => (low - 0x20, 3),
            [0xE2, 0x80, 0xA4, ..] => (b'.', 3),
            [0xE2, 0x81, 0x84, ..] | [0xE2, 0x88, 0x95, ..] => (b'/', 3),
            [0xE2, 0x88, 0x96, ..] => (b'\\', 3),
            [0xE2, 0x84, 0xAA, ..] => (b'k', 3),
            [0xC5, 0xBF, ..] => (b's', 2),
            _ => return None,
        })
    })
}

fn turn_backslashes(path: &[u8]) -> Option<Vec<u8>> {
    rewrite(path, |rest| (rest[0] == b'\\').then_some((b'/', 1)))
}

fn merge_slashes(path: &[u8]) -> Option<Vec<u8>> {
    let slashes = |rest: &[u8]| rest.iter().take_while(|&&byte| byte == b'/').count();
    rewrite(path, |rest| rest.starts_with(b"//").then(|| (b'/', slashes(rest))))
}

/// Removes `.` and `..` segments (RFC 3986, section 5.2.4).
fn resolve_dots(path: &[u8]) -> Option<Vec<u8>> {
    let is_dots = |segment: &[u8]| matches!(segment, b"." | b"..");
    if !segments(path).any(is_dots) {
        return None;
    }
    let mut kept = Vec::new();
    let mut last = None;
    for segment in segments(path) {
        match segment {
            b"." => {}
            b".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
        last = Some(segment);
    }
    if last.is_some_and(is_dots) {
        kept.push(b"");
    }
    Some(join(kept))
}

/// Takes what follows `//` for a host, as those do who parse a path as a URL.
fn drop_authority(path: &[u8]) -> Option<Vec<u8>> {
    let rest = path.strip_prefix(b"//")?;
    Some(match rest.iter().position(|&byte| byte == b'/') {
        Some(end) => rest[end..].to_vec(),
        None => b"/".to_vec(),
    })
}

/// Drops the parameters of every segment (RFC 3986, section 3.3).
fn drop_parameters(path: &[u8]) -> Option<Vec<u8>> {
    rewrite_segments(path, |segment| {
        segment.iter().position(|&byte| byte == b';').map_or(segment, |at| &segment[..at])
    })
}

/// Trims blanks at the end of every segment, as Windows and careless scripts do.
fn trim_blanks(path: &[u8]) -> Option<Vec<u8>> {
    rewrite_segments(path, |segment| trim_end(segment, false))
}

/// Trims dots and blanks at the end of every segment, as Windows does.
fn trim_dots(path: &[u8]) -> Option<Vec<u8>> {
    rewrite_segments(path, |segment| match segment {
        b"." | b".." => segment,
        _ => trim_end(segment, true),
    })
}

/// Blanks are those of Python's and JavaScript's `strip` and `trim`, U+0085 and U+00A0 as one byte
/// or two: frameworks of both have been caught routing `/admin\xa0` as `/admin`.
fn trim_end(mut segment: &[u8], dots: bool) -> &[u8] {
    loop {
        segment = match segment {
            [rest @ .., b' ' | b'\t'..=b'\r' | 0x1C..=0x1F] => rest,
            [rest @ .., 0xC2, 0x85 | 0xA0] => rest,
            // After another byte that is not ASCII it is the end of some other character.
            [rest @ .., 0x85 | 0xA0] if rest.last().is_none_or(u8::is_ascii) => rest,
            [rest @ .., b'.'] if dots => rest,
            _ => return segment,
        }
    }
}

/// Ends the path before the first of a byte that ends a string, a path or a segment elsewhere.
fn cut_at(path: &[u8], end: u8) -> Option<Vec<u8>> {
    path.iter().position(|&byte| byte == end).map(|at| path[..at].to_vec())
}

/// The segments of a path that begins with `/`.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').skip(1)
}

fn join<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut path = Vec::new();
    for segment in segments {
        path.push(b'/');
        path.extend_from_slice(segment);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

fn rewrite_segments(path: &[u8], change: fn(&[u8]) -> &[u8]) -> Option<Vec<u8>> {
    segments(path)
        .any(|segment| change(segment).len() != segment.len())
        .then(|| join(segments(path).map(change)))
}

/// Replaces what `change` recognizes at the beginning of the rest: it gives the byte that stands
/// for it and how many bytes that one replaces.
fn rewrite(path: &[u8], change: impl Fn(&[u8]) -> Option<(u8, usize)>) -> Option<Vec<u8>> {
    let first = (0..path.len()).find(|&at| change(&path[at..]).is_some())?;
    let mut new = path[..first].to_vec();
    let mut at = first;
    while at < path.len() {
        let (byte, length) = change(&path[at..]).unwrap_or((path[at], 1));
        new.push(byte);
        at += length;
    }
    Some(new)
}
