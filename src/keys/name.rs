//! The names of keys and of those to whom they belong: ids and consumers.

use super::format::{Form, form};
use crate::config::looks_random;
use crate::config::problem::Fault;

/// The longest id.
pub const ID_LIMIT: usize = 64;

/// The longest name of a consumer; often it comes from elsewhere.
pub const CONSUMER_LIMIT: usize = 128;

/// Reads an id. Nothing outside of keygate needs it, so it must not even look like a key.
///
/// # Errors
///
/// When it is none, without repeating it.
pub fn id(text: &str) -> Result<String, Fault> {
    check(text, "an id", ID_LIMIT)?;
    if looks_random(text) && !is_uuid(text) {
        return Err(Fault::new("this id looks like a key, and an id is no secret: logs show it").help(
            "if it is none, make it the `consumer`, and let the id be a word, such as \"alice-1\"",
        ));
    }
    Ok(text.to_owned())
}

/// Reads the name of a consumer. It often is what a user is called elsewhere, which may be made of
/// chance.
///
/// # Errors
///
/// When it is none, without repeating it.
pub fn consumer(text: &str) -> Result<String, Fault> {
    check(text, "a consumer", CONSUMER_LIMIT)?;
    Ok(text.to_owned())
}

/// What is said of a name that is a key.
pub fn is_the_key() -> Fault {
    Fault::new("this is the key itself, and a name is no secret: logs show it")
        .help("replace the key, and choose another name")
}

fn check(text: &str, what: &str, limit: usize) -> Result<(), Fault> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@:/+=-".contains(&byte);
    if !(1..=limit).contains(&text.len()) || !text.bytes().all(is_plain) {
        let message = format!("{what} is 1 to {limit} letters, digits and `._@:/+=-`");
        return Err(Fault::new(message));
    }
    if form(text.as_bytes()) != Form::Foreign {
        return Err(is_the_key());
    }
    Ok(())
}

/// Whether this is written as RFC 9562 writes a UUID.
fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["a", "alice-laptop", "a.b_c@d:e/f+g=h", "A1", &"a".repeat(64)] {
            assert!(id(name).is_ok() && consumer(name).is_ok(), "{name}");
        }
        for name in ["", " ", "a b", "a\n", "ä", "a\"", "a,b", "a#", "a\\", "a%", &"a".repeat(129)]
        {
            assert!(id(name).is_err() && consumer(name).is_err(), "{name}");
        }
        assert!(id(&"a".repeat(65)).is_err() && consumer(&"a".repeat(65)).is_ok());
    }

    #[test]
    fn a_key_is_no_name() {
        let key = super::super::format::generate("kg").unwrap();
        let typo = format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { 1 } else { 0 });
        for key in [&**key, &typo] {
            assert!(id(key).is_err() && consumer(key).is_err());
        }
    }

    #[test]
    fn what_looks_like_a_key_is_no_id_but_a_consumer() {
        for name in
            ["sk-9fK2mQ7xV4cL8hT3", "507f1f77bcf86cd799439011", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]
        {
            let fault = id(name).unwrap_err();
            assert!(!format!("{fault:?}").contains(name) && fault.help.is_some());
            assert!(consumer(name).is_ok(), "{name}");
        }
        assert!(id("f47ac10b-58cc-4372-a567-0e02b2c3d479").is_ok());
        assert!(id("f47ac10b-58cc-4372-a567-0e02b2c3d479-x").is_err());
    }
}
