//! The form of generated keys: `PREFIX_`, 256 random bits and a checksum, all in base62.
//!
//! The checksum tells a typo from a stranger's key without a look-up, the prefix lets a scanner
//! find a leaked key, and a double click selects the whole.

use zeroize::{Zeroize, Zeroizing};

/// The digits of base62.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How many digits 256 bits need.
const RANDOM_LENGTH: usize = 43;

/// How many digits 32 bits need.
const CHECKSUM_LENGTH: usize = 6;

/// The longest prefix; a longer one only makes keys hard to handle.
const PREFIX_LIMIT: usize = 32;

/// What the form of a key says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It was generated here, and is whole.
    Generated,
    /// It looks generated, but its checksum is wrong: there is a typo in it.
    Mistyped,
    /// It was made elsewhere.
    Foreign,
}

/// A new random key.
///
/// # Errors
///
/// When the prefix is none, as a sentence, or the system gives no random bytes.
pub fn generate(prefix: &str) -> Result<Zeroizing<String>, String> {
    check_prefix(prefix)?;
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random)
        .map_err(|error| format!("the system gives no random bytes: {error}"))?;
    Ok(compose(prefix, &random))
}

/// What the form of a key says about it.
pub fn form(key: &[u8]) -> Form {
    let digits = key.len().checked_sub(RANDOM_LENGTH + CHECKSUM_LENGTH);
    let parts = digits.map(|digits| key.split_at(digits));
    let Some(([prefix @ .., b'_'], digits)) = parts else { return Form::Foreign };
    if !is_prefix(prefix) || !digits.iter().all(u8::is_ascii_alphanumeric) {
        return Form::Foreign;
    }
    let (body, found) = key.split_at(key.len() - CHECKSUM_LENGTH);
    if found == checksum(body) { Form::Generated } else { Form::Mistyped }
}

fn is_prefix(prefix: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=PREFIX_LIMIT).contains(&prefix.len()) && prefix.iter().all(is_plain)
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    if is_prefix(prefix.as_bytes()) {
        Ok(())
    } else {
        Err(format!("a prefix is 1 to {PREFIX_LIMIT} lower-case letters and digits"))
    }
}

fn compose(prefix: &str, random: &[u8; 32]) -> Zeroizing<String> {
    let length = prefix.len() + 1 + RANDOM_LENGTH + CHECKSUM_LENGTH;
    // The whole length at once: a string that grows leaves copies behind.
    let mut key = Zeroizing::new(String::with_capacity(length));
    key.push_str(prefix);
    key.push('_');
    let mut digits: [u8; RANDOM_LENGTH] = base62(random);
    key.extend(digits.iter().copied().map(char::from));
    digits.zeroize();
    let checksum = checksum(key.as_bytes());
    key.extend(checksum.map(char::from));
    key
}

/// Over the prefix too, so that a wrong prefix is a typo as well.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    base62(&crc32fast::hash(body).to_be_bytes())
}

/// A number, given by its bytes, as that many digits, the highest first.
fn base62<const BYTES: usize, const LENGTH: usize>(number: &[u8; BYTES]) -> [u8; LENGTH] {
    let mut number = Zeroizing::new(*number);
    let mut digits = [0; LENGTH];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0;
        for byte in number.iter_mut() {
            let value = rest << 8 | usize::from(*byte);
            // Less than 256, because `rest` is less than 62.
            *byte = (value / DIGITS.len()) as u8;
            rest = value % DIGITS.len();
        }
        *digit = DIGITS[rest];
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_is_fixed() {
        let zero = "kg_0000000000000000000000000000000000000000000";
        assert_eq!(&*compose("kg", &[0; 32]), &format!("{zero}{}", crc_digits(zero)));
        let key = compose("kg", &[255; 32]);
        assert_eq!(key.len(), 3 + 43 + 6);
        assert_eq!(key.capacity(), key.len(), "it never grew, and left no copy behind");
        assert_eq!(base62(&61_u32.to_be_bytes()), *b"00000z");
        assert_eq!(base62(&62_u32.to_be_bytes()), *b"000010");
        assert_eq!(base62(&u32::MAX.to_be_bytes()), *b"4gfFC3");
    }

    /// The checksum by another way: repeated division of a whole number.
    fn crc_digits(body: &str) -> String {
        let mut number = crc32fast::hash(body.as_bytes());
        let mut digits = String::new();
        for _ in 0..6 {
            digits.insert(0, char::from(DIGITS[(number % 62) as usize]));
            number /= 62;
        }
        digits
    }

    #[test]
    fn two_generated_keys_differ_and_are_whole() {
        let (one, other) = (generate("kg").unwrap(), generate("kg").unwrap());
        assert_ne!(*one, *other);
        assert_eq!(form(one.as_bytes()), Form::Generated);
        assert_eq!(form(other.as_bytes()), Form::Generated);
    }

    #[test]
    fn a_prefix_is_lower_case_letters_and_digits() {
        for prefix in ["", "K", "a-b", "a_b", "é", " ", &"a".repeat(33)] {
            assert!(generate(prefix).is_err(), "{prefix:?}");
        }
        assert!(generate("prod1").is_ok());
    }

    #[test]
    fn what_was_made_elsewhere_is_foreign() {
        let key = generate("kg").unwrap();
        for foreign in
            ["", "_", "kg_", "sk-abc", &key[3..], &key[..key.len() - 1], "key-for-user-A"]
        {
            assert_eq!(form(foreign.as_bytes()), Form::Foreign, "{foreign:?}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_whole_until_one_character_is_changed(
            random in any::<[u8; 32]>(),
            at in 0..52_usize,
            digit in 0..62_usize,
        ) {
            let key = compose("kg", &random);
            prop_assert_eq!(form(key.as_bytes()), Form::Generated);
            let mut typo = key.as_bytes().to_vec();
            typo[at] = DIGITS[digit];
            if typo != key.as_bytes() {
                prop_assert_ne!(form(&typo), Form::Generated);
            }
        }

        #[test]
        fn base62_loses_nothing(random in any::<[u8; 32]>()) {
            let digits: [u8; RANDOM_LENGTH] = base62(&random);
            let mut number = [0_u8; 32];
            for digit in digits {
                let mut carry = DIGITS.iter().position(|&known| known == digit).unwrap();
                for byte in number.iter_mut().rev() {
                    carry += usize::from(*byte) * 62;
                    *byte = (carry & 255) as u8;
                    carry >>= 8;
                }
                prop_assert_eq!(carry, 0);
            }
            prop_assert_eq!(number, random);
        }
    }
}
