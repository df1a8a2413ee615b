//! Removing a parameter is the same as splitting at `&`, dropping what has its decoded name, and
//! joining the rest; after that nothing is found, and a masked target holds no value of it.
#![no_main]

use keygate::query;
use libfuzzer_sys::fuzz_target;

const NAME: &str = "api_key";

fn unquote(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let hex = part.get(..2).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => bytes.extend([&[byte], &part.as_bytes()[2..]].concat()),
            None => bytes.extend(["%", part].concat().as_bytes()),
        }
    }
    bytes
}

fuzz_target!(|data: &[u8]| {
    let text: String = data.iter().map(|byte| char::from(byte % 128)).collect();
    let asked = text.replace(|c: char| !c.is_ascii_graphic() || c == '#', "");
    let is_key =
        |part: &&str| unquote(part.split('=').next().unwrap_or_default()) == NAME.as_bytes();
    let rest: Vec<_> = asked.split('&').filter(|part| !is_key(part)).collect();
    let expected = match rest.join("&") {
        rest if rest.is_empty() => "/p".to_owned(),
        rest => format!("/p?{rest}"),
    };
    let target = format!("/p?{asked}");
    let left = query::remove(target.as_bytes(), &[NAME]);
    assert_eq!(left.is_some(), asked.split('&').any(|part| is_key(&part)));
    assert_eq!(left.as_deref().unwrap_or(expected.as_bytes()), expected.as_bytes());
    let query = expected.split_once('?').map_or("", |(_, query)| query);
    assert_eq!(query::values(query.as_bytes(), NAME.as_bytes()).count(), 0);

    let mut masked = Vec::new();
    query::mask(target.as_bytes(), &[NAME], &mut masked);
    let found = query::values(&masked[3..], NAME.as_bytes());
    assert!(found.into_iter().all(|value| value.is_empty() || *value == *b"***"));
    assert_eq!(query::remove(&masked, &[NAME]), left);
});
