//! Why a key is not let in, as whoever keeps the keys is told; to clients all of it is the same.

use std::fmt;
use std::time::SystemTime;

use super::file::written_moment;
use super::format::{Form, form};

/// Why a key is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its checksum is wrong.
    Mistyped,
    /// Nobody has it; it was generated, and is whole.
    Unknown,
    /// Nobody has it; it was made elsewhere.
    Foreign,
    /// Its record is disabled.
    Disabled,
    /// Its time was over then.
    Ended(SystemTime),
    /// Its time comes then.
    NotYet(SystemTime),
    /// There is another in its place, beside which it was valid until then.
    Replaced(SystemTime),
}

impl Refusal {
    /// Why a key is let in nowhere that nobody has.
    pub fn of_stranger(key: &[u8]) -> Self {
        match form(key) {
            Form::Mistyped => Self::Mistyped,
            Form::Generated => Self::Unknown,
            Form::Foreign => Self::Foreign,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mistyped => f.write_str("there is a typo in the key: its checksum is wrong"),
            Self::Unknown => f.write_str(
                "the key is unknown; it is whole, so it was removed, or made for somewhere else",
            ),
            Self::Foreign => f.write_str("the key is unknown"),
            Self::Disabled => f.write_str("the key is disabled"),
            Self::Ended(at) => write!(f, "the key has ended at {}", written_moment(*at)),
            Self::NotYet(at) => write!(f, "the key begins at {}", written_moment(*at)),
            Self::Replaced(at) => {
                write!(f, "the key was replaced, and has ended at {}", written_moment(*at))
            }
        }
    }
}
