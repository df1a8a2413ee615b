//! What is said of a command line that is wrong, and nothing in it that may be a key.

use clap::error::{ContextKind, ContextValue, Error};

use crate::config::looks_random;

/// What stands for what may be a key.
const MASK: &str = "***";

/// Longer than what is written where a name or a number belongs.
const LONG: usize = 32;

/// The error without what may be a key: it is repeated on the standard error, which often is a log.
#[must_use]
pub fn without_keys(mut error: Error) -> Error {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand]
    {
        if let Some(ContextValue::String(text)) = error.get(kind)
            && may_be_key(text)
        {
            error.insert(kind, ContextValue::String(MASK.to_owned()));
            // It tells how to write the same in another way.
            error.remove(ContextKind::Suggested);
        }
    }
    error
}

fn may_be_key(text: &str) -> bool {
    looks_random(text) || text.len() > LONG && !text.starts_with("--")
}
