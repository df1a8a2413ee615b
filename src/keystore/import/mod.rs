//! Keys of elsewhere: what their files say, as names and digests.

mod kong;
mod yaml;

use std::time::SystemTime;

use toml::de::{DeTable, DeValue};

use crate::keys::digest::Digest;
use crate::keys::doubt::doubt;
use crate::keys::given;

pub use self::kong::read as kong;

/// A key of elsewhere.
pub struct Foreign {
    /// What it is called there, or what holds it; it may be no id.
    pub name: Option<String>,
    /// Whom it belongs to, as it is said there.
    pub consumer: Option<String>,
    /// The key.
    pub hash: Digest,
    /// What is doubtful about it: the rest of a sentence.
    pub doubt: Option<&'static str>,
    /// When it ends.
    pub expires: Option<SystemTime>,
}

/// All keys of a file, or a sentence about each that is wrong, which holds nothing of it.
pub type Read = Result<Vec<Foreign>, Vec<String>>;

impl Foreign {
    /// A key in plain text, or its digest; the error is the rest of a sentence.
    fn new(name: Option<&str>, key: &str) -> Result<Self, String> {
        let hash = given::digest(key)?;
        let doubt = if Digest::is_meant(key) { None } else { doubt(key) };
        let name = name.map(str::to_owned);
        Ok(Self { name, consumer: None, hash, doubt, expires: None })
    }
}

/// A key on each line, but for those that begin with `#`.
///
/// # Errors
///
/// When a line is no key.
pub fn lines(text: &str) -> Read {
    by_line(text, |line| Foreign::new(None, line).map_err(|what| format!("the key {what}")))
}

/// A name, a colon and the digest of a key on each line, but for those that begin with `#`.
///
/// # Errors
///
/// When a line is anything else.
pub fn digests(text: &str) -> Read {
    by_line(text, |line| {
        let expected =
            || "expected a name, `:` and the 64 hexadecimal digits of a digest".to_owned();
        let (name, digits) = line.trim().rsplit_once(':').ok_or_else(expected)?;
        let name = name.strip_suffix(":sha256").unwrap_or(name);
        let written = format!("sha256:{digits}");
        match Foreign::new(Some(name), &written) {
            Ok(key) => Ok(key),
            Err(_) if Digest::parse(&written).is_err() => Err(expected()),
            Err(what) => Err(format!("it {what}")),
        }
    })
}

/// The `keys` of pingap's plugins, in its TOML.
///
/// # Errors
///
/// When the text is no TOML, or an entry is no key.
pub fn pingap(text: &str) -> Read {
    let (root, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.first() {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        return Err(vec![format!("line {line}: this is not TOML")]);
    }
    let plugins = root.get_ref().get("plugins").and_then(|plugins| plugins.get_ref().as_table());
    let plugins = plugins
        .into_iter()
        .flatten()
        .filter_map(|(name, table)| Some((name.get_ref().as_ref(), table.get_ref().as_table()?)));
    // A plugin may stand in a file of its own.
    let mut tables = vec![("key", root.get_ref())];
    tables.extend(plugins);
    let keys = tables.into_iter().filter_map(|(name, table)| Some((name, table.get("keys")?)));
    let (mut read, mut wrong) = (Vec::new(), Vec::new());
    for (name, list) in keys {
        let Some(list) = list.get_ref().as_array() else {
            wrong.push(format!(
                "line {}: expected a list of keys",
                line_of(text, list.span().start)
            ));
            continue;
        };
        for key in list.iter() {
            let line = line_of(text, key.span().start);
            match key.get_ref() {
                DeValue::String(key) => match Foreign::new(Some(name), key) {
                    Ok(key) => read.push(key),
                    Err(what) => wrong.push(format!("line {line}: the key {what}")),
                },
                _ => wrong.push(format!("line {line}: expected a key, which is a string")),
            }
        }
    }
    if wrong.is_empty() { Ok(read) } else { Err(wrong) }
}

fn by_line(text: &str, parse: impl Fn(&str) -> Result<Foreign, String>) -> Read {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| given::is_meant(line));
    let (mut read, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in lines {
        match parse(line) {
            Ok(key) => read.push(key),
            Err(what) => wrong.push(format!("line {number}: {what}")),
        }
    }
    if wrong.is_empty() { Ok(read) } else { Err(wrong) }
}

fn line_of(text: &str, place: usize) -> usize {
    memchr::memchr_iter(b'\n', &text.as_bytes()[..place.min(text.len())]).count() + 1
}
