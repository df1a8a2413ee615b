//! How a client's bytes come in changes nothing; what is passed on breaks none of the rules that
//! the gate looks after, what is not breaks one, and every head in it is counted.
#![no_main]

use keygate_fuzz::strict::{self, End};
use libfuzzer_sys::fuzz_target;

/// What hyper leaves open; it looks after all other rules itself.
const RULES: [&str; 4] =
    ["a fragment", "an end of line", "an extension of a chunk", "the size of a chunk"];

fuzz_target!(|data: &[u8]| {
    let Some((pieces, bytes)) = data.split_first_chunk::<4>() else { return };
    let (passed, heads) = keygate::fuzzing::scan(bytes, []);
    for pieces in [pieces, &[1; 4], &[1, 2, 3, 5]] {
        let pieces = pieces.iter().map(|&length| usize::from(length)).cycle().take(bytes.len());
        assert_eq!(keygate::fuzzing::scan(bytes, pieces), (passed, heads));
    }
    let (_, end) = strict::requests(&bytes[..passed]);
    assert!(!matches!(end, End::Wrong(rule) if RULES.contains(&rule)), "passed on: {end:?}");
    let (requests, end) = strict::requests(bytes);
    if passed < bytes.len() {
        let line = [&bytes[..=passed], b"\r\n\r\n"].concat();
        let (_, end) = strict::requests(&line);
        assert!(matches!(end, End::Wrong(_)), "refused without a reason");
    } else if !matches!(end, End::Wrong(_)) {
        assert_eq!(heads, requests.len() as u64, "{end:?}");
    }
});
