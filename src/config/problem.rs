//! An error in the configuration, with its place and the way out.

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
}

/// A fault with its file: what `check` and start print.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The fault.
    pub fault: Fault,
}
