//! Whatever an upstream answers over HTTP/2, what is passed on of it is what one of HTTP/1.1 that
//! means the same would have brought; what is malformed is not taken for whole.
#![no_main]

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method};
use keygate::fuzzing::{self, Heard};
use keygate_fuzz::http2::{FRAME_END, Part, SETTINGS, answer, data, headers, lines};
use libfuzzer_sys::fuzz_target;

/// Near as many fields as a head may have: each version counts them in its way.
const MANY: usize = 90;

/// The parts of an answer that a target's bytes stand for.
fn parts(bytes: &[u8]) -> Vec<Part> {
    let parts = bytes.split(|&byte| byte == FRAME_END).filter_map(<[u8]>::split_first);
    parts
        .map(|(kind, rest)| match kind {
            b'd' => Part::Data(rest.to_vec()),
            _ => Part::Headers(lines(rest)),
        })
        .collect()
}

fn frames(parts: &[Part], ends: bool) -> Vec<u8> {
    let last = parts.len() - 1;
    let frame = |(place, part): (usize, &Part)| match part {
        Part::Headers(lines) => headers(lines, ends && place == last, usize::MAX),
        Part::Data(bytes) => data(bytes, ends && place == last),
    };
    parts.iter().enumerate().flat_map(frame).collect()
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let (parts, asked) =
        (parts(bytes), [Method::GET, Method::HEAD][usize::from(choice & 1)].clone());
    let is_long = |part: &Part| matches!(part, Part::Headers(lines) if lines.len() > MANY);
    // The crate ends connections that bring many small frames.
    if parts.is_empty() || parts.len() > 16 || parts.iter().any(is_long) {
        return;
    }
    let ends = choice & 2 == 0;
    let mut heard = fuzzing::heard_over_2(&[SETTINGS, &frames(&parts, ends)].concat(), &asked);
    trim(&mut heard);
    heard.informational.iter_mut().for_each(|(_, hint)| drop(hint.remove(CONTENT_LENGTH)));
    let Some(answer) = answer(&parts, ends, asked == Method::HEAD) else {
        assert_eq!(heard.left, None, "{heard:?}");
        return;
    };
    let mut expected = fuzzing::hear(&answer.bytes, [], &asked).0;
    if answer.may_fail && heard.left.is_none() {
        return;
    }
    if expected.left != Some(0) {
        assert_eq!(heard.left, None, "{heard:?}");
        return;
    }
    let announced = heard.head.as_ref().is_some_and(|(.., head)| head.contains_key(CONTENT_LENGTH));
    if answer.may_fail && announced && heard.trailers.is_empty() {
        // All of the body had come when the crate refused what follows it.
        expected.trailers.clear();
    }
    if let Some((_, reason, fields)) = &mut expected.head {
        *reason = None;
        if answer.is_chunked {
            fields.remove(TRANSFER_ENCODING);
        }
        for (_, length) in &answer.dropped {
            fields.insert(CONTENT_LENGTH, HeaderValue::from_bytes(length).expect("digits"));
        }
    }
    if answer.has_none {
        // Nobody asks for what follows.
        (heard.data, heard.trailers, heard.left) = Default::default();
        expected.left = None;
    }
    if !ends {
        // Whoever has all that was announced does not wait for the end.
        (heard.left, expected.left) = (None, None);
    }
    assert_eq!(heard, expected);
});

/// Takes away the blanks around values, which HTTP/1.1 does not tell from none.
fn trim(heard: &mut Heard) {
    let heads = heard.head.iter_mut().map(|(.., fields)| fields);
    let hints = heard.informational.iter_mut().map(|(_, fields)| fields);
    for fields in heads.chain(hints).chain([&mut heard.trailers]) {
        let trimmed = |value: &HeaderValue| {
            let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            let bytes = value.as_bytes();
            let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
            let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
            HeaderValue::from_bytes(&bytes[start..end]).expect("a part of one is one")
        };
        *fields = fields
            .iter()
            .map(|(name, value)| (name.clone(), trimmed(value)))
            .collect::<HeaderMap>();
    }
}
