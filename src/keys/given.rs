//! Keys as somebody gives them: in plain text, or as digests.

use subtle::ConstantTimeEq;

use super::digest::Digest;
use super::format::{self, Form};

/// The longest plain key; a longer one would not fit into a request's head with the rest.
const KEY_LIMIT: usize = 4096;

/// Whether a line of a list of keys is meant to be one: a remark that was taken for a key could be
/// guessed by anybody.
pub fn is_meant(line: &str) -> bool {
    !matches!(line.trim_start().bytes().next(), None | Some(b'#'))
}

/// The digest of a key in either form.
///
/// # Errors
///
/// When it is none, or no request could carry it: the rest of a sentence, with nothing of the key.
pub fn digest(text: &str) -> Result<Digest, String> {
    if Digest::is_meant(text) {
        let digest = Digest::parse(text).map_err(|message| format!("is no digest: {message}"))?;
        let of_nothing = Digest::of(b"").ct_eq(&digest) | Digest::of(b"\n").ct_eq(&digest);
        return if bool::from(of_nothing) {
            Err("is the digest of an empty key".to_owned())
        } else {
            Ok(digest)
        };
    }
    match text.trim() {
        "" if text.is_empty() => Err("is empty".to_owned()),
        "" => Err("is blank".to_owned()),
        trimmed if trimmed.len() < text.len() => Err("has blanks at its ends".to_owned()),
        _ if text.bytes().any(|byte| byte.is_ascii_control()) => {
            Err("holds a control character".to_owned())
        }
        _ if !text.is_ascii() => Err("holds a character beyond ASCII".to_owned()),
        _ if format::form(text.as_bytes()) == Form::Mistyped => {
            Err("looks generated, but its checksum is wrong: there is a typo in it".to_owned())
        }
        _ if text.len() > KEY_LIMIT => Err(format!("is longer than {KEY_LIMIT} bytes")),
        _ => Ok(Digest::of(text.as_bytes())),
    }
}
