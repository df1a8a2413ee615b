//! Whatever an upstream answers and however its bytes come, what is passed on of it is what hyper's
//! client reads; what hyper would take and keygate does not breaks one of the rules named here.
#![no_main]

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use keygate::fuzzing::{self, Heard};
use keygate_fuzz::answer;
use libfuzzer_sys::fuzz_target;

/// Why an answer may be refused although hyper takes it.
const REASONS: [(&str, fn(&[u8], &(Heard, Version)) -> bool); 5] = [
    ("more than two empty lines before a head", |bytes, _| {
        // Behind another head stands one more.
        let mut run = 1;
        lines(bytes).any(|line| {
            run = if line.is_empty() { run + 1 } else { 0 };
            run > 3
        })
    }),
    ("lines end with CRLF and with LF", |bytes, _| ends(bytes) == (true, true)),
    ("a length or a coding that not everybody takes", |_, (heard, version)| {
        let informational =
            heard.informational.iter().map(|(_, fields)| (Version::HTTP_10, fields));
        let last = heard.head.iter().map(|(.., fields)| (*version, fields));
        !informational.chain(last).all(|(version, fields)| is_framed(version, fields))
    }),
    ("more than 16 digits for the size of a chunk", |bytes, _| {
        lines(bytes).any(|line| digits(line) > 16)
    }),
    ("a control character behind the size of a chunk", |bytes, _| {
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        lines(bytes).any(|line| digits(line) > 0 && line.iter().any(is_control))
    }),
];

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn digits(line: &[u8]) -> usize {
    line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count()
}

/// Whether any line ends with CRLF, and whether any ends with LF alone.
fn ends(bytes: &[u8]) -> (bool, bool) {
    let mut ends =
        bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let crlf = ends.clone().any(|line| line.ends_with(b"\r\n"));
    (crlf, ends.any(|line| !line.ends_with(b"\r\n")))
}

/// Whether nothing but digits, all alike, says how long it is, and nothing but `chunked` how coded.
fn is_framed(version: Version, fields: &HeaderMap) -> bool {
    let number = |value: &HeaderValue| {
        let digits = value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        digits.and_then(|digits| digits.parse::<u64>().ok())
    };
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter().map(number);
    let first = lengths.next();
    let codings: Vec<_> = fields.get_all(TRANSFER_ENCODING).iter().collect();
    let is_known = match codings[..] {
        [] => true,
        [one] => one.as_bytes().eq_ignore_ascii_case(b"chunked") && version == Version::HTTP_11,
        _ => false,
    };
    is_known && first.is_none_or(|first| first.is_some() && lengths.all(|other| other == first))
}

fn lists(fields: &HeaderMap, name: HeaderName, option: &str) -> bool {
    let values = fields.get_all(name).into_iter().map(HeaderValue::as_bytes);
    let text = values.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
    text.split(',').any(|one| one.trim().eq_ignore_ascii_case(option))
}

/// Makes the fields what is passed on of them: a length beside a coding is not, several that are
/// equal are one.
fn merge_lengths(fields: &mut HeaderMap) {
    let lengths: Vec<_> = fields.get_all(CONTENT_LENGTH).iter().cloned().collect();
    if fields.contains_key(TRANSFER_ENCODING) {
        fields.remove(CONTENT_LENGTH);
    } else if let Some(length) =
        lengths.first().and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
    {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Whether both sides must know where the next response begins.
fn may_live_on((heard, version): &(Heard, Version), asked: &Method) -> bool {
    let Some((status, _, fields)) = &heard.head else { return false };
    let has_none = asked == Method::HEAD || matches!(status.as_u16(), 101 | 204 | 304);
    let framings = usize::from(fields.contains_key(CONTENT_LENGTH))
        + usize::from(fields.contains_key(TRANSFER_ENCODING));
    let keeps = *version == Version::HTTP_11 || lists(fields, CONNECTION, "keep-alive");
    keeps && !lists(fields, CONNECTION, "close") && (framings == 1 || has_none && framings == 0)
}

fuzz_target!(|data: &[u8]| {
    let Some((&[choice, ref pieces @ ..], bytes)) = data.split_first_chunk::<4>() else { return };
    let asked = if choice & 1 == 0 { Method::GET } else { Method::HEAD };
    let (mut heard, lives_on) = fuzzing::hear(bytes, [], &asked);
    for pieces in [&pieces[..], &[1], &[1, 2, 3, 5]] {
        let pieces = pieces.iter().map(|&length| usize::from(length)).cycle();
        assert_eq!(fuzzing::hear(bytes, pieces, &asked), (heard.clone(), lives_on));
    }
    let mut known = answer::hear(bytes, &asked);
    assert!(!lives_on || heard.left.is_some() && may_live_on(&known, &asked), "{heard:?}");
    let is_excused = is_excused(bytes, &known);
    let known = &mut known.0;
    for heard in [&mut heard, known] {
        heard.informational.iter_mut().for_each(|(_, fields)| merge_lengths(fields));
        heard.head.iter_mut().for_each(|(.., fields)| merge_lengths(fields));
    }
    if heard == *known {
        return;
    }
    let longer = heard.informational.len();
    assert!(
        known.informational.get(..longer) == Some(&heard.informational),
        "{heard:?}\n{known:?}"
    );
    assert!(heard.left.is_none() && heard.trailers.is_empty(), "{heard:?}\n{known:?}");
    let Some((.., fields)) = &heard.head else {
        assert!(is_excused, "{known:?}");
        return;
    };
    // hyper has no more than 64 bits less two for a length.
    let is_huge = known.head.is_none() && fields.contains_key(CONTENT_LENGTH);
    assert!(heard.head == known.head || is_huge, "{heard:?}\n{known:?}");
    assert!(known.data.starts_with(&heard.data) || is_huge, "{heard:?}\n{known:?}");
    assert!(known.left.is_none() || is_excused, "{heard:?}\n{known:?}");
});

fn is_excused(bytes: &[u8], known: &(Heard, Version)) -> bool {
    let is_nothing = known.0.informational.is_empty() && known.0.head.is_none();
    is_nothing || REASONS.iter().any(|(_, holds)| holds(bytes, known))
}
