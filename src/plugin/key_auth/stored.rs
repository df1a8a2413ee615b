//! Keys that are kept in a file, as they were read last.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::keys::Set;
use crate::config::problem::Fault;
use crate::config::suggest;
use crate::keys::keyring::Keyring;
use crate::keys::keyset::{Builder, Keyset, Location};
use crate::keystore::{KeysFile, Stamp, used};
use crate::plugin::Site;

/// The keys of one file.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    path: PathBuf,
    /// What the file was like when it was read.
    stamp: Stamp,
    pub(super) set: Set,
    /// Whether it was said that the uses of keys cannot be noted.
    complained: Arc<AtomicBool>,
}

/// Whether there is a file.
pub(super) fn is_there(path: &Path) -> bool {
    Stamp::at(path).is_some()
}

/// What a file holds: as it was read before, if it is the same file unchanged. `listed` are keys
/// that stand elsewhere. None if it is wrong; what, is added to the site's problems.
pub(super) fn load(
    path: &Path,
    known: Option<&Stored>,
    listed: &Keyring,
    site: &mut Site<'_>,
) -> Option<Stored> {
    let known = known.filter(|known| known.path == path);
    let unchanged = known.and_then(|known| known.unchanged(listed, site.locations));
    let (stamp, set) = unchanged.or_else(|| read(path, listed, site))?;
    let complained = known.map(|known| Arc::clone(&known.complained)).unwrap_or_default();
    Some(Stored { path: path.to_owned(), stamp, set, complained })
}

impl Stored {
    /// What was read, if that is what would be read again and nothing else makes it wrong.
    fn unchanged(&self, listed: &Keyring, locations: &[&str]) -> Option<(Stamp, Set)> {
        let keys = &self.set.keys;
        if self.has_changed() || listed.digests().any(|digest| keys.holds(digest)) {
            return None;
        }
        let set = Set { keys: Arc::clone(keys), locations: resolve(keys, locations)? };
        Some((self.stamp.clone(), set))
    }

    /// Whether the file is another one than was read.
    pub(super) fn has_changed(&self) -> bool {
        Stamp::at(&self.path).as_ref() != Some(&self.stamp)
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes beside the file when its keys were used last.
    pub(super) fn note_used(&self) {
        let seen = self.set.keys.take_used();
        if seen.is_empty() {
            return;
        }
        if let Err(error) = used::write(&self.path, seen)
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            let file = used::path(&self.path);
            tracing::warn!("when keys were used cannot be noted in {}: {error}", file.display());
        }
    }
}

/// Reads a file into a set.
fn read(path: &Path, listed: &Keyring, site: &mut Site<'_>) -> Option<(Stamp, Set)> {
    let file = match KeysFile::read(path) {
        Ok(file) => file,
        Err(problems) => {
            site.problems.extend(problems);
            return None;
        }
    };
    let mut builder = Builder::default();
    let mut more = Vec::new();
    let mut faults = file.parse(|record| {
        if listed.find(record.hash.get_ref()).is_some() {
            let fault =
                Fault::at(record.hash.span(), "this key stands in `keys` of the plugin too");
            more.push(fault.help("there it has no name and no limits: leave it out of `keys`"));
        }
        more.extend(builder.add(record).err());
    });
    faults.append(&mut more);
    let made =
        if faults.is_empty() { builder.finish().map_err(|fault| vec![fault]) } else { Err(faults) };
    let made = made.and_then(|keys| match resolve(&keys, site.locations) {
        Some(locations) => Ok(Set { keys: Arc::new(keys), locations }),
        None => Err(unknown(&keys, site.locations)),
    });
    match made {
        Ok(set) => {
            site.problems.extend(file.warnings(set.keys.is_empty().then(no_key)));
            Some((file.stamp().clone(), set))
        }
        Err(faults) => {
            site.problems.extend(file.problems(faults));
            None
        }
    }
}

/// To revoke the last key must be possible.
fn no_key() -> Fault {
    Fault::new("there is no key in this file: nobody is let through with one")
        .help("`keygate keys add ID` makes one")
}

/// Where the locations are that keys name; none, if one is unknown.
fn resolve(keys: &Keyset, locations: &[&str]) -> Option<Box<[usize]>> {
    keys.locations().iter().map(|named| position(named, locations)).collect()
}

fn position(named: &Location, locations: &[&str]) -> Option<usize> {
    locations.iter().position(|location| **location == *named.name)
}

fn unknown(keys: &Keyset, locations: &[&str]) -> Vec<Fault> {
    let unknown = keys.locations().iter().filter(|named| position(named, locations).is_none());
    let fault = |named: &Location| {
        Fault::at(named.place.clone(), format!("unknown location `{}`", named.name))
            .help(suggest::help(&named.name, locations, "the configuration has no location"))
    };
    unknown.map(fault).collect()
}
