//! The query of a target: finding, removing and masking parameters without touching any other
//! byte; pure.
//!
//! A query is split at `&`, and a parameter at its first `=`. Names and values are compared after
//! one percent-decoding; a `%` without two hexadecimal digits stays as it is, and so does a `+`.

use std::borrow::Cow;

/// The values of every parameter with this decoded name, decoded, in order. A parameter without
/// `=` has an empty value.
pub fn values<'a>(query: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = Cow<'a, [u8]>> {
    query
        .split(|&byte| byte == b'&')
        .map(split)
        .filter(move |(written, _)| is_named(written, name))
        .map(|(_, value)| decode(value))
}

/// The target without the parameters whose decoded name is one of `names`; none if it has none.
///
/// What is left is joined with `&` again, so that every other byte and the order stay. Nothing is
/// left of the `?` when the rest is empty, and a fragment counts as no part of the query.
pub fn remove<N: AsRef<[u8]>>(target: &[u8], names: &[N]) -> Option<Vec<u8>> {
    let (path, query) = split_target(target)?;
    if !parameters(query).any(|parameter| is_one_of(parameter, names)) {
        return None;
    }
    let end = query.iter().position(|&byte| byte == b'#').unwrap_or(query.len());
    let mut left = path.to_vec();
    for parameter in parameters(query).filter(|parameter| !is_one_of(parameter, names)) {
        left.push(b'&');
        left.extend_from_slice(parameter);
    }
    match left.get_mut(path.len()..) {
        Some([first, _, ..]) => *first = b'?',
        _ => left.truncate(path.len()),
    }
    left.extend_from_slice(&query[end..]);
    Some(left)
}

/// Writes the target with `***` for the value of every parameter that mentions one of `names` as a
/// word of its own, however it is spelled: clients put a key in the wrong place, or under a name
/// that is not quite right, and a log must not hold it then either.
pub fn mask<N: AsRef<[u8]>>(target: &[u8], names: &[N], into: &mut Vec<u8>) {
    let Some((path, query)) = split_target(target) else {
        into.extend_from_slice(target);
        return;
    };
    into.extend_from_slice(path);
    let mut before = b'?';
    for parameter in query.split(|&byte| byte == b'&') {
        into.push(before);
        before = b'&';
        let is_secret = || names.iter().any(|name| mentions(parameter, name.as_ref()));
        match parameter.iter().position(|&byte| byte == b'=') {
            Some(at) if at + 1 < parameter.len() && is_secret() => {
                into.extend_from_slice(&parameter[..=at]);
                into.extend_from_slice(b"***");
            }
            // An escaped `=`, or another sign in its place.
            None if !is_one_of(parameter, names) && is_secret() => into.extend_from_slice(b"***"),
            _ => into.extend_from_slice(parameter),
        }
    }
}

/// Whether a parameter, decoded, holds the name as a word: in any case, and with any byte that is
/// no letter or digit for any other.
fn mentions(parameter: &[u8], name: &[u8]) -> bool {
    let is_alike = |byte: u8, expected: u8| {
        let between = |byte: u8| !byte.is_ascii_alphanumeric();
        byte.eq_ignore_ascii_case(&expected) || between(byte) && between(expected)
    };
    let mut rest = Decoded { rest: parameter };
    let mut last = None;
    loop {
        let mut word = rest.clone();
        let begins = last.is_none_or(|last: u8| !last.is_ascii_alphanumeric());
        if begins
            && name.iter().all(|&byte| word.next().is_some_and(|next| is_alike(next, byte)))
            && word.next().is_none_or(|next| !next.is_ascii_alphanumeric())
        {
            return true;
        }
        last = rest.next();
        if last.is_none() {
            return false;
        }
    }
}

/// The parameters before a fragment.
fn parameters(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = query.iter().position(|&byte| byte == b'#').unwrap_or(query.len());
    query[..end].split(|&byte| byte == b'&')
}

/// Splits at the first `?`.
fn split_target(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = target.iter().position(|&byte| byte == b'?')?;
    Some((&target[..at], &target[at + 1..]))
}

/// Splits a parameter into name and value.
fn split(parameter: &[u8]) -> (&[u8], &[u8]) {
    match parameter.iter().position(|&byte| byte == b'=') {
        Some(at) => (&parameter[..at], &parameter[at + 1..]),
        None => (parameter, b""),
    }
}

fn is_one_of<N: AsRef<[u8]>>(parameter: &[u8], names: &[N]) -> bool {
    let (written, _) = split(parameter);
    names.iter().any(|name| is_named(written, name.as_ref()))
}

/// Compares without allocating: most names have no escapes, and most are another's.
fn is_named(written: &[u8], name: &[u8]) -> bool {
    Decoded { rest: written }.eq(name.iter().copied())
}

/// Decodes once; borrowed where there is nothing to decode.
pub fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    // The whole length at once: a buffer that grows would leave parts of a key behind.
    let mut decoded = Vec::with_capacity(text.len());
    decoded.extend(Decoded { rest: text });
    Cow::Owned(decoded)
}

/// The bytes of a text, its escapes decoded.
#[derive(Clone)]
struct Decoded<'a> {
    rest: &'a [u8],
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        if first == b'%'
            && let [high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            self.rest = after;
            return Some(high << 4 | low);
        }
        self.rest = rest;
        Some(first)
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: &[&str] = &["api_key", "k"];

    #[track_caller]
    fn check_values(query: &str, expected: &[&str]) {
        let found: Vec<_> = values(query.as_bytes(), b"api_key").collect();
        let expected: Vec<_> = expected.iter().map(|value| value.as_bytes()).collect();
        assert_eq!(found, expected, "{query}");
    }

    #[test]
    fn names_and_values_are_decoded_once() {
        check_values("api_key=K1", &["K1"]);
        check_values("a=1&api_key=K1&b=2", &["K1"]);
        check_values("api%5Fkey=K1&%61%70%69_key=K2", &["K1", "K2"]);
        check_values("api_key=k1%5F9f%2b+", &["k1_9f++"]);
        check_values("api_key=k1%255F", &["k1%5F"]);
        check_values(
            "api_key=K1%&api_key=K1%2&api_key=%zz&api_key=%",
            &["K1%", "K1%2", "%zz", "%"],
        );
        check_values("api_key", &[""]);
        check_values("api_key=", &[""]);
        check_values("api_key=a=b", &["a=b"]);
        check_values("=K1", &[]);
        check_values("api_key[]=K1&api_key.x=K1&API_KEY=K1&xapi_key=K1&api_keyx=K1", &[]);
        check_values("api_key%20=K1&%20api_key=K1&amp;api_key=K1&a=b?api_key=K1", &[]);
        check_values("a=1;api_key=K1", &[]);
        check_values("api_key=K1;a=1", &["K1;a=1"]);
        check_values("api%255Fkey=K1", &[]);
    }

    #[track_caller]
    fn check_remove(target: &str, expected: Option<&str>) {
        let left = remove(target.as_bytes(), NAMES);
        assert_eq!(left.as_deref(), expected.map(str::as_bytes), "{target}");
    }

    #[test]
    fn removing_keeps_every_other_byte_and_the_order() {
        check_remove("/q/x?api_key=K1", Some("/q/x"));
        check_remove("/q/x?a=1&api_key=K1&b=2", Some("/q/x?a=1&b=2"));
        check_remove("/q/x?api_key=K1&a=1", Some("/q/x?a=1"));
        check_remove("/q/x?a=1&api_key=K1", Some("/q/x?a=1"));
        check_remove("/?time[0:1:0]&api_key=K1", Some("/?time[0:1:0]"));
        check_remove("/?c=valu%651&api_key=K1&a=valu%653", Some("/?c=valu%651&a=valu%653"));
        check_remove(
            "/?z=%2F%2f+%20&a=&b&=&%zz=1&api_key=K1&z=2",
            Some("/?z=%2F%2f+%20&a=&b&=&%zz=1&z=2"),
        );
        check_remove("/?&&a=1&api_key=K1&&b=2&", Some("/?&&a=1&&b=2&"));
        check_remove("/?&&api_key=K1&&", Some("/?&&&"));
        check_remove("/?api_key=K1&", Some("/"));
        check_remove("/?&api_key=K1", Some("/"));
        check_remove("/?api_key=K1&api%5fkey=K2&k&%6b=", Some("/"));
        check_remove("/?note=K1&api_key=K1", Some("/?note=K1"));
        check_remove("/?a?api_key=1&api_key=K1", Some("/?a?api_key=1"));
        check_remove("https://a.test/p?api_key=K1&z=1#part", Some("https://a.test/p?z=1#part"));
        check_remove(
            "https://a.test/p?api_key=K1#part&api_key=2",
            Some("https://a.test/p#part&api_key=2"),
        );
        check_remove("/?", None);
        check_remove("/q/x", None);
        check_remove("/q/x?a=1&key=2", None);
        check_remove("/q/x;api_key=1", None);
    }

    #[track_caller]
    fn check_mask(target: &str, expected: &str) {
        let mut into = b"GET ".to_vec();
        mask(target.as_bytes(), NAMES, &mut into);
        assert_eq!(String::from_utf8(into).unwrap(), format!("GET {expected}"));
    }

    #[test]
    fn masking_hides_the_value_of_every_credential_and_nothing_else() {
        check_mask("/x", "/x");
        check_mask("/x?", "/x?");
        check_mask("/x?a=1&&b", "/x?a=1&&b");
        check_mask("/x?api_key=K1", "/x?api_key=***");
        check_mask("/x?a=1&%61pi_key=K1&k=&k=2&b=3", "/x?a=1&%61pi_key=***&k=&k=***&b=3");
        check_mask("/x?k=1;2=3?4", "/x?k=***");
        check_mask("/x?k", "/x?k");
        let others = "/x?ak=1&ka=2&k2=3&a=ok&apixkey=4";
        check_mask(others, others);
    }

    #[test]
    fn masking_hides_the_value_under_a_name_that_is_not_quite_right() {
        for parameter in [
            "API_KEY",
            "Api-Key",
            "api.key",
            "api_key[]",
            "api_key.x",
            "api_key%20",
            "+api_key",
            "amp;api_key",
            "api%2dKEY",
        ] {
            check_mask(&format!("/x?{parameter}=K1&b=2"), &format!("/x?{parameter}=***&b=2"));
        }
        check_mask("/x?a=1;api_key=K1", "/x?a=***");
        check_mask("/x?a=b?api_key=K1", "/x?a=***");
        check_mask("/x?a=b%26api_key=K1&b", "/x?a=***&b");
        check_mask("/x?api_key%3DK1&b", "/x?***&b");
        check_mask("/x?api_key:K1", "/x?***");
    }

    /// Parameters that are none of the names, and those that are, in every spelling of them.
    fn parameter() -> impl Strategy<Value = (String, bool)> {
        prop_oneof![
            "[a-z%&=?+2-6]{0,8}".prop_map(|text| (text.replace('&', ""), false)),
            "(=[k%]{0,3})?".prop_map(|value| (format!("%6B{value}"), true)),
            "(=[k%]{0,3})?".prop_map(|value| (format!("api%5fkey{value}"), true)),
            "(=[k%]{0,3})?".prop_map(|value| (format!("k{value}"), true)),
        ]
        .prop_filter("a plain parameter has another name", |(text, secret)| {
            let name = decode(text.split('=').next().unwrap_or_default().as_bytes()).into_owned();
            *secret == NAMES.iter().any(|known| known.as_bytes() == name)
        })
    }

    proptest! {
        #[test]
        fn what_is_not_the_credential_stays_byte_for_byte(
            parameters in prop::collection::vec(parameter(), 1..8)
        ) {
            let join = |keep: &dyn Fn(bool) -> bool| {
                let kept = parameters.iter().filter(|(_, secret)| keep(*secret));
                kept.map(|(text, _)| text.as_str()).collect::<Vec<_>>().join("&")
            };
            let target = format!("/p?{}", join(&|_| true));
            let left = remove(target.as_bytes(), NAMES);
            if parameters.iter().any(|(_, secret)| *secret) {
                let rest = join(&|secret| !secret);
                let mark = if rest.is_empty() { "" } else { "?" };
                prop_assert_eq!(left, Some(format!("/p{mark}{rest}").into_bytes()));
            } else {
                prop_assert_eq!(left, None);
            }
        }

        #[test]
        fn nothing_is_left_to_find_after_removing(target in "/[?&=%a-k_256BbFf#]{0,40}") {
            if let Some(left) = remove(target.as_bytes(), NAMES) {
                prop_assert_eq!(remove(&left, NAMES), None);
                prop_assert!(left.len() < target.len());
            }
        }

        #[test]
        fn decoding_undoes_encoding(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let encoded: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decode(encoded.as_bytes()).into_owned(), bytes);
        }
    }
}
