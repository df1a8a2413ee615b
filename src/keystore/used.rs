//! When each key was last used, kept beside its keys file.
//!
//! A line of `KEYS_FILE.used` is an id and a date and time in UTC with a blank between them, in the
//! order of the ids. It is no part of the keys file: that one changes only where keys do.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::is_file;
use super::replace::{Durable, replace};
use crate::keys::{file, name};

/// When the key of each id was last used.
pub type Used = BTreeMap<String, SystemTime>;

/// The file beside a keys file.
pub fn path(keys_file: &Path) -> PathBuf {
    let mut path = keys_file.as_os_str().to_owned();
    path.push(".used");
    path.into()
}

/// When each key of a keys file was last used, as far as it was noted. A line that is none is
/// passed over: nothing depends on it.
///
/// # Errors
///
/// When there is a file that cannot be read.
pub fn read(keys_file: &Path) -> io::Result<Used> {
    let text = text(&path(keys_file))?;
    Ok(lines(&text).map(|(id, moment)| (id.to_owned(), moment)).collect())
}

/// Adds to what was noted when keys were used; of two times the later one stays. The file is
/// replaced in one step. Where two processes do this at once, the notes of one may be lost.
///
/// # Errors
///
/// When the file cannot be read or written.
pub fn write<'a>(
    keys_file: &Path,
    seen: impl IntoIterator<Item = (&'a str, SystemTime)>,
) -> io::Result<()> {
    let path = path(keys_file);
    let text = text(&path)?;
    let mut all: Vec<(&str, SystemTime)> = lines(&text).collect();
    for (id, moment) in seen {
        all.push((id, moment));
    }
    all.retain(|(_, moment)| file::is_writable(*moment));
    all.sort_unstable();
    let last_of_each = all.chunk_by(|one, other| one.0 == other.0).filter_map(<[_]>::last);
    let write = |out: &mut dyn Write| {
        for (id, moment) in last_of_each {
            writeln!(out, "{id} {}", humantime::format_rfc3339_seconds(*moment))?;
        }
        Ok(())
    };
    // What a crash of the machine loses is less than what nobody noted.
    replace(&path, Some(keys_file), Durable(false), write)
}

fn text(path: &Path) -> io::Result<String> {
    if !is_file(path) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn lines(text: &str) -> impl Iterator<Item = (&str, SystemTime)> {
    text.lines().filter_map(|line| {
        let (id, moment) = line.split_once(' ')?;
        name::id(id).ok()?;
        Some((id, humantime::parse_rfc3339(moment).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_later_of_two_times_stays() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys.toml");
        assert_eq!(read(&keys).unwrap(), Used::new());
        write(&keys, [("b", at(20)), ("a", at(10))]).unwrap();
        write(&keys, [("a", at(5)), ("b", at(30)), ("c", at(1))]).unwrap();
        let text = std::fs::read_to_string(path(&keys)).unwrap();
        let lines = ["a 1970-01-01T00:00:10Z", "b 1970-01-01T00:00:30Z", "c 1970-01-01T00:00:01Z"];
        assert_eq!(text, lines.join("\n") + "\n");
        let expected = [("a", 10), ("b", 30), ("c", 1)].map(|(id, time)| (id.to_owned(), at(time)));
        assert_eq!(read(&keys).unwrap(), expected.into());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn what_is_no_line_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys.toml");
        let lines = b"a 1970-01-01T00:00:10Z\nb\nc yesterday\n\xff 1970-01-01T00:00:10Z\na b c\n\n";
        std::fs::write(path(&keys), lines).unwrap();
        assert_eq!(read(&keys).unwrap(), [("a".to_owned(), at(10))].into());
    }

    #[test]
    fn who_may_read_the_keys_file_may_read_when_its_keys_were_used() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys.toml");
        std::fs::write(&keys, "").unwrap();
        for mode in [0o600, 0o640] {
            std::fs::set_permissions(&keys, PermissionsExt::from_mode(mode)).unwrap();
            write(&keys, [("a", at(10))]).unwrap();
            let found = std::fs::metadata(path(&keys)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode);
        }
    }
}
