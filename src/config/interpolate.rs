//! `${NAME}` in strings, replaced after the TOML was parsed, so that no value can change its shape.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use zeroize::{Zeroize, Zeroizing};

use super::environment::Environment;
use super::mask::{MASK, looks_like_key};
use super::problem::Fault;
use super::suggest;

/// The strings of one file as they are meant, in the order of a walk through its tables. They live
/// here rather than in the tables so that each is wiped, and copies of a table hold none of them.
pub(super) struct Strings {
    texts: Vec<Zeroizing<String>>,
    /// Those among them that held variables.
    pub(super) replaced: Vec<Zeroizing<String>>,
    /// What could not be replaced.
    pub(super) faults: Vec<Fault>,
    /// The places of the strings that hold variables, and whether all of them were replaced.
    pub(super) places: Vec<(Range<usize>, bool)>,
}

impl Strings {
    /// Replaces the variables of every string in a file.
    pub(super) fn of(table: &DeTable<'_>, text: &str, environment: &Environment) -> Self {
        let mut strings = Self {
            texts: Vec::new(),
            replaced: Vec::new(),
            faults: Vec::new(),
            places: Vec::new(),
        };
        for value in table.values() {
            strings.collect(value, text, environment);
        }
        strings
    }

    fn collect(&mut self, value: &Spanned<DeValue<'_>>, text: &str, environment: &Environment) {
        match value.get_ref() {
            DeValue::String(string) if is_kept_here(string) => {
                let place = Place { text, span: value.span() };
                let (meant, faults) = expand(string, environment, &place);
                if string.contains("${") {
                    self.places.push((value.span(), faults.is_empty()));
                    self.replaced.push(meant.clone());
                }
                self.faults.extend(faults);
                self.texts.push(meant);
            }
            DeValue::Array(items) => {
                items.iter().for_each(|item| self.collect(item, text, environment));
            }
            DeValue::Table(table) => {
                table.values().for_each(|value| self.collect(value, text, environment));
            }
            _ => {}
        }
    }

    /// Puts the strings where they belong.
    pub(super) fn put<'a>(&'a self, table: &mut DeTable<'a>) {
        let mut texts = self.texts.iter();
        for (_, value) in table.iter_mut() {
            put(value, &mut texts);
        }
    }
}

/// Whether a string differs from its text in the file, or may.
fn is_kept_here(string: &DeString<'_>) -> bool {
    matches!(string, DeString::Owned(_)) || string.contains('$')
}

fn put<'a>(value: &mut Spanned<DeValue<'a>>, texts: &mut std::slice::Iter<'a, Zeroizing<String>>) {
    match value.get_mut() {
        DeValue::String(string) if is_kept_here(string) => {
            if let DeString::Owned(owned) = string {
                owned.zeroize();
            }
            *string = DeString::Borrowed(texts.next().map_or("", |text| text.as_str()));
        }
        DeValue::Array(items) => items.iter_mut().for_each(|item| put(item, texts)),
        DeValue::Table(table) => {
            for (_, value) in table.iter_mut() {
                put(value, texts);
            }
        }
        _ => {}
    }
}

/// Where a string stands.
struct Place<'t> {
    text: &'t str,
    span: Range<usize>,
}

impl Place<'_> {
    /// The place of a part of the string, if the string is written without escapes before it.
    fn of(&self, part: &str) -> Range<usize> {
        let within = self.text.get(self.span.clone()).and_then(|literal| literal.find(part));
        match within {
            Some(offset) => self.span.start + offset..self.span.start + offset + part.len(),
            None => self.span.clone(),
        }
    }
}

fn expand(
    string: &str,
    environment: &Environment,
    place: &Place<'_>,
) -> (Zeroizing<String>, Vec<Fault>) {
    // Large enough for most, since a buffer that grows leaves unwiped copies behind.
    let mut out = Zeroizing::new(String::with_capacity(string.len() + 1024));
    let mut faults = Vec::new();
    let mut rest = string;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$${") {
            out.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let name = after.find('}').map(|end| &after[..end]).filter(|name| is_name(name));
            match name.map(|name| (name, environment.value(name))) {
                Some((_, Some(value))) => out.push_str(value),
                Some((name, None)) => faults.push(not_set(name, environment, place)),
                None => faults.push(not_a_name(place)),
            }
            rest = name.map_or(after, |name| &after[name.len() + 1..]);
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    (out, faults)
}

fn not_set(name: &str, environment: &Environment, place: &Place<'_>) -> Fault {
    let help = match suggest::closest(name, environment.names()) {
        Some(meant) => format!("did you mean `{meant}`? (`$${{` writes a literal `${{`)"),
        None => "set it, or put it in .env (`$${` writes a literal `${`)".to_owned(),
    };
    let span = place.of(&format!("${{{name}}}"));
    let shown = if looks_like_key(name) { MASK } else { name };
    Fault::at(span, format!("the environment variable `{shown}` is not set")).help(help)
}

fn not_a_name(place: &Place<'_>) -> Fault {
    Fault::at(place.of("${"), "after `${` the name of an environment variable and `}` are needed")
        .help("`$${` writes a literal `${`")
}

/// Whether this can be the name of an environment variable.
pub(super) fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}
