//! Keys as a command prints them: one a line, or as JSON.

mod json;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Write};

use super::digest::Digest;
use super::doubt::doubt;
use super::file::string as quoted;
use super::given;
use json::{Json, Toml};

/// What a command printed.
#[derive(Debug, Default)]
pub struct Listed {
    /// The text of a keys file, with digests in the place of keys. The records are in the order of
    /// the entries.
    pub text: String,
    /// What is doubtful about the first key that could be guessed.
    doubt: Option<String>,
    /// How many keys could be.
    guessable: usize,
}

impl Listed {
    /// A sentence about the keys that could be guessed, with nothing of them in it.
    pub fn doubt(&self) -> Option<String> {
        let doubt = self.doubt.as_ref()?;
        Some(match self.guessable {
            1 => doubt.clone(),
            all => format!("{doubt}; so could {} more", all - 1),
        })
    }
}

/// Reads what a command printed.
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
pub fn records(text: &str) -> Result<Listed, String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut writer = Writer::default();
    if text.trim_start().starts_with(['{', '[']) {
        writer.json(text)?;
    } else {
        let lines = (1..).zip(text.lines().map(str::trim));
        for (number, line) in lines.filter(|(_, line)| given::is_meant(line)) {
            let place = Place("line", number);
            writer.unnamed(place, line).map_err(|message| format!("{place} {message}"))?;
        }
    }
    Ok(writer.listed)
}

/// Where a key stands.
#[derive(Clone, Copy)]
struct Place(&'static str, usize);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

/// Writes records; the errors of its parts are the rests of sentences.
#[derive(Default)]
struct Writer {
    listed: Listed,
    /// How keys without an id are called.
    names: HashSet<String>,
}

impl Writer {
    fn json(&mut self, text: &str) -> Result<(), String> {
        let json: Json<'_> = serde_json::from_str(text).map_err(|error| {
            format!("it is no JSON, at line {}, column {}", error.line(), error.column())
        })?;
        let entries: Vec<_> = match &json {
            Json::Map(entries) => entries.iter().map(|(id, entry)| (Some(&**id), entry)).collect(),
            Json::List(entries) => entries.iter().map(|entry| (None, entry)).collect(),
            _ => return Err("it is neither a list nor an object".to_owned()),
        };
        for (number, (id, entry)) in (1..).zip(entries) {
            let place = Place("entry", number);
            let written = match (id, entry) {
                (None, Json::Text(key)) => self.unnamed(place, key),
                _ => self.record(place, id, entry),
            };
            written.map_err(|message| format!("{place} {message}"))?;
        }
        Ok(())
    }

    /// Writes a key without an id.
    fn unnamed(&mut self, place: Place, key: &str) -> Result<(), String> {
        let hash = given::digest(key)?;
        if !self.names.insert(hash.name()) {
            return Err("is the same key as one before it".to_owned());
        }
        let id = match self.doubt(place, key) {
            true => format!("{}-{}", place.0, place.1),
            false => hash.name(),
        };
        self.entry(Some(&id), &hash.written());
        Ok(())
    }

    /// Writes a key or a record.
    fn record(&mut self, place: Place, id: Option<&str>, json: &Json<'_>) -> Result<(), String> {
        let fields = match json {
            Json::Text(key) => {
                let hash = self.hash(place, key)?;
                self.entry(id, &hash);
                return Ok(());
            }
            Json::Map(fields) => fields,
            _ => return Err("is neither a key nor a record".to_owned()),
        };
        let named = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted);
        let hash = match (named("key"), named("hash")) {
            (Some((_, Json::Text(key))), None) => Cow::Owned(self.hash(place, key)?),
            (None, Some((_, Json::Text(hash)))) => Cow::Borrowed(&**hash),
            _ => return Err("has to have one of `key` and `hash`, a string".to_owned()),
        };
        self.entry(id.filter(|_| named("id").is_none()), &hash);
        for (name, value) in fields.iter().filter(|(name, _)| !["key", "hash"].contains(&&**name)) {
            if !matches!(value, Json::Null) {
                let _ = writeln!(self.listed.text, "{} = {}", quoted(name), Toml(name, value));
            }
        }
        Ok(())
    }

    /// The digest of a key that may be one already, as it is written.
    fn hash(&mut self, place: Place, key: &str) -> Result<String, String> {
        let digest = given::digest(key)?;
        self.doubt(place, key);
        Ok(digest.written())
    }

    /// Notes what is doubtful about a key; says whether anything is.
    fn doubt(&mut self, place: Place, key: &str) -> bool {
        let Some(doubt) = (if Digest::is_meant(key) { None } else { doubt(key) }) else {
            return false;
        };
        self.listed.guessable += 1;
        self.listed.doubt.get_or_insert_with(|| format!("{place} {doubt}"));
        true
    }

    /// Begins a record.
    fn entry(&mut self, id: Option<&str>, hash: &str) {
        self.listed.text.push_str("[[key]]\n");
        let id = id.map(|id| ("id", id));
        for (name, value) in id.into_iter().chain([("hash", hash)]) {
            // Writing to a string does not fail.
            let _ = writeln!(self.listed.text, "{name} = {}", quoted(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::file;

    /// Ids and digests of the records, or what is wrong with them.
    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut found = Vec::new();
        let faults = file::parse(&records(text)?.text, |record| {
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
    fn keys_that_could_be_guessed_are_told_by_their_place() {
        let (hash, long) = (Digest::of(b"one").written(), "a-key-which-is-long-enough");
        for (text, expected) in [
            (format!("{long}\n{hash}\n"), None),
            (format!("{long}\n\nhunter2\n"), Some("line 3 is shorter")),
            (format!("[\"{long}\", {{\"id\": \"a\", \"key\": \"hunter2\"}}]"), Some("entry 2 is")),
            (format!("{{\"a\": \"{long}\", \"b\": \"hunter2\"}}"), Some("entry 2 is shorter")),
            ("hunter2\nhunter3\nhunter4".to_owned(), Some("line 1 is shorter")),
        ] {
            let told = records(&text).expect("they are keys").doubt();
            assert_eq!(told.is_some(), expected.is_some(), "{text}: {told:?}");
            let told = told.unwrap_or_default();
            assert!(told.starts_with(expected.unwrap_or_default()), "{text}: {told}");
            assert!(!told.contains("hunter"), "{told}");
            assert_eq!(
                told.ends_with("could be guessed; so could 2 more"),
                text.contains("hunter4")
            );
        }
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
