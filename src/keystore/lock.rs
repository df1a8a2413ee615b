//! Keeping all others from changing a file while one does.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

/// How long another change is waited for: one to a million keys takes some seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked whether the other one is done.
const PACE: Duration = Duration::from_millis(10);

/// For open(2): the last part of the path is no link.
const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// The right to change a file. It ends when this is dropped, or with the process.
pub(super) struct Lock {
    /// The lock file, locked (flock(2)). It is never removed: somebody could be waiting for it.
    _file: File,
}

impl Lock {
    /// Waits for the right to change a file; the error is a sentence.
    pub(super) fn take(path: &Path) -> Result<Self, String> {
        let beside = beside(path);
        let failed = |error: std::io::Error| format!("cannot lock {}: {error}", beside.display());
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        // What a link leads to would be emptied.
        let options = options.custom_flags(NO_LINK);
        let mut file = options.open(&beside).map_err(failed)?;
        let end = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if Instant::now() < end => thread::park_timeout(PACE),
                Err(TryLockError::WouldBlock) => return Err(is_held(path, &mut file)),
            }
        }
        // Who holds it is only told to others; without it they are told less.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn is_held(path: &Path, file: &mut File) -> String {
    let mut holder = String::new();
    let read = file.rewind().and_then(|()| file.take(20).read_to_string(&mut holder));
    let known = read.is_ok() && !holder.is_empty() && holder.bytes().all(|b| b.is_ascii_digit());
    let holder = if known { format!("process {holder}") } else { "another process".to_owned() };
    let waited = PATIENCE.as_secs();
    format!("{holder} has been changing {} for more than {waited} s", path.display())
}

/// The lock file of a file.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    beside.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_leads_to_is_not_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let (keys, other) = (folder.path().join("keys.toml"), folder.path().join("other"));
        std::fs::write(&other, "text").unwrap();
        std::os::unix::fs::symlink(&other, beside(&keys)).unwrap();
        assert!(Lock::take(&keys).is_err());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "text");
    }
}
