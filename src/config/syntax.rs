//! What is wrong with the syntax of a file.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::mask::line_around;
use super::problem::Fault;

/// What is wrong with the syntax: the first error of each line, since the others follow from it.
pub(super) fn faults(errors: &[toml::de::Error], text: &str) -> Vec<Fault> {
    faults_from(0, errors, text)
}

/// The same, where only what begins at `start` was read.
pub(crate) fn faults_from(start: usize, errors: &[toml::de::Error], text: &str) -> Vec<Fault> {
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or(0..0);
            let span = start + span.start..start + span.end;
            (line_around(text, span.start).start, span, error.message())
        })
        .collect();
    errors.sort_by_key(|(line, span, _)| (*line, span.start));
    errors.dedup_by_key(|(line, ..)| *line);
    errors.truncate(MAX_SYNTAX_ERRORS);
    errors.into_iter().map(|(_, span, message)| fault(span, message, text)).collect()
}

/// How many syntax errors of one file are listed: one unclosed bracket can make hundreds.
const MAX_SYNTAX_ERRORS: usize = 10;

fn fault(span: Range<usize>, message: &str, text: &str) -> Fault {
    let (message, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let first = if message == "duplicate key" { first_of(&span, text) } else { None };
    let fault = Fault::at(span, format!("not TOML: {message}"));
    match (first, expected) {
        (Some(line), _) => fault.help(format!("the first is on line {line}; keep one of them")),
        (None, "" | "nothing") => fault,
        (None, expected) => fault.help(format!("expected {expected}")),
    }
}

/// The line of the first of two equal tables, or of two equal fields of one table.
fn first_of(second: &Range<usize>, text: &str) -> Option<usize> {
    let name = text.get(second.clone())?;
    let start = line_around(text, second.start).start;
    let header = |line: &str| line.trim_start().starts_with('[');
    let is_table = header(&text[start..]);
    let same = |line: &&str| match is_table {
        true => line.trim() == text[line_around(text, start)].trim(),
        false => {
            line.trim_start().strip_prefix(name).is_some_and(|l| l.trim_start().starts_with('='))
        }
    };
    let before = text[..start].lines().rev();
    let back = before.take_while(|line| is_table || !header(line)).position(|line| same(&line))?;
    Some(memchr::memchr_iter(b'\n', &text.as_bytes()[..start]).count() - back)
}

/// The part of a file that belongs to a table: to the next line that looks like a header after its
/// last value. The empty name is that of a table that is the whole file.
pub(super) fn extent(name: &Range<usize>, table: &DeTable<'_>, text: &str) -> Range<usize> {
    if name.is_empty() {
        return 0..text.len();
    }
    let end = last_value(table).max(name.end).min(text.len());
    let next = text.get(end..).and_then(|rest| rest.find("\n["));
    name.start..next.map_or(text.len(), |next| end + next)
}

fn last_value(table: &DeTable<'_>) -> usize {
    let end = |value: &toml::Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::Table(table) => last_value(table).max(value.span().end),
        _ => value.span().end,
    };
    table.values().map(end).max().unwrap_or(0)
}
