//! Values of the configuration that parse themselves, so that no later code has to check them again.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A key as it was written. It has no `Display` and no `==`; its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a key.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The key itself, for digesting.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// A duration with a unit, as in `"500ms"` or `"10s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|error| de::Error::custom(format!("not a duration: {error}")))
    }
}
