//! A keys file as text: each record of it, or everything that is wrong.

mod cut;
mod edit;
mod fields;
mod moment;
mod value;
mod write;

use std::ops::Range;

use toml::de::DeTable;

use self::value::Reader;
use super::record::Record;
use crate::config::problem::Fault;
use crate::config::syntax;

pub use self::cut::{around, records};
pub use self::edit::Entry;
pub use self::moment::{OUT_OF_RANGE, is_writable, moment as moment_of, written as written_moment};
pub(super) use self::write::string;
pub use self::write::write;

/// How many records are read at a time. Each reading costs some allocations of its own, and the
/// tables of more records leave the processor's cache: 16 take the least time, 1.3 µs a record.
const BATCH: usize = 16;

/// How many faults are looked for: nobody reads more before mending the first ones.
const FAULTS_LIMIT: usize = 100;

/// Hands out each record that is right, in order, and returns everything that is wrong, each with
/// its place in the text. What is wrong between records, an id or a key that is there twice, is
/// found by the [`Builder`](super::keyset::Builder) that they are handed to.
///
/// A message holds no value that may be a key. A file with faults is no file of keys: whoever took
/// records from it drops them.
pub fn parse(text: &str, mut each: impl FnMut(Record)) -> Vec<Fault> {
    let mut file = File { text, faults: Vec::new() };
    for batch in cut::batches(text, BATCH) {
        if !file.read(&batch, &mut each) {
            // A slip in one record hides no fault of the others.
            for record in cut::batches(&text[batch.clone()], 1) {
                let record = batch.start + record.start..batch.start + record.end;
                if !file.read(&record, &mut each) {
                    file.note_syntax(&record);
                }
            }
        }
        if file.faults.len() >= FAULTS_LIMIT {
            break;
        }
    }
    file.faults.sort_by_key(|fault| fault.span.as_ref().map_or(0, |span| span.start));
    file.faults.truncate(FAULTS_LIMIT);
    file.faults
}

/// A file while it is read.
struct File<'t> {
    text: &'t str,
    faults: Vec<Fault>,
}

impl File<'_> {
    /// Reads a part of the text that begins with a record; says whether it is TOML.
    fn read(&mut self, part: &Range<usize>, each: &mut impl FnMut(Record)) -> bool {
        let (root, errors) = DeTable::parse_recoverable(&self.text[part.clone()]);
        if !errors.is_empty() {
            return false;
        }
        let mut reader = Reader { start: part.start, faults: &mut self.faults };
        for item in reader.items(root.get_ref()) {
            reader.record(item).map(&mut *each);
        }
        true
    }

    fn note_syntax(&mut self, part: &Range<usize>) {
        let (_, errors) = DeTable::parse_recoverable(&self.text[part.clone()]);
        self.faults.extend(syntax::faults_from(part.start, &errors, self.text));
    }
}

#[cfg(test)]
mod tests;
