//! Finds a key, or a piece of one, in bytes that must hold none.

use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Where it is counted what was searched: a line for each process, the number of its bytes.
const COUNTS: &str = "canaries.txt";

/// The shortest piece of a key that counts as the key: of 36 letters and digits, eight hold more
/// than 40 bits, so they are nowhere by chance.
const WINDOW: usize = 8;

/// Where a key could come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In what the origin received.
    Origin,
    /// In what clients received.
    Answers,
    /// On the standard output or the standard error.
    Logs,
    /// In `/proc/PID/cmdline` or `/proc/PID/environ`.
    Process,
}

/// The pieces of keys to look for.
pub(crate) struct Canaries {
    /// Each window as a number, in order.
    windows: Vec<u64>,
    /// Which last two bytes any window has: it rules out nearly every place at once.
    ends: Vec<bool>,
}

impl Canaries {
    /// Looks for every piece of these keys. A key that is shorter than a window is no canary.
    pub(crate) fn of(keys: &[impl AsRef<[u8]>]) -> Self {
        let number = |window: &[u8]| window.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let mut windows: Vec<u64> =
            keys.iter().flat_map(|key| key.as_ref().windows(WINDOW).map(number)).collect();
        windows.sort_unstable();
        let mut ends = vec![false; 1 << 16];
        for window in &windows {
            ends[(window & 0xffff) as usize] = true;
        }
        Self { windows, ends }
    }

    /// Where the first piece of a key ends, with the bytes around it.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Option<String> {
        const AROUND: usize = 160;
        let mut last = 0_u64;
        for (at, &byte) in bytes.iter().enumerate() {
            last = last << 8 | u64::from(byte);
            if self.ends[(last & 0xffff) as usize] && self.windows.binary_search(&last).is_ok() {
                let around = at.saturating_sub(AROUND)..bytes.len().min(at + AROUND);
                return Some(String::from_utf8_lossy(&bytes[around]).into_owned());
            }
        }
        None
    }
}

/// Blanks the ids that keygate gives to requests: among so many random digits there is a piece of a
/// key now and then.
pub(super) fn without_ids(mut bytes: Vec<u8>) -> Vec<u8> {
    const DIGITS: usize = 32;
    for marker in [&b"x-request-id: "[..], b" id=", b"\"request_id\":\""] {
        let starts = bytes.windows(marker.len()).enumerate().filter(|(_, part)| *part == marker);
        let ids: Vec<_> = starts.map(|(at, _)| at + marker.len()).collect();
        for at in ids {
            let id = bytes.get_mut(at..at + DIGITS).unwrap_or_default();
            if id.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                id.fill(b'.');
            }
        }
    }
    bytes
}

/// Counts a process whose outputs were searched; `scripts/canaries.sh` adds the counts up.
pub(super) fn count(bytes: usize) {
    // It stands in the folder of all that is built.
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(COUNTS);
    // A count that is lost makes no test wrong.
    if let Ok(mut counts) = File::options().create(true).append(true).open(path) {
        let _ = counts.write_all(format!("{bytes}\n").as_bytes());
    }
}
