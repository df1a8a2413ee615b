//! Keys that are kept in a file, or that a command prints, as they were read last.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::keys::Set;
use crate::config::problem::{Fault, Place, Problem, Severity};
use crate::config::suggest;
use crate::keys::keyring::Keyring;
use crate::keys::keyset::{Builder, Keyset, Location};
use crate::keys::record::Record;
use crate::keys::{file, listing};
use crate::keystore::command::Command;
use crate::keystore::{KeysFile, Stamp, used};
use crate::plugin::Site;

/// The keys of one file, or those that a command printed.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    origin: Origin,
    version: Version,
    pub(super) set: Set,
    /// Whether they are older than they should be, because a command has failed since.
    is_stale: bool,
    /// What is doubtful about keys that a command printed.
    doubt: Option<String>,
    /// Whether it was said that the uses of keys cannot be noted.
    complained: Arc<AtomicBool>,
    inquiry: Arc<Inquiry>,
}

/// What a command was asked while its last keys go on serving.
#[derive(Default)]
struct Inquiry {
    /// Whether somebody wants it to be asked before it is due.
    is_wanted: AtomicBool,
    /// What it said, until that is read.
    answer: Mutex<Option<Result<Zeroizing<String>, String>>>,
}

impl fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[inquiry]")
    }
}

impl Inquiry {
    /// Nothing is done while it is held that could break off.
    fn answer(&self) -> MutexGuard<'_, Option<Result<Zeroizing<String>, String>>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A keys file.
    File(PathBuf),
    /// A command, and how often it is asked again.
    Command(Command, Duration),
}

/// Until when what was read need not be read again.
#[derive(Clone, Debug)]
enum Version {
    /// As long as the file is like this.
    Stamp(Stamp),
    /// Until then.
    Due(Instant),
}

/// How soon a command is asked again that failed.
const AGAIN: Duration = Duration::from_secs(10);

/// Whether there is a file.
pub(super) fn is_there(path: &Path) -> bool {
    Stamp::at(path).is_some()
}

/// The keys of an origin: as they were read before, if that still holds. `listed` are keys that
/// stand elsewhere. None if something is wrong; what, is added to the site's problems.
pub(super) fn load(
    origin: &Origin,
    known: Option<&Stored>,
    listed: &Keyring,
    site: &mut Site<'_>,
) -> Option<Stored> {
    let known = known.filter(|known| known.origin == *origin);
    let same = known.filter(|known| !known.has_changed());
    let same = same
        .and_then(|known| Some((known.version.clone(), known.fit(listed, site)?, known.is_stale)));
    let mut doubt = known.and_then(|known| known.doubt.clone());
    let (version, set, is_stale) = match (same, origin) {
        (Some(same), _) => same,
        (None, Origin::File(path)) => {
            let (version, set) = file(path, listed, site)?;
            (version, set, false)
        }
        (None, Origin::Command(command, interval)) => {
            let asked = known.and_then(|known| known.inquiry.answer().take());
            let answer = asked.unwrap_or_else(|| command.output());
            match printed(answer, listed, site.locations) {
                Ok((set, new)) => {
                    // Said once, not each time that it is asked.
                    site.problems
                        .extend(new.clone().filter(|_| new != doubt).map(guessable(command)));
                    doubt = new;
                    (Version::Due(Instant::now() + *interval), set, false)
                }
                Err(problem) => {
                    let last = known.and_then(|known| known.fit(listed, site));
                    site.problems.push(failed(command, problem, last.is_some()));
                    (Version::Due(Instant::now() + AGAIN.min(*interval)), last?, true)
                }
            }
        }
    };
    let complained = known.map(|known| Arc::clone(&known.complained)).unwrap_or_default();
    let inquiry = known.map(|known| Arc::clone(&known.inquiry)).unwrap_or_default();
    Some(Stored { origin: origin.clone(), version, set, is_stale, doubt, complained, inquiry })
}

impl Stored {
    /// What was read, if nothing else makes it wrong.
    fn fit(&self, listed: &Keyring, site: &Site<'_>) -> Option<Set> {
        let keys = &self.set.keys;
        if listed.digests().any(|digest| keys.holds(digest)) {
            return None;
        }
        Some(Set { keys: Arc::clone(keys), locations: resolve(keys, site.locations)? })
    }

    /// Whether other keys may be there now than were read.
    pub(super) fn has_changed(&self) -> bool {
        match (&self.version, &self.origin) {
            (Version::Stamp(stamp), Origin::File(path)) => Stamp::at(path).as_ref() != Some(stamp),
            (Version::Due(_), _) => self.inquiry.answer().is_some(),
            (Version::Stamp(_), Origin::Command(..)) => true,
        }
    }

    /// Whether the keys are older than they should be.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Has a command be asked before it is due.
    pub(super) fn expire(&self) {
        self.inquiry.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Asks a command that is due. The next reload reads what it said; none waits for it.
    pub(super) fn ask(&self) {
        let (Origin::Command(command, _), Some(due)) = (&self.origin, self.due()) else { return };
        if due <= Instant::now() {
            self.inquiry.is_wanted.store(false, Ordering::Relaxed);
            let answer = command.output();
            *self.inquiry.answer() = Some(answer);
        }
    }

    /// Where the keys come from.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The file that the keys come from.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File(path) => Some(path),
            Origin::Command(..) => None,
        }
    }

    /// When a command is to be asked again.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.version {
            Version::Due(due) => {
                let is_wanted = self.inquiry.is_wanted.load(Ordering::Relaxed);
                Some(if is_wanted { due.min(Instant::now()) } else { due })
            }
            Version::Stamp(_) => None,
        }
    }

    /// Notes beside the file when its keys were used last.
    pub(super) fn note_used(&self) {
        let Some(path) = self.path() else { return };
        let seen = self.set.keys.take_used();
        if seen.is_empty() {
            return;
        }
        if let Err(error) = used::write(path, seen)
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            let file = used::path(path);
            tracing::warn!("when keys were used cannot be noted in {}: {error}", file.display());
        }
    }
}

/// Reads a file into a set.
fn file(path: &Path, listed: &Keyring, site: &mut Site<'_>) -> Option<(Version, Set)> {
    let file = match KeysFile::read(path) {
        Ok(file) => file,
        Err(problems) => {
            site.problems.extend(problems);
            return None;
        }
    };
    match set(file.count(), |each| file.parse(each), listed, site.locations) {
        Ok(set) => {
            site.problems.extend(file.warnings(set.keys.is_empty().then(no_key)));
            Some((Version::Stamp(file.stamp().clone()), set))
        }
        Err(faults) => {
            site.problems.extend(file.problems(faults));
            None
        }
    }
}

/// Makes a set of what a command prints, and says what is doubtful about it; or what is wrong, by
/// the number of the record.
fn printed(
    answer: Result<Zeroizing<String>, String>,
    listed: &Keyring,
    locations: &[&str],
) -> Result<(Set, Option<String>), Fault> {
    let wrong = |message: String| Fault::new(format!("what it prints is wrong: {message}"));
    let printed = answer.map_err(Fault::new)?;
    let told = listing::records(&printed).map_err(wrong)?;
    let text = &told.text;
    let set = set(file::records(text).count(), |each| file::parse(text, each), listed, locations);
    let set = set.map_err(|mut faults| {
        let Fault { span, message, help } = faults.swap_remove(0);
        let before = &text[..span.map_or(0, |span| span.end)];
        let number = file::records(before).count();
        Fault { span: None, help, ..wrong(format!("{message}, in entry {number}")) }
    })?;
    Ok((set, told.doubt()))
}

/// Warns of keys that could be guessed.
fn guessable(command: &Command) -> impl FnOnce(String) -> Problem {
    |doubt| about(command, Severity::Warning, format!("of what keys_command prints, {doubt}"))
}

/// What is wrong with a command; with keys of before, it is none that stops the gate.
fn failed(command: &Command, fault: Fault, keeps: bool) -> Problem {
    let kept = if keeps { "; the keys that it printed before stay" } else { "" };
    let severity = if keeps { Severity::Warning } else { Severity::Error };
    let message = format!("keys_command failed: {}{kept}", fault.message);
    Problem { help: fault.help, ..about(command, severity, message) }
}

fn about(command: &Command, severity: Severity, message: String) -> Problem {
    let place = Place { file: command.program().to_owned(), position: None };
    Problem { severity, message, place, excerpt: None, help: None }
}

/// Makes a set of all records, about so many; or says everything that is wrong, which is something.
fn set(
    count: usize,
    parse: impl FnOnce(&mut dyn FnMut(Record)) -> Vec<Fault>,
    listed: &Keyring,
    locations: &[&str],
) -> Result<Set, Vec<Fault>> {
    let mut builder = Builder::with_capacity(count);
    let mut more = Vec::new();
    let mut faults = parse(&mut |record| {
        if listed.find(record.hash.get_ref()).is_some() {
            let fault =
                Fault::at(record.hash.span(), "this key stands in `keys` of the plugin too");
            more.push(fault.help("there it has no name and no limits: leave it out of `keys`"));
        }
        more.extend(builder.add(record).err());
    });
    faults.append(&mut more);
    if !faults.is_empty() {
        return Err(faults);
    }
    let keys = builder.finish().map_err(|fault| vec![fault])?;
    match resolve(&keys, locations) {
        Some(locations) => Ok(Set { keys: Arc::new(keys), locations }),
        None => Err(unknown(&keys, locations)),
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
