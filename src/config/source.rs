//! The files of a configuration, and what was found to be wrong in them.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::describe::without_quotes;
use super::mask::{Form, MASK, Mask, line_around, looks_like_key, repeats};
use super::problem::{Fault, Place, Problem, Problems, Severity};

/// The text that was read from one file; or, without a text, whatever else a fault can be in.
struct Source {
    name: String,
    text: Option<Arc<Zeroizing<String>>>,
    form: Form,
}

/// Everything that was read; texts are wiped when this is dropped.
pub(crate) struct Sources {
    list: Vec<Source>,
    /// The strings that held variables, as they were meant.
    replaced: Vec<Zeroizing<String>>,
    /// The names of tables that look like keys.
    names: Vec<String>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(|source| &source.name)).finish()
    }
}

/// Where a table or a value was written: a source by its number, and bytes of its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) source: usize,
    pub(crate) span: Range<usize>,
}

impl Sources {
    /// Begins with the source number 0, which has no text: the whole.
    pub(crate) fn new(whole: impl Into<String>) -> Self {
        let whole = Source { name: whole.into(), text: None, form: Form::Tables };
        Self { list: vec![whole], replaced: Vec::new(), names: Vec::new() }
    }

    /// Adds a source without a text and returns its number.
    pub(crate) fn add(&mut self, name: impl Into<String>) -> usize {
        self.list.push(Source { name: name.into(), text: None, form: Form::Tables });
        self.list.len() - 1
    }

    /// Adds a file; `plugin_file` says that its top level is a plugin's table.
    pub(super) fn add_file(
        &mut self,
        name: impl Into<String>,
        text: Arc<Zeroizing<String>>,
        plugin_file: bool,
    ) -> usize {
        let form = if plugin_file { Form::Plugin } else { Form::Tables };
        self.list.push(Source { name: name.into(), text: Some(text), form });
        self.list.len() - 1
    }

    /// Remembers strings that no message may repeat.
    pub(super) fn remember(&mut self, replaced: impl IntoIterator<Item = Zeroizing<String>>) {
        self.replaced.extend(replaced);
    }

    /// Remembers the name of a table, which no message may repeat if it looks like a key.
    pub(super) fn remember_name(&mut self, name: &str) {
        if looks_like_key(name) {
            self.names.push(name.to_owned());
        }
    }

    /// Takes out of messages what they quote from values that may not be shown.
    pub(crate) fn without_hidden(&self, table: &Origin, faults: Vec<Fault>) -> Vec<Fault> {
        let Source { text: Some(text), form, .. } = &self.list[table.source] else {
            return faults;
        };
        if faults.is_empty() {
            return faults;
        }
        let mask = Mask::new(text, *form);
        let hides = |fault: &Fault| {
            mask.is_broken_by(&fault.message, fault.span.as_ref())
                || self.replaced.iter().any(|text| repeats(&fault.message, text))
        };
        let clean = |fault: Fault| match hides(&fault) {
            true => Fault { message: without_quotes(&fault.message), ..fault },
            false => fault,
        };
        faults.into_iter().map(clean).collect()
    }

    /// The folder of the file in which a table stands; empty if it stands in none.
    pub(crate) fn folder(&self, table: &Origin) -> PathBuf {
        let Source { name, text, .. } = &self.list[table.source];
        let file = text.as_ref().map(|_| Path::new(name));
        file.and_then(Path::parent).map(Path::to_owned).unwrap_or_default()
    }

    /// A place as it is printed.
    pub(crate) fn place(&self, origin: &Origin) -> Place {
        let Source { name, text, .. } = &self.list[origin.source];
        let position = text.as_ref().map(|text| position(text, origin.span.start));
        Place { file: printable(name), position }
    }

    /// What was found, file by file, masked so that it may be shown to anybody.
    pub(crate) fn problems(&self, findings: &Findings) -> Vec<Problem> {
        let Findings { list, elsewhere } = findings;
        let mut findings: Vec<_> = list.iter().collect();
        findings.sort_by_key(|finding| {
            let start = finding.fault.span.as_ref().map_or(0, |span| span.start);
            (finding.severity == Severity::Warning, finding.source, start)
        });
        findings.truncate(MAX_PROBLEMS);
        let by_file = findings.chunk_by(|a, b| a.source == b.source);
        let own = by_file.flat_map(|findings| self.problems_of(findings));
        let mut problems: Vec<_> = own.chain(elsewhere.iter().cloned()).collect();
        problems.sort_by_key(|problem| problem.severity == Severity::Warning);
        problems
    }

    fn without_names(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, name| text.replace(name, MASK))
    }

    fn problems_of(&self, findings: &[&Finding]) -> Vec<Problem> {
        let source = &self.list[findings[0].source];
        let mask = source.text.as_ref().map(|text| Mask::new(text, source.form));
        let problem = |finding: &&Finding| {
            let Fault { span, message, help } = &finding.fault;
            let origin = Origin { source: finding.source, span: span.clone().unwrap_or(0..0) };
            let mut place = self.place(&origin);
            if span.is_none() {
                place.position = None;
            }
            let excerpt = match (&mask, span) {
                (Some(mask), Some(span)) => mask.excerpt(span),
                _ => None,
            };
            let shown = |text: &str| printable(&self.without_names(text));
            let (message, help) = (shown(message), help.as_deref().map(shown));
            Problem { severity: finding.severity, message, place, excerpt, help }
        };
        findings.iter().map(problem).collect()
    }
}

/// How many problems are worked out; each needs its line masked.
const MAX_PROBLEMS: usize = 1000;

/// A fault with its file.
#[derive(Clone, Debug)]
struct Finding {
    source: usize,
    severity: Severity,
    fault: Fault,
}

/// What is wrong, before it is made to be shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    /// What is wrong in other files.
    elsewhere: Vec<Problem>,
}

impl Findings {
    /// Notes an error.
    pub(crate) fn fault(&mut self, source: usize, fault: Fault) {
        self.list.push(Finding { source, severity: Severity::Error, fault });
    }

    /// Notes a warning.
    pub(crate) fn warn(&mut self, source: usize, fault: Fault) {
        self.list.push(Finding { source, severity: Severity::Warning, fault });
    }

    /// Notes an error in a table; a fault without a place is one of the table's header.
    pub(crate) fn fault_in(&mut self, table: &Origin, fault: Fault) {
        self.fault(table.source, placed(table, fault));
    }

    /// Notes a warning about a table.
    pub(crate) fn warn_in(&mut self, table: &Origin, fault: Fault) {
        self.warn(table.source, placed(table, fault));
    }

    /// Notes what is wrong in other files.
    pub(crate) fn add(&mut self, problems: Vec<Problem>) {
        self.elsewhere.extend(problems);
    }

    /// Whether an error was noted within this place of a table: what is wrong with the whole of it
    /// only follows from that.
    pub(crate) fn has_error_within(&self, table: &Origin, place: &Range<usize>) -> bool {
        let is_within = |span: &Range<usize>| place.start <= span.start && span.end <= place.end;
        self.list
            .iter()
            .filter(|finding| finding.source == table.source)
            .filter(|finding| finding.severity == Severity::Error)
            .any(|finding| finding.fault.span.as_ref().is_some_and(is_within))
    }

    /// Whether any error was noted.
    pub(crate) fn has_errors(&self) -> bool {
        let own = self.list.iter().map(|finding| finding.severity);
        let elsewhere = self.elsewhere.iter().map(|problem| problem.severity);
        own.chain(elsewhere).any(|severity| severity == Severity::Error)
    }

    /// Everything as it may be shown.
    pub(crate) fn into_problems(self, sources: &Sources) -> Problems {
        Problems(sources.problems(&self))
    }
}

/// Faults of a keys file, each with its place, masked so that they may be shown to anybody. Only
/// the part around a fault that `part` says is read again: the whole may be long.
pub(crate) fn problems_of_keys(
    name: &str,
    text: &str,
    severity: Severity,
    faults: Vec<Fault>,
    part: impl Fn(usize) -> Range<usize>,
) -> Vec<Problem> {
    let mut known: Option<(Range<usize>, Mask<'_>)> = None;
    let mut excerpt = |span: &Range<usize>| {
        let part = part(span.start);
        let (start, mask) = match known.take() {
            Some((known, mask)) if known == part => (known, mask),
            _ => (part.clone(), Mask::new(&text[part], Form::Keys)),
        };
        let (start, mask) = known.insert((start, mask));
        mask.excerpt(&(span.start - start.start..span.end.max(start.start) - start.start))
    };
    let problem = |fault: Fault| Problem {
        severity,
        message: printable(&fault.message),
        place: Place {
            file: printable(name),
            position: fault.span.as_ref().map(|span| position(text, span.start)),
        },
        excerpt: fault.span.as_ref().and_then(&mut excerpt),
        help: fault.help.as_deref().map(printable),
    };
    faults.into_iter().map(problem).collect()
}

/// Gives a fault without a place that of its table. What stands in no text, and a table that is a
/// whole file, have the empty span.
fn placed(table: &Origin, fault: Fault) -> Fault {
    let written = |span: &Range<usize>| !span.is_empty();
    let span = fault.span.filter(written).or_else(|| Some(table.span.clone()).filter(written));
    Fault { span, ..fault }
}

/// Line and column of a byte, counted from 1, the column in characters.
fn position(text: &str, place: usize) -> (usize, usize) {
    let line = line_around(text, place);
    let place = text.floor_char_boundary(place.min(text.len()));
    let number = memchr::memchr_iter(b'\n', &text.as_bytes()[..line.start]).count() + 1;
    (number, text[line.start..place].chars().count() + 1)
}

/// Escapes what could drive a terminal; a name may hold anything. Line breaks separate sentences.
fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        '\n' => "\n".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}
