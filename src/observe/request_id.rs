//! The name of one request in everybody's logs.

use http::HeaderValue;

use crate::fields::Fields;
use crate::headers::X_REQUEST_ID;

/// Either a new name or the one that a trusted proxy sent.
#[derive(Clone, Debug)]
pub(crate) enum RequestId {
    /// 128 random bits in hexadecimal. It is a name, not a secret.
    New([u8; 32]),
    /// What was sent.
    Sent(HeaderValue),
}

/// The digits of each byte, the lower ones first: two at a time take half the instructions.
const DIGITS: [[u8; 2]; 256] = {
    const ALL: &[u8; 16] = b"0123456789abcdef";
    let (mut digits, mut byte) = ([[0; 2]; 256], 0);
    while byte < digits.len() {
        digits[byte] = [ALL[byte & 15], ALL[byte >> 4]];
        byte += 1;
    }
    digits
};

/// Bits in hexadecimal, the lowest first.
pub(super) fn digits(bits: u128) -> [u8; 32] {
    let mut digits = [0; 32];
    for (two, byte) in digits.as_chunks_mut().0.iter_mut().zip(bits.to_le_bytes()) {
        *two = DIGITS[usize::from(byte)];
    }
    digits
}

impl RequestId {
    /// A new name, from random bits.
    pub(crate) fn new(bits: u128) -> Self {
        Self::New(digits(bits))
    }

    /// The name that a trusted proxy sent with a request.
    pub(crate) fn of(headers: &Fields, trusted: bool) -> Option<Self> {
        let sent = if trusted { headers.get(&X_REQUEST_ID) } else { None };
        sent.and_then(Self::sent)
    }

    /// A name that was sent, if it can stand in a log line and in a header field as it is.
    fn sent(value: &HeaderValue) -> Option<Self> {
        const MAX_LENGTH: usize = 128;
        let id = value.as_bytes();
        let fits = (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        fits.then(|| Self::Sent(value.clone()))
    }

    /// As it stands in a log line.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::New(digits) => digits,
            Self::Sent(value) => value.as_bytes(),
        }
    }

    /// As it stands in a header field.
    pub(crate) fn value(&self) -> HeaderValue {
        match self {
            Self::New(digits) => {
                HeaderValue::from_bytes(digits).unwrap_or(HeaderValue::from_static("-"))
            }
            Self::Sent(value) => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_all_its_bits_in_hexadecimal() {
        let id = RequestId::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        // The lowest bits come first.
        assert_eq!(id.as_bytes(), b"fedcba9876543210fedcba9876543210");
        assert_eq!(id.value(), "fedcba9876543210fedcba9876543210");
    }

    #[track_caller]
    fn check(sent: &str, is_taken: bool) {
        let id = RequestId::sent(&HeaderValue::from_bytes(sent.as_bytes()).expect("a value"));
        assert_eq!(id.map(|id| id.value() == *sent && id.as_bytes() == sent.as_bytes()), {
            is_taken.then_some(true)
        });
    }

    #[test]
    fn a_name_that_was_sent_stays_if_it_fits_into_a_line() {
        check("1", true);
        check("!id-1_2.3~", true);
        check(&"a".repeat(128), true);
        check(&"a".repeat(129), false);
        check("", false);
        check("a b", false);
        check("a\tb", false);
        check("\u{e9}", false);
    }
}
