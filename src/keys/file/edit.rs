//! Changing one record of a keys file, with the comments around it.

use std::ops::Range;
use std::time::SystemTime;

use toml_edit::{DocumentMut, InlineTable, Item, Table, Value};

use super::{around, written_moment};
use crate::keys::digest::Digest;
use crate::keys::record::Previous;

/// The record with an id, as it stands in a text.
pub struct Entry<'t> {
    text: &'t str,
    /// From its header to the next one.
    part: Range<usize>,
    id: &'t str,
}

/// What is said of a record that cannot be changed alone.
const UNUSUAL: &str = "the record is not written as a table of its own; change it by hand, or begin \
                       each record with a line `[[key]]` and use no strings of several lines";

impl<'t> Entry<'t> {
    /// The record of an id that stands at a place.
    ///
    /// # Errors
    ///
    /// When it does not stand below a header of its own, as a sentence.
    pub fn new(text: &'t str, id: &'t str, place: usize) -> Result<Self, &'static str> {
        let part = around(text, place);
        let alone = text[part.clone()].trim_start().starts_with("[[key]]");
        let entry = Self { text, part, id };
        if alone && entry.document().is_some() { Ok(entry) } else { Err(UNUSUAL) }
    }

    /// The record as TOML, if it is the only one in its part.
    fn document(&self) -> Option<DocumentMut> {
        let document: DocumentMut = self.text[self.part.clone()].parse().ok()?;
        let tables = document.get("key")?.as_array_of_tables()?;
        let only = tables.len() == 1 && tables.get(0)?.get("id")?.as_str() == Some(self.id);
        only.then_some(document)
    }

    /// The part of the text that the record takes up, and what stands there when it has another
    /// key. The one before it stays valid for a while, if `overlap` says until when.
    pub fn with_key(
        &self,
        hash: &Digest,
        created: SystemTime,
        overlap: Option<&Previous>,
    ) -> (Range<usize>, String) {
        self.changed(|table| {
            set(table, "hash", Value::from(hash.written()));
            set(table, "created", date(created));
            table.remove("previous");
            if let Some(overlap) = overlap {
                let mut previous = InlineTable::new();
                previous.insert("hash", Value::from(overlap.hash.get_ref().written()));
                previous.insert("until", date(overlap.until));
                table.insert("previous", Item::Value(previous.into()));
            }
        })
    }

    /// The same when it is no key any more, but can become one again.
    pub fn disabled(&self) -> (Range<usize>, String) {
        self.changed(|table| set(table, "disabled", Value::from(true)))
    }

    fn changed(&self, change: impl FnOnce(&mut Table)) -> (Range<usize>, String) {
        let mut document = self.document().unwrap_or_default();
        let tables = document.get_mut("key").and_then(Item::as_array_of_tables_mut);
        if let Some(table) = tables.and_then(|tables| tables.get_mut(0)) {
            change(table);
        }
        (self.part.clone(), document.to_string())
    }

    /// The part of the text that goes when the record does: its lines, the comments that stand
    /// directly above and below them, and one empty line. A comment at the very beginning of the
    /// file speaks of all of it, and stays.
    pub fn extent(&self) -> Range<usize> {
        let above = self.text[..self.part.start].split_inclusive('\n').rev();
        let comments: usize = above.take_while(|line| is_comment(line)).map(str::len).sum();
        let start = match self.part.start - comments {
            0 => self.part.start,
            start => start,
        };
        let mut at = self.part.start;
        let lines = self.text[self.part.clone()].split_inclusive('\n').map(|line| {
            at += line.len();
            (line, at)
        });
        let lines: Vec<(&str, usize)> = lines.collect();
        let is_own = |(line, _): &(&str, usize)| !is_comment(line) && !line.trim().is_empty();
        let mut count = lines.iter().rposition(is_own).map_or(0, |last| last + 1);
        let below = lines[count..].iter().take_while(|(line, _)| is_comment(line)).count();
        // What stands directly above the next header belongs to that one.
        if count + below < lines.len() || self.part.end == self.text.len() {
            count += below;
        }
        let blank = lines.get(count).filter(|(line, _)| line.trim().is_empty());
        let end = blank.or(lines[..count].last()).map_or(self.part.end, |(_, end)| *end);
        start..end
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Sets a field and keeps the comment behind it.
fn set(table: &mut Table, name: &str, mut value: Value) {
    if let Some(old) = table.get(name).and_then(Item::as_value) {
        *value.decor_mut() = old.decor().clone();
    }
    match table.get_mut(name) {
        Some(item) => *item = Item::Value(value),
        None => drop(table.insert(name, Item::Value(value))),
    }
}

fn date(moment: SystemTime) -> Value {
    let text = written_moment(moment);
    text.parse::<toml_edit::Datetime>().map_or_else(|_| Value::from(text), Value::from)
}
