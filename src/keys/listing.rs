//! Keys as a command prints them: one a line, or as JSON.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Write};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::digest::Digest;
use super::doubt::doubt;
use super::file::string as quoted;
use super::given;

/// Writes what a command printed as the text of a keys file, with digests in the place of keys. The
/// records are in the order of the entries.
///
/// Lines hold a key each, in plain text or as a digest. JSON is an object of keys, or of records,
/// by their ids; or a list of them. A record is one of a keys file; it may have `key`, in plain
/// text, in the place of `hash`. A key without an id is named by its digest, and so alike whatever
/// stands before it. One that could be guessed is named by its place: logs show ids, and whoever
/// reads them could try guesses.
///
/// # Errors
///
/// When it is neither; the sentence holds nothing of it.
pub fn records(text: &str) -> Result<String, String> {
    let text = text.trim_start_matches('\u{feff}');
    if !text.trim_start().starts_with(['{', '[']) {
        return lines(text);
    }
    let json: Json<'_> = serde_json::from_str(text).map_err(|error| {
        format!("it is no JSON, at line {}, column {}", error.line(), error.column())
    })?;
    let mut out = String::new();
    match json {
        Json::Map(entries) => {
            for (number, (id, entry)) in (1..).zip(&entries) {
                record(&mut out, Some(id), entry)
                    .map_err(|message| format!("entry {number} {message}"))?;
            }
        }
        Json::List(entries) => {
            let mut unnamed = Unnamed::default();
            for (number, entry) in (1..).zip(&entries) {
                let written = match entry {
                    Json::Text(key) => unnamed.write(&mut out, key, || format!("entry-{number}")),
                    record_of_it => record(&mut out, None, record_of_it),
                };
                written.map_err(|message| format!("entry {number} {message}"))?;
            }
        }
        _ => return Err("it is neither a list nor an object".to_owned()),
    }
    Ok(out)
}

fn lines(text: &str) -> Result<String, String> {
    let (mut out, mut unnamed) = (String::new(), Unnamed::default());
    let lines = (1..).zip(text.lines().map(str::trim));
    for (number, line) in lines.filter(|(_, line)| given::is_meant(line)) {
        let written = unnamed.write(&mut out, line, || format!("line-{number}"));
        written.map_err(|message| format!("line {number} {message}"))?;
    }
    Ok(out)
}

/// Keys without an id.
#[derive(Default)]
struct Unnamed {
    names: HashSet<String>,
}

impl Unnamed {
    /// Writes one; the error is the rest of a sentence.
    fn write(
        &mut self,
        out: &mut String,
        key: &str,
        place: impl Fn() -> String,
    ) -> Result<(), String> {
        let hash = given::digest(key)?;
        if !self.names.insert(hash.name()) {
            return Err("is the same key as one before it".to_owned());
        }
        let is_guessable = !Digest::is_meant(key) && doubt(key).is_some();
        let id = if is_guessable { place() } else { hash.name() };
        entry(out, Some(&id), &hash.written());
        Ok(())
    }
}

/// Begins a record.
fn entry(out: &mut String, id: Option<&str>, hash: &str) {
    out.push_str("[[key]]\n");
    let id = id.map(|id| ("id", id));
    for (name, value) in id.into_iter().chain([("hash", hash)]) {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{name} = {}", quoted(value));
    }
}

/// Writes a key or a record; the error is the rest of a sentence.
fn record(out: &mut String, id: Option<&str>, json: &Json<'_>) -> Result<(), String> {
    let fields = match json {
        Json::Text(key) => {
            entry(out, id, &given::digest(key)?.written());
            return Ok(());
        }
        Json::Map(fields) => fields,
        _ => return Err("is neither a key nor a record".to_owned()),
    };
    let named = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted);
    let hash = match (named("key"), named("hash")) {
        (Some((_, Json::Text(key))), None) => Cow::Owned(given::digest(key)?.written()),
        (None, Some((_, Json::Text(hash)))) => Cow::Borrowed(&**hash),
        _ => return Err("has to have one of `key` and `hash`, a string".to_owned()),
    };
    entry(out, id.filter(|_| named("id").is_none()), &hash);
    for (name, value) in fields.iter().filter(|(name, _)| !["key", "hash"].contains(&&**name)) {
        if !matches!(value, Json::Null) {
            let _ = writeln!(out, "{} = {}", quoted(name), Toml(name, value));
        }
    }
    Ok(())
}

/// JSON whose strings are parts of the text, or wiped.
enum Json<'a> {
    Null,
    Bool(bool),
    Number(i64),
    Other(f64),
    Text(Text<'a>),
    List(Vec<Json<'a>>),
    Map(Vec<(Text<'a>, Json<'a>)>),
}

/// A string of JSON.
enum Text<'a> {
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
struct Toml<'a>(&'a str, &'a Json<'a>);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::file;

    /// Ids and digests of the records, or what is wrong with them.
    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut found = Vec::new();
        let faults = file::parse(&records(text)?, |record| {
            found.push((record.id.into_inner(), record.hash.into_inner().written()));
        });
        match faults.first() {
            None => Ok(found),
            Some(fault) => Err(fault.message.clone()),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let written = |key: &str| Digest::of(key.as_bytes()).written();
        let expected = expected.iter().map(|(id, key)| ((*id).to_owned(), written(key)));
        assert_eq!(read(text), Ok(expected.collect()), "{text}");
    }

    #[test]
    fn keys_are_lines_or_json() {
        let digest = Digest::of(b"two").written();
        let (two, long) = ("key-3fc4ccfe-745870e2", "a-key-which-is-long-enough");
        check("", &[]);
        check("one\n\n# two\n  three \r\n", &[("line-1", "one"), ("line-4", "three")]);
        check(&format!("\u{feff}one\n{digest}"), &[("line-1", "one"), (two, "two")]);
        check(&format!(" [\"one\", \"{digest}\"]"), &[("entry-1", "one"), (two, "two")]);
        // Wherever it stands, and however it is written.
        let name = Digest::of(long.as_bytes()).name();
        check(&format!("{long}\n"), &[(&name, long)]);
        check(&format!("{digest}\n\n{long}\n"), &[(two, "two"), (&name, long)]);
        check(&format!("[\"{long}\"]"), &[(&name, long)]);
        check(&Digest::of(long.as_bytes()).written(), &[(&name, long)]);
        check(r#"{"alice": "one", "bob": "t\u0077o"}"#, &[("alice", "one"), ("bob", "two")]);
        let record = r#"{"consumer": "c", "created": null, "expires": "2126-01-01T00:00:00Z",
            "disabled": false, "methods": ["GET"],
            "limits": {"rate": ["60/1m", "2/1s"], "concurrency": 4},
            "previous": {"hash": "DIGEST", "until": "2026-12-01T00:00:00Z"}, "#;
        let record = record.replace("DIGEST", &digest);
        check(&format!("[{record}\"id\": \"a\", \"key\": \"one\"}}]"), &[("a", "one")]);
        let hash = format!("{{\"a\": {record}\"hash\": \"{}\"}}}}", Digest::of(b"one").written());
        check(&hash, &[("a", "one")]);
    }

    #[test]
    fn what_is_wrong_is_said_by_its_place_and_nothing_of_it() {
        for (text, expected) in [
            ("one\nhunter2 \u{e9}\n", "line 2 holds a character beyond ASCII"),
            ("hunter2\n\nhunter2", "line 3 is the same key as one before it"),
            ("[\"hunter2\", \"x\", \"hunter2\"]", "entry 3 is the same key as one before it"),
            ("[\"hunter2\"", "it is no JSON, at line 1, column 10"),
            ("{\"a\": 5}", "entry 1 is neither a key nor a record"),
            ("[\"one\", \"\"]", "entry 2 is empty"),
            ("[{\"key\": \"hunter2\", \"hash\": \"hunter2\"}]", "entry 1 has to have one of"),
            ("[{\"id\": \"a\"}]", "entry 1 has to have one of"),
            ("[{\"key\": \"hunter2-hunter2\"}]", "`id` is missing"),
            ("{\"a\": {\"key\": \"one\", \"expire\": 1}}", "unknown field `expire`"),
            ("{\"a\": {\"key\": \"one\", \"expires\": \"hunter2\"}}", "expected a date"),
            ("{\"a\\n[[key]]\": \"one\"}", "an id is 1 to 64"),
            ("{\"a\": {\"key\": \"one\", \"x\\n[[key]]\\n\": 1}}", "unknown field"),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.contains(expected) && !said.contains("hunter2"), "{text}: {said}");
        }
    }
}
