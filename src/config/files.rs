//! The files of a configuration: which there are, and what they hold.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, Zeroizing};

use super::problem::Fault;

/// The longest file that is read. A million keys are about 80 MB as digests in a keys file, which
/// is not read here; a configuration this long is something else by mistake.
const MAX_FILE_SIZE: u64 = 64 << 20;

/// The files of a configuration, sorted by name. Those of folders below it are left alone:
/// Kubernetes keeps copies in `..data`.
pub(super) fn list(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::new("there is no such file or folder")
            .help("--config PATH (or KEYGATE_CONFIG) names the configuration"),
        _ => Fault::new(format!("cannot read the configuration: {error}")),
    })?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error: std::io::Error| Fault::new(format!("cannot read the folder: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if is_part(&name) {
            files.push(entry.path());
        }
    }
    if files.is_empty() {
        return Err(Fault::new("there is no *.toml file in this folder"));
    }
    files.sort();
    Ok(files)
}

/// Whether a file of this name in the folder of a configuration is a part of it. A keys file is
/// none, and belongs to the plugin that names it.
pub(crate) fn is_part(name: &str) -> bool {
    let keys = name == "keys.toml" || name.ends_with(".keys.toml");
    name.ends_with(".toml") && !name.starts_with('.') && !keys
}

/// What one file holds.
pub(crate) struct Contents {
    /// Its bytes.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Whether others than keygate may read it.
    pub(crate) exposed: bool,
    /// What the system says of it.
    pub(crate) metadata: Metadata,
}

pub(super) fn read(path: &Path) -> Result<Contents, Fault> {
    read_up_to(MAX_FILE_SIZE, path)
}

/// Reads a file unless it is longer than so many bytes.
pub(crate) fn read_up_to(limit: u64, path: &Path) -> Result<Contents, Fault> {
    let unreadable = |error: std::io::Error| Fault::new(format!("cannot read the file: {error}"));
    if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Err(Fault::new("this is a folder, not a file")
            .help("only the files of the configuration's own folder are read"));
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let too_long = || Fault::new(format!("the file is longer than {} MiB", limit >> 20));
    if metadata.len() > limit {
        return Err(too_long());
    }
    // A buffer of the right size from the start leaves no unwiped copy behind.
    let size = usize::try_from(metadata.len() + 1).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    // What is no file has no length, and a file may grow meanwhile.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(too_long());
    }
    Ok(Contents { bytes, exposed: is_exposed(&metadata), metadata })
}

/// Whether everybody may read a file, or its group though keygate need not be in that: it owns the
/// file, and could keep it to itself.
fn is_exposed(metadata: &Metadata) -> bool {
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    let others = if own { 0o044 } else { 0o004 };
    metadata.is_file() && metadata.mode() & others != 0
}

/// What is said of a file with keys that others may read.
pub(super) fn exposed_keys() -> Fault {
    Fault::new("other users of this machine can read the keys in this file").help(
        "`chmod 600` keeps them out; a digest (`keygate keygen` prints it) or `${NAME}` may be read",
    )
}

/// The text of a file without its byte order mark, and whether it ends where UTF-8 does.
pub(crate) fn text(mut bytes: Zeroizing<Vec<u8>>) -> (Zeroizing<String>, bool) {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    let valid = std::str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let invalid = valid < bytes.len();
    bytes[valid..].zeroize();
    bytes.truncate(valid);
    let text = String::from_utf8(std::mem::take(&mut *bytes)).expect("the rest was cut off");
    (Zeroizing::new(text), invalid)
}

/// NAME of a file `plugins.NAME.toml`.
pub(super) fn plugin_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix("plugins.")?.strip_suffix(".toml").filter(|name| !name.is_empty())
}
