//! The settings of `key-auth`, as they are written.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use toml::Spanned;

use crate::config::types::{Period, Secret};
use crate::keys::digest::Digest;

/// The settings of one `key-auth` plugin; `Settings::build` says what is wrong with them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyAuthSettings {
    /// The request header that carries the key.
    pub header: Option<Spanned<String>>,
    /// With `header`: the value is this scheme, in any case, and the key.
    pub scheme: Option<Spanned<String>>,
    /// The query parameter that carries the key.
    pub query: Option<Spanned<String>>,
    /// Several places for the key, the first that is present decides.
    pub sources: Option<Spanned<Vec<Spanned<String>>>>,
    /// Keys in plain text, or `sha256:` and the hexadecimal digits of their digest.
    pub keys: Option<Spanned<Vec<Spanned<Secret>>>>,
    /// A file of keys with names, limits and dates.
    pub keys_file: Option<Spanned<String>>,
    /// A program, and its arguments, that prints keys.
    pub keys_command: Option<Spanned<Vec<String>>>,
    /// How long it may take.
    pub keys_command_timeout: Option<Spanned<Period>>,
    /// How often it is asked again.
    pub keys_command_interval: Option<Spanned<Period>>,
    /// Whether the credential is removed before forwarding.
    #[serde(default)]
    pub hide_credentials: bool,
    /// How long the answer to an invalid key waits.
    pub delay: Option<Spanned<Period>>,
    /// How many invalid keys a client address may send: `N/duration`.
    pub max_failures: Option<Spanned<String>>,
    /// Whether a CORS preflight goes on without a key.
    #[serde(default)]
    pub allow_preflight: bool,
    /// Whether a response, or a WebSocket, that a key opened ends when the key does.
    #[serde(default)]
    pub cut_streams: bool,
    /// The realm of the challenge.
    pub realm: Option<Spanned<String>>,
    /// How errors are answered.
    pub errors: Option<Errors>,
}

impl KeyAuthSettings {
    /// Settings that stand in no file; faults in them have no place.
    pub fn new<'a>(
        sources: impl IntoIterator<Item = &'a str>,
        keys: impl IntoIterator<Item = Secret>,
    ) -> Self {
        let sources = sources.into_iter().map(|source| nowhere(source.to_owned())).collect();
        let keys = keys.into_iter().map(nowhere).collect();
        Self { sources: Some(nowhere(sources)), keys: Some(nowhere(keys)), ..Self::default() }
    }
}

impl KeyAuthSettings {
    /// Where the keys in plain text stand.
    pub(super) fn plain_keys(&self) -> impl Iterator<Item = Range<usize>> {
        let keys = self.keys.iter().flat_map(|keys| keys.get_ref());
        keys.filter(|key| !Digest::is_meant(key.get_ref().expose())).map(Spanned::span)
    }
}

/// Gives a value that stands in no file the empty span, which `Fault`s leave out.
pub fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// How errors are answered: a format alone, or a table with own messages.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    /// The form of the body: `text` or `json`.
    pub format: ErrorFormat,
    /// What is said when there is no key.
    pub missing: Option<String>,
    /// What is said when the key is not valid.
    pub invalid: Option<String>,
}

/// The form of an error's body.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ErrorFormat {
    /// The plain sentence.
    #[default]
    Text,
    /// One object that FastAPI clients and OpenAI's SDKs read.
    Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorTable {
    #[serde(default)]
    format: ErrorFormat,
    missing: Option<String>,
    invalid: Option<String>,
}

impl<'de> Deserialize<'de> for Errors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ErrorsVisitor)
    }
}

/// Reads either form by hand: an untagged enum would not say what is wrong.
struct ErrorsVisitor;

impl<'de> Visitor<'de> for ErrorsVisitor {
    type Value = Errors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"text\", \"json\" or a table of `format`, `missing` and `invalid`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Errors, E> {
        let format = match text {
            "text" => ErrorFormat::Text,
            "json" => ErrorFormat::Json,
            _ => return Err(E::unknown_variant(text, &["text", "json"])),
        };
        Ok(Errors { format, ..Errors::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Errors, A::Error> {
        let ErrorTable { format, missing, invalid } =
            ErrorTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Errors { format, missing, invalid })
    }
}
