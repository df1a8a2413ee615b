//! A folder that is written whole or not at all.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::cli::Failure;

/// Nobody else reads what stands here: a key may be written into it later.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The folder, and what was made for it; that is removed again unless it is kept.
pub(super) struct Folder {
    path: PathBuf,
    is_new: bool,
    written: Vec<PathBuf>,
    is_kept: bool,
}

impl Folder {
    /// A new folder, or one that is there and empty.
    pub(super) fn make(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| cannot(path, &error);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let is_new = match DirBuilder::new().mode(FOLDER_MODE).create(path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => return Err(failed(error)),
        };
        if !is_new && fs::read_dir(path).map_err(failed)?.next().is_some() {
            let message =
                format!("error: {} is not empty\n  = help: name a new folder", path.display());
            return Err(Failure::usage(message));
        }
        Ok(Self { path: path.to_owned(), is_new, written: Vec::new(), is_kept: false })
    }

    /// Writes a file that is not there yet.
    pub(super) fn write(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        let failed = |error: io::Error| cannot(&path, &error);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(FILE_MODE).open(&path);
        let mut file = file.map_err(failed)?;
        self.written.push(path.clone());
        file.write_all(text.as_bytes()).map_err(failed)
    }

    /// All is well.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // What cannot be removed is left; there is an error to tell already.
        for path in &self.written {
            let _ = fs::remove_file(path);
        }
        if self.is_new {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::runtime(format!("error: cannot write {}: {error}", path.display()))
}
