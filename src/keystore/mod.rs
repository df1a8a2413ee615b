//! Keys files on disk: what they hold, whether they changed, and how they are changed.

pub mod command;
pub mod edit;
pub mod import;
mod lock;
mod replace;
mod stamp;
pub mod used;

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use self::stamp::Stamp;
use crate::config::files::{self, Contents};
use crate::config::problem::{Fault, Place, Problem, Severity};
use crate::config::source::problems_of_keys;
use crate::keys::file;
use crate::keys::record::Record;

/// The longest keys file: a million records are about 160 MB.
const SIZE_LIMIT: u64 = 1 << 30;

/// A keys file as it was read. Its text goes with it: keep it no longer than until a set is made of
/// its records and everything that is wrong with them is said.
pub struct KeysFile {
    path: PathBuf,
    text: Zeroizing<String>,
    stamp: Stamp,
    exposed: bool,
}

impl KeysFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is longer than 1 GiB, or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, Vec<Problem>> {
        if !is_file(path) {
            return Err(vec![unreadable(path, Fault::new("this is not a file"))]);
        }
        let Contents { bytes, exposed, metadata } =
            files::read_up_to(SIZE_LIMIT, path).map_err(|fault| vec![unreadable(path, fault)])?;
        let (text, invalid) = files::text(bytes);
        let file = Self { exposed, ..Self::of(path.to_owned(), text, Stamp::of(&metadata)) };
        if invalid {
            let end = file.text.len();
            let fault = Fault::at(end..end, "the file is not UTF-8 from here on");
            return Err(file.problems(vec![fault]));
        }
        Ok(file)
    }

    /// A file that holds this text.
    fn of(path: PathBuf, text: Zeroizing<String>, stamp: Stamp) -> Self {
        Self { path, text, stamp, exposed: false }
    }

    /// Hands out each record that is right and returns everything that is wrong, as
    /// [`file::parse`] does.
    pub fn parse(&self, each: impl FnMut(Record)) -> Vec<Fault> {
        file::parse(&self.text, each)
    }

    /// How many records there are, if there is no string of several lines in it.
    pub fn count(&self) -> usize {
        file::records(&self.text).count()
    }

    /// Faults with their places, masked so that they may be shown to anybody.
    pub fn problems(&self, faults: Vec<Fault>) -> Vec<Problem> {
        self.placed(Severity::Error, faults)
    }

    /// What is no fault, but somebody should know.
    pub fn warnings(&self, more: Option<Fault>) -> Vec<Problem> {
        let exposed = || {
            Fault::new("other users of this machine can read this keys file").help(
                "`chmod 600` keeps them out: from a digest they can guess a key that somebody chose",
            )
        };
        self.placed(Severity::Warning, self.exposed.then(exposed).into_iter().chain(more).collect())
    }

    /// What tells the file from what it may become.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn placed(&self, severity: Severity, faults: Vec<Fault>) -> Vec<Problem> {
        let name = self.path.display().to_string();
        let part = |place| file::around(&self.text, place);
        problems_of_keys(&name, &self.text, severity, faults, part)
    }
}

/// Whether what is at a path can be read to its end: a pipe could keep whoever reads it waiting for
/// ever, and with it every revocation. What is not there is said elsewhere.
fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |metadata| metadata.is_file() || metadata.is_dir())
}

fn unreadable(path: &Path, fault: Fault) -> Problem {
    let Fault { message, help, .. } = fault;
    let place = Place { file: path.display().to_string(), position: None };
    Problem { severity: Severity::Error, message, place, excerpt: None, help }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TEXT: &str = "[[key]]\nid = \"alice\"\nconsumer = \"sk-9fK2mQ7xV4cL8hT3sB6yW1\"\n\
                        hash = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";

    /// What is said of a file that holds this.
    fn said(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let problems = match KeysFile::read(&path) {
            Ok(file) => {
                assert_eq!(Some(file.stamp()), Stamp::at(&path).as_ref());
                let mut problems = file.problems(file.parse(|_| ()));
                problems.extend(file.warnings(None));
                problems
            }
            Err(problems) => problems,
        };
        let said: String = problems.iter().map(ToString::to_string).collect();
        said.replace(&folder.path().display().to_string(), "FOLDER")
    }

    #[track_caller]
    fn check(bytes: impl AsRef<[u8]>, expected: &[&str]) {
        let said = said(bytes.as_ref());
        for part in expected {
            assert!(said.contains(part), "no {part:?} in:\n{said}");
        }
        assert_eq!(said.is_empty(), expected.is_empty(), "{said}");
    }

    #[test]
    fn line_ends_and_a_byte_order_mark_do_not_matter() {
        check(TEXT, &[]);
        check(format!("\u{feff}{}", TEXT.replace('\n', "\r\n")), &[]);
    }

    #[test]
    fn a_mistake_is_shown_on_its_line_and_nothing_that_may_be_a_key_beside_it() {
        let many = format!("{TEXT}\n[[key]]\nid = \"bob\"\nhash = \"hunter2-hunter2\"\n");
        check(
            &many,
            &["expected a digest", "--> FOLDER/keys.toml:8:8\n", "\n8 | hash = \"***\"\n"],
        );
        let text = TEXT.replace("id = ", "hash = \"no\"\nid = ") + "expires = \"hunter2\"\n";
        check(&text, &["keys.toml:5:1\n", "\n5 | hash = ***\n", "not TOML: duplicate key"]);
        let text = TEXT.to_owned() + "x = 1\nlimits = { rate = \"no\", \"hunter2\" = 1 }\n";
        check(&text, &["5 | x = ***", "6 | limits = { rate = \"no\", *** = *** }"]);
        let text = TEXT.replace("sha256:ba", "sha256:") + "expires = \"hunter2\"\n";
        check(&text, &["4 | hash = \"***\"", "5 | expires = \"***\""]);
        check("[[key]]\nid = 5 \"hunter2-hunter2\"\n", &["2 | id = ***"]);
        check("[[key]]\nhunter2-hunter2\n", &["keys.toml:2:"]);
        check("hunter2 = \"\"\"\n[[key]]\n\"\"\"\n", &["keys.toml:1:1\n", "1 | *** = \"***\""]);
        for text in [many, text] {
            let said = said(text.as_bytes());
            for secret in ["hunter2", "9fK2mQ7x", "ba7816bf", "7816bf8f"] {
                assert!(!said.contains(secret), "{said}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        check(b"[[key]]\n# \xff", &["not UTF-8 from here on", "keys.toml:2:3\n"]);
        let problem = KeysFile::read(Path::new("/nowhere/keys.toml")).err().unwrap().remove(0);
        assert!(problem.to_string().contains("cannot read the file"), "{problem}");
        assert!(problem.to_string().contains("--> /nowhere/keys.toml\n"), "{problem}");
    }

    #[test]
    fn only_a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        std::os::unix::fs::symlink("/dev/null", used::path(&path)).unwrap();
        let problem = KeysFile::read(&path).err().expect("a device is no file").remove(0);
        assert!(problem.to_string().contains("not a file"), "{problem}");
        assert!(used::read(&path).is_err());
    }

    #[test]
    fn a_file_that_others_can_read_draws_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, TEXT).unwrap();
        for (mode, warned) in [(0o600, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let warnings = KeysFile::read(&path).unwrap().warnings(None);
            assert_eq!(!warnings.is_empty(), warned, "{mode:o}");
            assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
        }
    }
}
