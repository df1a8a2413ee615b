//! Changing a keys file: one at a time, checked before and after, in one step.

use std::fs;
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use zeroize::Zeroizing;

use super::lock::Lock;
use super::replace::{Durable, clear, replace};
use super::{KeysFile, Stamp};
use crate::config::problem::Problem;
use crate::keys::keyset::{Builder, Keyset};
use crate::keys::record::Record;

/// Why a keys file was not changed. It is as it was.
#[derive(Debug)]
pub enum Refusal {
    /// This is wrong with it.
    Wrong(Vec<Problem>),
    /// Something else is in the way, as a sentence.
    Failed(String),
}

/// A keys file that is about to be changed, and that nobody else changes meanwhile.
pub struct Edit {
    path: PathBuf,
    /// None where there is no file yet.
    file: Option<KeysFile>,
    changes: Vec<(Range<usize>, String)>,
    _lock: Lock,
}

impl Edit {
    /// Waits until nobody else changes the file, reads it, and hands out its records. A link is
    /// followed: the file that it leads to is the one that changes.
    ///
    /// # Errors
    ///
    /// When the file is wrong, or cannot be read or changed. Where there is none, `create` says
    /// whether that is an error.
    pub fn begin(path: &Path, create: bool, each: impl FnMut(&Record)) -> Result<Self, Refusal> {
        let path = real(path, create).map_err(Refusal::Failed)?;
        let lock = Lock::take(&path).map_err(Refusal::Failed)?;
        clear(&path);
        let file = match fs::exists(&path) {
            Ok(false) if create => None,
            _ => {
                let file = KeysFile::read(&path).map_err(Refusal::Wrong)?;
                check(&file, each)?;
                Some(file)
            }
        };
        Ok(Self { path, file, changes: Vec::new(), _lock: lock })
    }

    /// The text as it is before any change.
    pub fn text(&self) -> &str {
        self.file.as_ref().map_or("", KeysFile::text)
    }

    /// Puts a record behind all others.
    pub fn append(&mut self, record: &str) {
        let text = self.text();
        let gap = match text {
            "" => "",
            _ if text.ends_with("\n\n") => "",
            _ if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        // After others that are appended there is a line of their own.
        let gap = if self.changes.is_empty() { gap } else { "\n" };
        let end = text.len();
        self.changes.push((end..end, format!("{gap}{record}")));
    }

    /// Puts a text in the place of a part of the file.
    pub fn replace(&mut self, part: Range<usize>, text: String) {
        self.changes.push((part, text));
    }

    /// Writes the file as it is now meant to be.
    ///
    /// # Errors
    ///
    /// When that would be wrong, when somebody changed the file meanwhile without asking, or when
    /// it cannot be written.
    pub fn commit(self) -> Result<(), Refusal> {
        let before = self.file.as_ref().map(|file| file.stamp().clone());
        let text = Zeroizing::new(applied(self.text(), &self.changes));
        let file = KeysFile::of(self.path.clone(), text, Stamp::default());
        drop(self.file);
        check(&file, |_| ())?;
        if Stamp::at(&self.path) != before {
            let message = format!(
                "{} was changed by somebody else meanwhile, and was left as it is now; try again",
                self.path.display()
            );
            return Err(Refusal::Failed(message));
        }
        let write = |out: &mut dyn Write| out.write_all(file.text().as_bytes());
        replace(&self.path, Some(&self.path), Durable(true), write).map_err(|error| {
            Refusal::Failed(format!("cannot write {}: {error}", self.path.display()))
        })
    }
}

/// Refuses a file that a gate would refuse, and hands out its records.
///
/// # Errors
///
/// Everything that is wrong.
pub fn check(file: &KeysFile, mut each: impl FnMut(&Record)) -> Result<Keyset, Refusal> {
    let mut builder = Builder::default();
    let mut too_many = None;
    let mut faults = file.parse(|record| {
        each(&record);
        too_many = too_many.take().or(builder.add(record).err());
    });
    faults.extend(too_many);
    let keys = match faults[..] {
        [] => builder.finish().map_err(|fault| vec![fault]),
        _ => Err(faults),
    };
    keys.map_err(|faults| Refusal::Wrong(file.problems(faults)))
}

/// A text with changes, none of which touches another.
fn applied(text: &str, changes: &[(Range<usize>, String)]) -> String {
    let mut changes: Vec<_> = changes.iter().collect();
    changes.sort_by_key(|(part, _)| part.start);
    let more: usize = changes.iter().map(|(_, text)| text.len()).sum();
    let mut out = String::with_capacity(text.len() + more);
    let mut at = 0;
    for (part, new) in changes {
        out.push_str(&text[at..part.start]);
        out.push_str(new);
        at = part.end;
    }
    out.push_str(&text[at..]);
    out
}

/// The file itself, where links lead to it.
fn real(path: &Path, create: bool) -> Result<PathBuf, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let real = match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && create => new(path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(format!("there is no keys file {shown}; `keygate keys add` makes one"));
        }
        other => other.map_err(failed)?,
    };
    let is_kept = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b"..");
    if real.components().any(is_kept) {
        return Err(format!(
            "{shown} is a copy that Kubernetes keeps: a change of it would be lost; change the \
             Secret that it comes from"
        ));
    }
    Ok(real)
}

/// Where a new file goes: into a folder that is there, and not through a link to nowhere.
fn new(path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    // A file that is there now was made meanwhile, by somebody who adds a key as well.
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(format!("{shown} is a link to a file that is not there"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")))
        .map_err(|error| format!("cannot make {shown}: {error}"))?;
    let name = path.file_name().ok_or_else(|| format!("{shown} is not the name of a file"))?;
    Ok(folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_changed_meanwhile_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let record = "[[key]]\nid = \"a\"\nhash = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";
        let changes = [None, Some("# by hand\n"), Some("# by hand, again\n")];
        for change in changes {
            let mut edit = Edit::begin(&path, true, |_| ()).unwrap();
            edit.append(record);
            let written = change.map(|text| fs::write(&path, text).unwrap());
            match edit.commit() {
                Ok(()) => assert!(written.is_none(), "it was written over"),
                Err(refusal) => {
                    assert!(format!("{refusal:?}").contains("changed by somebody else"));
                    assert_eq!(fs::read_to_string(&path).unwrap(), change.unwrap());
                }
            }
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn what_would_be_wrong_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, "# keep\n").unwrap();
        let mut edit = Edit::begin(&path, false, |_| ()).unwrap();
        edit.append("[[key]]\nid = \"a\"\n");
        assert!(matches!(edit.commit(), Err(Refusal::Wrong(problems)) if problems.len() == 1));
        assert_eq!(fs::read_to_string(&path).unwrap(), "# keep\n");
    }
}
