//! An error in the configuration, with its place and the way out.

use std::fmt;
use std::ops::Range;

/// What is wrong in one table, before it is known which file the table stands in.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Where, in bytes of the file's text; absent: the table as a whole.
    pub span: Option<Range<usize>>,
    /// What is wrong, as a sentence without a full stop; it never holds a key.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Fault {
    /// A fault of the table as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self { span: None, message: message.into(), help: None }
    }

    /// A fault at a place in the text.
    pub fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span: Some(span), message: message.into(), help: None }
    }

    /// Adds what to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what to do about it, if anything is known.
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = self.help.or(help);
        self
    }
}

/// Whether a problem keeps the gate from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but somebody should know.
    Warning,
}

/// A fault with its file: what `check` and start print. It is safe to show to anybody: what could
/// be a key was masked when it was made.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Whether it keeps the gate from starting.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub place: Place,
    /// The line it is about, and the spot on it.
    pub excerpt: Option<Excerpt>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or the option or variable of a start without files.
    pub file: String,
    /// Line and column, both counted from 1, the column in characters.
    pub position: Option<(usize, usize)>,
}

/// One line of a file with what could be a key masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line.
    pub line: String,
    /// The spot, in characters of `line`; never empty.
    pub spot: Range<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        match self.position {
            Some((line, column)) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", self.message)?;
        let number = self.place.position.map_or(String::new(), |(line, _)| line.to_string());
        let gutter = number.len().max(1);
        writeln!(f, "{:gutter$}--> {}", "", self.place)?;
        if let Some(Excerpt { line, spot }) = &self.excerpt {
            let (indent, carets) = (spot.start, spot.len().max(1));
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{number} | {line}")?;
            writeln!(f, "{:gutter$} | {:indent$}{:^<carets$}", "", "", "")?;
        }
        for help in self.help.iter().flat_map(|help| help.lines()) {
            writeln!(f, "{:gutter$} = help: {help}", "")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

/// How many problems are printed: nobody reads more before mending the first ones.
const SHOWN: usize = 50;

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.0.iter().take(SHOWN) {
            writeln!(f, "{problem}")?;
        }
        let (errors, hidden) = (self.errors(), self.0.len().saturating_sub(SHOWN));
        if hidden > 0 {
            writeln!(f, "… and {hidden} more\n")?;
        }
        let plural = if errors == 1 { "" } else { "s" };
        writeln!(f, "{errors} error{plural} in the configuration")
    }
}

impl std::error::Error for Problems {}

impl Problems {
    /// How many of them keep the gate from starting.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|problem| problem.severity == Severity::Error).count()
    }
}
