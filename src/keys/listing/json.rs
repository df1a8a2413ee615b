//! JSON that holds keys.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use crate::keys::file::string as quoted;

/// JSON whose strings are parts of the text, or wiped.
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(i64),
    Other(f64),
    Text(Text<'a>),
    List(Vec<Json<'a>>),
    Map(Vec<(Text<'a>, Json<'a>)>),
}

/// A string of JSON.
pub(super) enum Text<'a> {
    /// As it stands in the text.
    Plain(&'a str),
    /// One that was written with escapes.
    Escaped(Zeroizing<String>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Escaped(text) => text,
        }
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::Text(text) => Ok(text),
            _ => Err(D::Error::custom("a name is a string")),
        }
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json<'de>, E> {
        i64::try_from(value).map(Json::Number).map_err(|_| E::custom("a number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Other(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Text::Plain(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Text::Escaped(Zeroizing::new(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json<'de>, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Json::Map(map))
    }
}

/// The value of a field as TOML writes it. JSON has no dates: they are strings there.
pub(super) struct Toml<'a>(pub(super) &'a str, pub(super) &'a Json<'a>);

impl fmt::Display for Toml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DATES: [&str; 4] = ["created", "not_before", "expires", "until"];
        match self.1 {
            Json::Null => f.write_str("\"\""),
            Json::Bool(value) => value.fmt(f),
            Json::Number(value) => value.fmt(f),
            Json::Other(value) => fmt::Debug::fmt(value, f),
            Json::Text(text) if DATES.contains(&self.0) && is_date(text) => f.write_str(text),
            Json::Text(text) => f.write_str(&quoted(text)),
            Json::List(items) => {
                f.write_str("[")?;
                items.iter().try_for_each(|item| write!(f, "{},", Toml(self.0, item)))?;
                f.write_str("]")
            }
            Json::Map(fields) => {
                f.write_str("{")?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma}{} = {}", quoted(name), Toml(name, value))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Whether a string can stand for itself where a date is meant; whether it is one, the parser says.
fn is_date(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || b"-:.+TZtz ".contains(&byte);
    text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(plain)
}
