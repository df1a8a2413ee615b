//! What is kept of a key.

use std::fmt;
use std::ops::BitAnd;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// What a digest begins with where it is written.
pub const SCHEME: &str = "sha256:";

/// How many bytes a digest has.
pub const LENGTH: usize = 32;

/// The SHA-256 of a key. It has no `==` and no `Display`: it is compared in constant time, and a
/// short key could be guessed from it.
#[derive(Clone, Copy)]
pub struct Digest([u8; LENGTH]);

impl Digest {
    /// Digests a key.
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Whether a text is a digest rather than a key; it may still be a wrong one.
    pub fn is_meant(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
    }

    /// Reads `sha256:` and 64 hexadecimal digits in any case.
    ///
    /// # Errors
    ///
    /// When it is anything else; the sentence holds nothing of it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (digits, rest) = text.strip_prefix(SCHEME).unwrap_or_default().as_bytes().as_chunks();
        let pairs: Option<Vec<u8>> = digits.iter().map(byte).collect();
        match pairs.map(<[u8; LENGTH]>::try_from) {
            Some(Ok(digest)) if rest.is_empty() => Ok(Self(digest)),
            _ => Err("a digest is \"sha256:\" and 64 hexadecimal digits"),
        }
    }

    /// Whether it is that of no key: of nothing, or of a line without anything on it.
    pub fn is_of_nothing(&self) -> bool {
        (Self::of(b"").ct_eq(self) | Self::of(b"\n").ct_eq(self)).into()
    }

    /// How it is written in a configuration.
    pub fn written(&self) -> String {
        let mut text = SCHEME.to_owned();
        for byte in self.0 {
            text.extend(
                [byte >> 4, byte & 15]
                    .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])),
            );
        }
        text
    }

    /// A name for a key that has none: a quarter of the digits, so that no two keys meet. Whoever
    /// reads it can try guesses against it, as against the whole digest.
    pub fn name(&self) -> String {
        let written = self.written();
        let digits = &written[SCHEME.len()..];
        format!("key-{}-{}", &digits[..8], &digits[8..16])
    }

    /// A number that stands for the key where requests are counted: it is as random as the digest.
    pub fn tag(&self) -> u64 {
        let [first, ..] = self.0.as_chunks().0 else { return 0 };
        u64::from_ne_bytes(*first)
    }

    /// The bytes, for looking up.
    pub(super) fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

/// The byte that two hexadecimal digits stand for.
fn byte(pair: &[u8; 2]) -> Option<u8> {
    let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? << 4 | low?).ok()
}

impl ConstantTimeEq for Digest {
    fn ct_eq(&self, other: &Self) -> Choice {
        // Eight bytes at a time: one at a time takes 270 instructions more.
        let [these, those] = [self, other].map(|digest| digest.0.as_chunks().0);
        let same = these
            .iter()
            .zip(those)
            .map(|(this, that)| u64::from_ne_bytes(*this).ct_eq(&u64::from_ne_bytes(*that)));
        same.fold(Choice::from(1), BitAnd::bitand)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B.1.
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_is_written_as_it_is_read() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.written(), ABC);
        for text in [ABC.to_owned(), ABC.to_uppercase().replace("SHA", "sha")] {
            assert!(bool::from(Digest::parse(&text).unwrap().ct_eq(&digest)));
        }
        assert!(!bool::from(Digest::of(b"abd").ct_eq(&digest)));
        assert_eq!(format!("{digest:?}"), "[secret]");
    }

    #[test]
    fn digests_that_differ_in_one_bit_are_different() {
        let digest = Digest::of(b"abc");
        for bit in 0..8 * LENGTH {
            let mut other = digest;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!bool::from(other.ct_eq(&digest)), "bit {bit}");
        }
    }

    #[track_caller]
    fn check_refused(text: &str) {
        let error = Digest::parse(text).expect_err("it is no digest");
        assert!(error.contains("64"));
    }

    #[test]
    fn what_is_not_64_digits_is_no_digest() {
        check_refused("");
        check_refused("sha256:");
        check_refused(&ABC["sha256:".len()..]);
        check_refused(&ABC[..ABC.len() - 1]);
        check_refused(&ABC[..ABC.len() - 2]);
        check_refused(&format!("{ABC}0"));
        check_refused(&format!("{ABC}00"));
        check_refused(&format!("{} ", &ABC[..ABC.len() - 1]));
        check_refused(&ABC.replace("ba", "+a"));
        check_refused(&ABC.replace("ba", "gg"));
        check_refused(&ABC.replace("sha256", "SHA256"));
        check_refused(&ABC.replace("sha256", "sha512"));
        check_refused(&format!("{}é", &ABC[..ABC.len() - 2]));
    }
}
