//! Putting a file in the place of another in one step.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use tempfile::Builder;

/// Whether a file must be there after the machine has lost its power.
pub(super) struct Durable(pub(super) bool);

/// Writes a file, in place of another if there is one: whoever reads it finds the one or the other,
/// whole, whatever happens meanwhile. It gets the owner and the mode of another file, `like`; where
/// that is not there, nobody else may read it.
pub(super) fn replace(
    path: &Path,
    like: Option<&Path>,
    durable: Durable,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(path);
    let name = path.file_name().unwrap_or_default();
    let mut file = Builder::new().prefix(&prefix(name)).suffix(SUFFIX).tempfile_in(folder)?;
    like.map_or(Ok(()), |like| take_after(file.as_file(), like))?;
    let mut out = BufWriter::new(file.as_file_mut());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    if durable.0 {
        file.as_file().sync_all()?;
    }
    file.persist(path)?;
    if durable.0 {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Removes what was left of changes to a file that did not come to their end. Only for whoever
/// keeps all others from changing it.
pub(super) fn clear(path: &Path) {
    let prefix = prefix(path.file_name().unwrap_or_default());
    let entries = std::fs::read_dir(folder_of(path)).into_iter().flatten().flatten();
    let names = entries.map(|entry| (entry.file_name(), entry.path()));
    let left = |name: &OsStr| {
        let (name, prefix) = (name.as_encoded_bytes(), prefix.as_encoded_bytes());
        name.starts_with(prefix) && name.ends_with(SUFFIX.as_bytes())
    };
    for (_, path) in names.filter(|(name, _)| left(name)) {
        // What cannot be removed harms nobody.
        let _ = std::fs::remove_file(path);
    }
}

/// What the name of a file in the making ends with.
const SUFFIX: &str = ".tmp";

/// What the name of a file in the making begins with: a dot, so that it is no part of a
/// configuration.
fn prefix(name: &OsStr) -> std::ffi::OsString {
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    prefix
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Gives a new file, which is ours alone, the owner and the mode of another one.
fn take_after(file: &File, other: &Path) -> io::Result<()> {
    let other = match std::fs::metadata(other) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (other.uid(), other.gid()) {
        fchown(file, Some(other.uid()), Some(other.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(other.mode() & 0o7777))
}
