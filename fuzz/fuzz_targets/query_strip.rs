//! Removing a parameter is the same as splitting at `&`, dropping what has its decoded name, and
//! joining the rest; after that nothing is found. In a masked target stands no value of a parameter
//! that mentions the name as a word, whatever stands between the letters.
#![no_main]

use keygate::query;
use keygate_fuzz::rules;
use libfuzzer_sys::fuzz_target;

const NAME: &str = "api_key";

fn mentions_key(part: &str) -> bool {
    let read = rules::unquote(part).to_ascii_lowercase().into_iter();
    let words: String =
        read.map(|byte| if byte.is_ascii_alphanumeric() { byte.into() } else { ' ' }).collect();
    format!(" {words} ").contains(" api key ")
}

fuzz_target!(|data: &[u8]| {
    let text: String = data.iter().map(|byte| char::from(byte % 128)).collect();
    let asked = text.replace(|c: char| !c.is_ascii_graphic() || c == '#', "");
    let target = format!("/p?{asked}");
    let expected = rules::without(&target, NAME);
    let left = query::remove(target.as_bytes(), &[NAME]);
    assert_eq!(left.is_some(), !rules::values(&asked, NAME).is_empty());
    assert_eq!(left.as_deref().unwrap_or(target.as_bytes()), expected.as_bytes());
    let query = expected.split_once('?').map_or("", |(_, query)| query);
    assert_eq!(query::values(query.as_bytes(), NAME.as_bytes()).count(), 0);

    let mask = |part: &str| match part.split_once('=') {
        Some((name, value)) if !value.is_empty() && mentions_key(part) => format!("{name}=***"),
        None if rules::unquote(part) != NAME.as_bytes() && mentions_key(part) => "***".to_owned(),
        _ => part.to_owned(),
    };
    let expected: Vec<_> = asked.split('&').map(mask).collect();
    let mut masked = Vec::new();
    query::mask(target.as_bytes(), &[NAME], &mut masked);
    assert_eq!(String::from_utf8_lossy(&masked), format!("/p?{}", expected.join("&")));
});
