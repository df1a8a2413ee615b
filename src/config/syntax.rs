//! What is wrong with the syntax of a file.

use std::ops::Range;

use super::mask::line_around;
use super::problem::Fault;

/// What is wrong with the syntax: the first error of each line, since the others follow from it.
pub(super) fn faults(errors: &[toml::de::Error], text: &str) -> Vec<Fault> {
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or(0..0);
            (line_around(text, span.start).start, span, error.message())
        })
        .collect();
    errors.sort_by_key(|(line, span, _)| (*line, span.start));
    errors.dedup_by_key(|(line, ..)| *line);
    errors.truncate(MAX_SYNTAX_ERRORS);
    errors.into_iter().map(|(_, span, message)| syntax_fault(span, message)).collect()
}

/// How many syntax errors of one file are listed: one unclosed bracket can make hundreds.
const MAX_SYNTAX_ERRORS: usize = 10;

fn syntax_fault(span: Range<usize>, message: &str) -> Fault {
    let (message, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let fault = Fault::at(span, format!("not TOML: {message}"));
    if expected.is_empty() { fault } else { fault.help(format!("expected {expected}")) }
}
