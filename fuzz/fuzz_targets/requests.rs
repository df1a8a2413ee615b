//! The gate's parser takes no request that a strict one does not take, reads the same in each, and
//! refuses none that is usual, however the bytes come.
#![no_main]

use keygate::fuzzing::{self, Request};
use keygate_fuzz::strict::{self, End};
use libfuzzer_sys::fuzz_target;

/// Whether anybody takes a target of these characters.
fn is_usual(target: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~%?=&".contains(c);
    target.starts_with('/') && target.chars().all(plain)
}

fn same(ours: &Request, strict: &strict::Request) {
    let strict::Request { head, body, .. } = strict;
    let (method, target, version) = &ours.line;
    assert_eq!((method, version), (&head.first, &head.third));
    // `http` writes what is no target in origin-form in its own way.
    assert!(target == &head.second || !head.second.starts_with('/'), "{target}");
    let mut fields = head.fields.clone();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(ours.fields, fields);
    assert_eq!(ours.is_whole, body.is_some(), "{ours:?}");
    if let Some(body) = body {
        let mut trailers = body.trailers.clone();
        trailers.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!((&ours.body, &ours.trailers), (&body.data, &trailers));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((pieces, bytes)) = data.split_first_chunk::<4>() else { return };
    let (ours, is_valid) = fuzzing::requests(bytes, []);
    for pieces in [pieces, &[1; 4], &[1, 2, 3, 5]] {
        let pieces = pieces.iter().map(|&length| usize::from(length)).cycle().take(bytes.len());
        let (in_pieces, still_valid) = fuzzing::requests(bytes, pieces);
        // What can become no head is seen at the first look, or when it ends.
        assert_eq!(in_pieces, ours);
        assert!(is_valid <= still_valid, "more pieces, less patience");
    }
    let (strict, end) = strict::requests(bytes);
    for (ours, strict) in ours.iter().zip(&strict) {
        same(ours, strict);
    }
    assert!(ours.len() <= strict.len(), "not strict: {:?}, {end:?}", ours.get(strict.len()));
    if let Some(refused) = strict.get(ours.len()) {
        let head = &refused.head;
        assert!(!is_usual(&head.second) || head.fields.len() > 100, "refused: {refused:?}");
    } else if !matches!(end, End::Wrong(_)) {
        assert!(is_valid || end == End::Within, "refused for no reason: {end:?}");
    }
});
