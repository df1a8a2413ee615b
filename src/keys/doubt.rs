//! What is doubtful about a key that somebody chose.

use zeroize::Zeroizing;

use super::format::{self, Form};

/// A key below this length could be guessed, whatever it is made of.
const SHORT: usize = 16;

/// A key of fewer different characters is a pattern rather than chance: of 16 random hexadecimal
/// digits that is one in some hundreds.
const VARIETY: usize = 7;

/// What examples have in the place of a key; letters and digits only.
const PLACEHOLDERS: &[&str] = &[
    "changeme",
    "changethis",
    "insertkey",
    "password",
    "placeholder",
    "replaceme",
    "replacethis",
    "secretkey",
    "yourapikey",
    "yourkey",
    "yoursecret",
];

/// What is doubtful about a key: the rest of a sentence, with nothing of the key in it.
pub fn doubt(key: &str) -> Option<&'static str> {
    match format::form(key.as_bytes()) {
        Form::Generated | Form::Mistyped => None,
        Form::Foreign if key.len() < SHORT => {
            Some("is shorter than 16 characters and could be guessed")
        }
        Form::Foreign if is_placeholder(key) => {
            Some("looks like the placeholder of an example and could be guessed")
        }
        Form::Foreign if variety(key) < VARIETY => {
            Some("is made of few different characters and could be guessed")
        }
        Form::Foreign => None,
    }
}

fn is_placeholder(key: &str) -> bool {
    let mut letters = Zeroizing::new(Vec::with_capacity(key.len()));
    letters.extend(key.bytes().filter(u8::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()));
    let holds = |word: &str| letters.windows(word.len()).any(|part| part == word.as_bytes());
    PLACEHOLDERS.iter().any(|word| holds(word))
}

fn variety(key: &str) -> usize {
    (0..=u8::MAX).filter(|byte| key.as_bytes().contains(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, expected: &str) {
        let doubt = doubt(key);
        let right = doubt.is_some_and(|doubt| doubt.contains(expected) && !expected.is_empty());
        assert!(right || (doubt.is_none() && expected.is_empty()), "{key}: {doubt:?}");
    }

    #[test]
    fn what_anybody_could_guess_is_doubtful() {
        check("", "shorter");
        check("changeme", "shorter");
        check("fifteen-letters", "shorter");
        check("please-change-me-before-use", "placeholder");
        check("YOUR_API_KEY_GOES_HERE", "placeholder");
        check("aaaaaaaaaaaaaaaaaaaaaaaa", "few different");
        check("0123401234012340123401234", "few different");
        check("1234561234561234", "few different");
        check("1234567123456712", "");
        check("f47ac10b-58cc-4372-a567-0e02b2c3d479", "");
        check("correct horse battery staple", "");
        check("k1_9f86d081884c7d659a2feaa0c55ad015", "");
    }

    #[test]
    fn a_generated_key_is_not_doubtful() {
        check(&format::generate("kg").unwrap(), "");
    }
}
