//! Whatever a head says over HTTP/2, the pipeline sees what one of HTTP/1.1 that means the same
//! would have brought, and it is refused where that would be.
#![no_main]

use keygate::fuzzing;
use keygate_fuzz::http2::{
    CONTINUATION, Lines, PREFACE, SETTINGS, headers, left_of, lines, request,
};
use libfuzzer_sys::fuzz_target;

/// Near as many as a head may have: each version counts what says how a body is framed in its way.
const MANY: usize = 90;

/// Whatever scheme is said where there is no authority, the crate that decodes it drops it, and
/// nobody gets to see it.
fn without_odd_scheme(mut lines: Lines) -> Lines {
    if !lines.iter().any(|(name, _)| name == b":authority") {
        let schemes = lines.iter_mut().filter(|(name, _)| name == b":scheme");
        schemes.for_each(|(_, value)| *value = b"http".to_vec());
    }
    lines
}

fuzz_target!(|data: &[u8]| {
    let Some((&[choice, cut], bytes)) = data.split_first_chunk() else { return };
    let lines = without_odd_scheme(lines(bytes));
    if lines.len() > MANY {
        return;
    }
    let ends_stream = choice & 1 == 0;
    let frames = headers(&lines, ends_stream, usize::from(cut) * 4);
    let ours = fuzzing::asked_over_2(&[PREFACE, SETTINGS, &frames].concat());
    let means = |lines| request(&lines, ends_stream).and_then(|head| fuzzing::asked_over_1(&head));
    let is_cut = frames.windows(3).any(|head| head == [CONTINUATION, 4, 0]);
    if is_cut && ours.is_some() && request(&lines, ends_stream).is_none() {
        return assert_eq!(ours, means(without_odd_scheme(left_of(&lines))));
    }
    assert_eq!(ours, means(lines));
});
