//! The environment variables and `.env`, read once and passed on as a value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use super::dotenv::{self, Dotenv};
use super::files;
use super::problem::{Fault, Problems};
use super::source::{Findings, Sources};
use super::suggest;

/// Environment variables. Some hold keys, so they have no `Display`, their `Debug` shows the names
/// alone, and they are wiped when they are dropped.
#[derive(Clone, Default)]
pub struct Environment {
    variables: Variables,
}

/// Names and values.
type Variables = BTreeMap<String, Zeroizing<String>>;

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let own = |(name, value): (K, V)| (name.into(), Zeroizing::new(value.into()));
        Self { variables: variables.into_iter().map(own).collect() }
    }
}

impl Environment {
    /// Reads `.env` in a folder, if there is one, and the process's environment, which wins.
    ///
    /// # Errors
    ///
    /// When `.env` cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Problems> {
        let process = std::env::vars_os().filter_map(|(name, value)| {
            // A variable that is not UTF-8 counts as not set: no string could hold it.
            Some((name.into_string().ok()?, Zeroizing::new(value.into_string().ok()?)))
        });
        let process = process.collect();
        let mut variables = Self::read_file(&folder.join(".env"), &process)?;
        variables.extend(process);
        Ok(Self { variables })
    }

    fn read_file(path: &Path, process: &Variables) -> Result<Variables, Problems> {
        let sources = Sources::new(".env");
        let mut findings = Findings::default();
        if let Ok(false) = std::fs::exists(path) {
            return Ok(Variables::new());
        }
        let (text, invalid) = match files::read(path) {
            Ok(contents) => files::text(contents.bytes),
            Err(fault) => {
                findings.fault(0, fault);
                return Err(findings.into_problems(&sources));
            }
        };
        if invalid {
            findings.fault(0, Fault::new("the file is not UTF-8"));
        }
        let Dotenv { variables, wrong } = dotenv::read(&text, process);
        for line in wrong {
            findings.fault(0, line_fault(line));
        }
        if findings.has_errors() { Err(findings.into_problems(&sources)) } else { Ok(variables) }
    }

    /// The value of a variable, which may be empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.as_str())
    }

    /// The names of all variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
}

/// What keygate's own variables begin with.
const PREFIX: &str = "KEYGATE_";

/// How they go on.
const OWN: &[&str] = &["ADMIN", "CONFIG", "HEADER", "LISTEN", "LOG", "OPEN", "QUERY", "UPSTREAM"];

impl Environment {
    /// Variables that are almost one of keygate's own. Others are no mistake: Kubernetes sets
    /// `KEYGATE_PORT` and more wherever a service is called so.
    pub(super) fn misspelt(&self) -> impl Iterator<Item = Fault> {
        let unknown = self.names().filter_map(|name| name.strip_prefix(PREFIX));
        let unknown = unknown.filter(|rest| !OWN.contains(rest));
        unknown.filter_map(|rest| {
            let meant = suggest::closest(rest, OWN.iter().copied())?;
            let fault = Fault::new(format!("keygate knows no variable `{PREFIX}{rest}`"));
            Some(fault.help(format!("did you mean `{PREFIX}{meant}`?")))
        })
    }
}

/// The error of one line, without the line itself, which may hold a key.
fn line_fault(line: usize) -> Fault {
    Fault::new(format!("line {line}: not a line of the form NAME=value"))
        .help("a value with blanks, quotes or `$` stands in single quotes: NAME='value'")
}
