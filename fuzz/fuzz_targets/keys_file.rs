//! Whatever stands in a keys file, or is printed by a command: every record can be written and read
//! back, and nothing that is said about the rest repeats what may be a key.
#![no_main]

use keygate::config::problem::Fault;
use keygate::keys::record::Record;
use keygate::keys::{file, listing};
use libfuzzer_sys::fuzz_target;

/// What the bytes 1 and 2 stand for: a key in plain text, and one as a digest.
const SECRETS: [&str; 2] = [
    "kg_7Hq2ZpXv9LmT4sRb8WcYd6NfJ3gKe5VuAoQ1iPxSzBt",
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
];

fn expand(part: &[u8]) -> Option<String> {
    let mut text = Vec::new();
    for &byte in part {
        match byte {
            1 | 2 => text.extend_from_slice(SECRETS[usize::from(byte) - 1].as_bytes()),
            byte => text.push(byte),
        }
    }
    String::from_utf8(text).ok()
}

fn holds_no_key(said: &str) {
    for secret in SECRETS {
        let digits = secret.strip_prefix("sha256:").unwrap_or(secret);
        let parts = (8..=digits.len()).map(|end| &digits[end - 8..end]);
        for part in parts {
            assert!(!said.contains(part), "a part of a key is in: {said}");
        }
    }
}

fn records(text: &str) -> (Vec<Record>, Vec<Fault>) {
    let mut records = Vec::new();
    let faults = file::parse(text, |record| records.push(record));
    for Fault { span, message, help } in &faults {
        if let Some(span) = span {
            assert!(text.get(span.clone()).is_some(), "{span:?} is no place in the text");
        }
        holds_no_key(message);
        holds_no_key(help.as_deref().unwrap_or_default());
    }
    (records, faults)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(text) = expand(bytes) else { return };
    let (found, _) = records(&text);
    for record in found {
        let written = file::write(&record);
        let (again, faults) = records(&written);
        assert!(faults.is_empty() && again.len() == 1, "{faults:?}");
        assert_eq!(file::write(&again[0]), written);
    }
    match listing::records(&text) {
        Ok(listed) => {
            holds_no_key(&listed.doubt().unwrap_or_default());
            drop(records(&listed.text));
        }
        Err(said) => holds_no_key(&said),
    }
});
