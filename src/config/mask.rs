//! Lines of configuration files made safe to show: what could be a key is masked.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::excerpt::Writer;
use super::problem::Excerpt;
pub(super) use super::unit::{Form, Unit, is_shown, may_show};

/// What stands in place of what could be a key.
pub(super) const MASK: &str = "***";

/// Whether a name is too plain to be a key: a few letters in lower case and separators.
pub(super) fn is_plain_name(name: &str) -> bool {
    (1..=24).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'))
}

/// Whether a value looks like a key or holds a password, wherever it stands: people paste keys
/// into wrong fields.
pub(super) fn looks_like_key(value: &str) -> bool {
    value.contains('@') || looks_random(value)
}

/// Whether a part of a value is a row of letters and digits such as chance makes.
pub(crate) fn looks_random(value: &str) -> bool {
    const RANDOM_RUN: usize = 12;
    let random = |run: &str| {
        run.len() >= RANDOM_RUN
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    value.split(|c: char| !c.is_ascii_alphanumeric()).any(random)
}

/// A part of a text and whether it may be shown.
pub(super) struct Piece {
    pub(super) span: Range<usize>,
    pub(super) quoted: bool,
    pub(super) shown: bool,
}

/// What of a file may be shown.
pub(super) struct Mask<'t> {
    text: &'t str,
    /// Absent for a file with syntax errors, of which nobody can say where a value ends.
    pieces: Option<Vec<Piece>>,
    form: Form,
}

impl<'t> Mask<'t> {
    /// The mask of one file.
    pub(super) fn new(text: &'t str, form: Form) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let pieces = errors.is_empty().then(|| pieces(root.get_ref(), form, text));
        Self { text, pieces, form }
    }

    /// The line that a span begins on, masked; none when nothing of it may be shown.
    pub(super) fn excerpt(&self, span: &Range<usize>) -> Option<Excerpt> {
        let line = line_around(self.text, span.start);
        let guessed;
        let pieces = match &self.pieces {
            Some(pieces) => {
                let first = pieces.partition_point(|piece| piece.span.end <= line.start);
                &pieces[first..]
            }
            None => {
                guessed = self.guess(&line)?;
                &guessed[..]
            }
        };
        Some(Writer::new(self.text, line, span.clone()).write(pieces))
    }

    /// Whether a message about a place repeats a value that is masked.
    pub(super) fn is_broken_by(&self, message: &str, span: Option<&Range<usize>>) -> bool {
        let hidden = self.pieces.iter().flatten().filter(|piece| !piece.shown);
        let mut hidden = hidden.filter_map(|piece| {
            let text = self.text.get(piece.span.clone())?;
            Some((&piece.span, text.trim_matches(['"', '\''])))
        });
        // The value at the place itself is likely to be repeated in part.
        hidden.any(|(place, text)| match span == Some(place) {
            true => repeats(message, text),
            false => text.len() >= TELLING && message.contains(text),
        })
    }

    /// What may be shown of a line in a file with syntax errors: only what certainly holds no key.
    fn guess(&self, line: &Range<usize>) -> Option<Vec<Piece>> {
        let text = &self.text[line.clone()];
        let piece = |from: usize, to: usize, shown| {
            let span = line.start + from..line.start + to;
            Piece { span, quoted: false, shown }
        };
        if let Some(table) = header_of(text) {
            let first = table.split('.').next().unwrap_or_default();
            let known = match self.form {
                Form::Keys => first == "key",
                Form::Tables | Form::Plugin => Unit::of(first).is_some(),
            };
            let safe = known && !looks_like_key(table);
            return safe.then(|| vec![piece(0, text.len(), true)]);
        }
        let (name, value) = text.split_once('=')?;
        let unit = self.unit_at(line.start);
        let known = unit.is_some_and(|unit| unit.shows(name.trim()))
            || ["hash", "keys"].contains(&name.trim());
        let start = text.len() - value.trim_start().len();
        let safe = !matches!(unit, Some(Unit::Plugin | Unit::Key))
            && unit.is_some_and(|unit| is_shown(unit, &[name.trim()]))
            && is_single_value(value);
        known.then(|| vec![piece(0, start, true), piece(start, text.len(), safe)])
    }

    /// The sort of the table that a place in a broken file most likely belongs to.
    fn unit_at(&self, place: usize) -> Option<Unit> {
        match self.form {
            Form::Plugin => return Some(Unit::Plugin),
            Form::Keys => return Some(Unit::Key),
            Form::Tables => {}
        }
        let header = self.text[..place].lines().rev().find_map(header_of)?;
        Unit::of(header.split('.').next()?).map(|(unit, _)| unit)
    }
}

/// How much of a text is told from the other words of a message.
const TELLING: usize = 4;

/// How much of a key helps a guesser.
const WINDOW: usize = 8;

/// Whether a message repeats a text or a part of it.
pub(super) fn repeats(message: &str, text: &str) -> bool {
    let parts = |part: &[u8]| message.as_bytes().windows(part.len()).any(|window| window == part);
    match text.len() {
        ..TELLING => false,
        TELLING..WINDOW => parts(text.as_bytes()),
        WINDOW.. => text.as_bytes().windows(WINDOW).any(parts),
    }
}

/// The name in a line that is nothing but the header of a table, closed or not.
fn header_of(line: &str) -> Option<&str> {
    let inner = line.trim().strip_prefix('[')?.trim_start_matches('[').trim_end_matches(']').trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (!inner.is_empty() && inner.bytes().all(plain)).then_some(inner)
}

/// The line around a place, without its end.
pub(super) fn line_around(text: &str, place: usize) -> Range<usize> {
    let place = place.min(text.len());
    let start = text[..place].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    let line = text[start..end].trim_end_matches('\r');
    start..start + line.len()
}

/// Whether a broken value is strings alone, or one word or unclosed string: what follows a value by
/// mistake may be anything.
fn is_single_value(value: &str) -> bool {
    // Every second part is inside quotation marks.
    let outside: String = value.split('"').step_by(2).collect();
    let words: Vec<_> =
        outside.split([' ', '\t', ',', '[', ']']).filter(|w| !w.is_empty()).collect();
    let plain = !value.contains(['#', '=', '{', '}', '\'']) && !looks_like_key(value);
    plain && (words.is_empty() || (words.len() == 1 && value.matches('"').count() < 2))
}

fn pieces(root: &DeTable<'_>, form: Form, text: &str) -> Vec<Piece> {
    let mut walk = Walk { text, pieces: Vec::new() };
    match form {
        Form::Plugin => walk.fields(Unit::Plugin, root, &mut Vec::new()),
        Form::Keys => walk.records(root),
        Form::Tables => walk.root(root),
    }
    walk.pieces.sort_by_key(|piece| piece.span.start);
    walk.pieces
}

/// Collects the pieces of a file without syntax errors.
struct Walk<'t> {
    text: &'t str,
    pieces: Vec<Piece>,
}

impl Walk<'_> {
    fn root(&mut self, root: &DeTable<'_>) {
        for (key, value) in root {
            let table = key.get_ref();
            match (Unit::of(table), value.get_ref()) {
                (Some((unit, false)), DeValue::Table(fields)) => {
                    self.name(key.span(), true);
                    self.fields(unit, fields, &mut Vec::new());
                }
                (Some((unit, true)), DeValue::Table(tables)) => {
                    self.name(key.span(), true);
                    for (name, value) in tables {
                        self.name(name.span(), !looks_like_key(name.get_ref()));
                        match value.get_ref() {
                            DeValue::Table(fields) => self.fields(unit, fields, &mut Vec::new()),
                            _ => self.value(None, value, &mut Vec::new()),
                        }
                    }
                }
                _ => {
                    self.name(key.span(), is_plain_name(table));
                    self.value(None, value, &mut Vec::new());
                }
            }
        }
    }

    fn records(&mut self, root: &DeTable<'_>) {
        for (name, value) in root {
            self.name(name.span(), is_plain_name(name.get_ref()));
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("key", DeValue::Array(_) | DeValue::Table(_)) => {
                    self.value(Some(Unit::Key), value, &mut Vec::new());
                }
                _ => self.value(None, value, &mut Vec::new()),
            }
        }
    }

    fn fields(&mut self, unit: Unit, table: &DeTable<'_>, way: &mut Vec<String>) {
        self.entries(Some(unit), table, way);
    }

    fn entries(&mut self, unit: Option<Unit>, table: &DeTable<'_>, way: &mut Vec<String>) {
        for (key, value) in table {
            way.push(key.get_ref().to_string());
            let names: Vec<_> = way.iter().map(String::as_str).collect();
            let known = unit.is_some_and(|unit| is_shown(unit, &names));
            // The names below an unknown field may be keys themselves.
            let plain = is_plain_name(key.get_ref()) && (way.len() == 1 || known);
            let named = matches!(&names[..], [field, name]
                if unit.is_some_and(|unit| unit.shows_names(field)) && !looks_like_key(name));
            let hash = unit == Some(Unit::Key) && names == ["previous", "hash"];
            self.name(key.span(), known || plain || named || hash);
            self.value(unit, value, way);
            way.pop();
        }
    }

    fn value(&mut self, unit: Option<Unit>, value: &Spanned<DeValue<'_>>, way: &mut Vec<String>) {
        let shown = || {
            let names: Vec<_> = way.iter().map(String::as_str).collect();
            unit.is_some_and(|unit| is_shown(unit, &names))
        };
        let (quoted, shown) = match value.get_ref() {
            DeValue::Table(table) => return self.entries(unit, table, way),
            DeValue::Array(items) => {
                items.iter().for_each(|item| self.value(unit, item, way));
                return;
            }
            DeValue::String(text) => {
                let way: Vec<_> = way.iter().map(String::as_str).collect();
                let shown = unit.is_some_and(|unit| may_show(unit, &way, text));
                (true, shown || is_reference(text))
            }
            DeValue::Boolean(_) => (false, true),
            _ => (false, shown()),
        };
        self.pieces.push(Piece { span: value.span(), quoted, shown });
    }

    fn name(&mut self, span: Range<usize>, shown: bool) {
        // A table that has no header of its own may borrow the place of another one.
        if self.text.get(span.clone()).is_some() {
            self.pieces.push(Piece { span, quoted: false, shown });
        }
    }
}

/// Whether a string is `${NAME}` and nothing else, so that it holds no key itself, unless somebody
/// put the key where its name belongs.
fn is_reference(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| super::interpolate::is_name(name) && !looks_like_key(name))
}
