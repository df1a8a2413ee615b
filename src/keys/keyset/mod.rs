//! All keys of a keys file, ready to be asked.

mod builder;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use http::Method;
use ipnet::IpNet;

use super::census::{Census, Ending, Soonest};
use super::digest::Digest;
use super::keyring::Keyring;
use super::refusal::Refusal;
use crate::limit::usage::Limit;
use crate::plugin::Names;

pub use self::builder::Builder;

/// The keys of one file. A record costs 52 bytes here and 50 in the keyring, beside its names.
#[derive(Debug)]
pub struct Keyset {
    /// The digests of all records, in their order, and behind them those of `overlaps`.
    keyring: Keyring,
    entries: Box<[Entry]>,
    overlaps: Box<[Overlap]>,
    /// What only few keys have, each once.
    rules: Box<[Rules]>,
    /// All names, one after the other.
    names: Box<str>,
    /// The locations that rules name, each once.
    locations: Box<[Location]>,
    /// When each key was used last, in seconds since 1970; 0: not since that was asked.
    used: Box<[AtomicU32]>,
}

/// What is kept of a record.
struct Entry {
    /// The same number for the same id, in every file that names it.
    id_tag: u64,
    consumer_tag: u64,
    /// In seconds since 1970.
    valid: Range<u64>,
    id: u32,
    consumer: u32,
    /// Index of its rules.
    rules: u32,
    id_length: u8,
    consumer_length: u8,
}

/// A key that was replaced and is still valid.
struct Overlap {
    /// The record that it belongs to.
    position: u32,
    /// In seconds since 1970.
    until: u64,
}

/// What a set of keys says of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is none of these.
    Unknown,
    /// It is disabled, or its time is over or has not come.
    Invalid,
    /// It is valid.
    Valid(Found),
}

/// A valid key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The position of its record.
    pub position: usize,
    /// When it ends, in seconds since 1970; the greatest number: never.
    pub until: u64,
}

impl Found {
    /// When it ends.
    pub fn until(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.until))
    }
}

/// What a key may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Indices into [`Keyset::locations`]; absent: everywhere.
    pub locations: Option<Box<[usize]>>,
    /// Absent: all.
    pub methods: Option<Box<[Method]>>,
    /// Absent: from anywhere.
    pub allow_ips: Option<Box<[IpNet]>>,
    /// How often it may be used; empty: as often as anybody likes.
    pub limits: Box<[Limit]>,
    /// How many requests with it there may be at once.
    pub concurrency: Option<u32>,
}

/// A location as records name it.
#[derive(Clone, Debug)]
pub struct Location {
    /// The name.
    pub name: Box<str>,
    /// Where it is named first, in bytes of the file.
    pub place: Range<usize>,
}

impl Keyset {
    /// What a key is worth at this time.
    pub fn find(&self, candidate: &Digest, now: SystemTime) -> Standing {
        let Some(found) = self.keyring.find(candidate) else { return Standing::Unknown };
        let (position, until) = match found.checked_sub(self.entries.len()) {
            None => (found, u64::MAX),
            Some(overlap) => {
                let overlap = &self.overlaps[overlap];
                (overlap.position as usize, overlap.until)
            }
        };
        let valid = &self.entries[position].valid;
        let valid = valid.start..valid.end.min(until);
        match valid.contains(&seconds(now)) {
            true => Standing::Valid(Found { position, until: valid.end }),
            false => Standing::Invalid,
        }
    }

    /// Whether a key stands here, valid or not.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.keyring.find(digest).is_some()
    }

    /// The record of a key, valid or not, and why it is not let in at this time, if it is not; none
    /// if it is none of these.
    pub fn look(
        &self,
        candidate: &Digest,
        now: SystemTime,
    ) -> Option<(usize, Result<(), Refusal>)> {
        let found = self.keyring.find(candidate)?;
        let Some(overlap) = found.checked_sub(self.entries.len()) else {
            return Some((found, self.state(found, now)));
        };
        let Overlap { position, until } = self.overlaps[overlap];
        let over = until <= seconds(now);
        let state = self.state(position as usize, now);
        let state = state.and(if over { Err(Refusal::Replaced(moment(until))) } else { Ok(()) });
        Some((position as usize, state))
    }

    /// Why the own key of a record is not let in at this time, if it is not.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn state(&self, position: usize, now: SystemTime) -> Result<(), Refusal> {
        let now = seconds(now);
        match &self.entries[position].valid {
            // What `Builder` makes of a record that is disabled.
            valid if valid.end == 0 => Err(Refusal::Disabled),
            valid if valid.end <= now => Err(Refusal::Ended(moment(valid.end))),
            valid if now < valid.start => Err(Refusal::NotYet(moment(valid.start))),
            _ => Ok(()),
        }
    }

    /// What the key of a record may do.
    pub fn rules(&self, position: usize) -> &Rules {
        &self.rules[self.entries[position].rules as usize]
    }

    /// The names of a record; none if there is no such record.
    pub fn names(&self, position: usize) -> Option<Names<'_>> {
        let entry = self.entries.get(position)?;
        let name = |start: u32, length: u8| {
            let start = start as usize;
            self.names.get(start..start + usize::from(length))
        };
        Some(Names {
            id: name(entry.id, entry.id_length)?,
            consumer: name(entry.consumer, entry.consumer_length)?,
        })
    }

    /// Numbers that stand for the id of a record and for its consumer, after a reload too.
    pub fn tags(&self, position: usize) -> (u64, u64) {
        let entry = &self.entries[position];
        (entry.id_tag, entry.consumer_tag)
    }

    /// Remembers that a key is used. All workers share this memory, so it is written to at most
    /// once a minute for each key.
    pub fn touch(&self, position: usize, now: SystemTime) {
        let now = u32::try_from(seconds(now)).unwrap_or(u32::MAX);
        let used = &self.used[position];
        if now.saturating_sub(used.load(Ordering::Relaxed)) >= 60 {
            used.store(now, Ordering::Relaxed);
        }
    }

    /// The ids of keys that were used since this was asked before, each with the time.
    pub fn take_used(&self) -> Vec<(&str, SystemTime)> {
        let used = self.used.iter().enumerate().filter_map(|(position, used)| {
            // Most have not been used: to look is cheaper than to take.
            let second = match used.load(Ordering::Relaxed) {
                0 => return None,
                _ => used.swap(0, Ordering::Relaxed),
            };
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second.into());
            Some((self.names(position)?.id, time))
        });
        used.collect()
    }

    /// How many records there are in which state at this time.
    pub fn census(&self, now: SystemTime) -> Census {
        let (mut census, mut soonest) = (Census::default(), Soonest::default());
        for (position, Entry { valid, .. }) in self.entries.iter().enumerate() {
            let state = self.state(position, now);
            let count = match state {
                Err(Refusal::Disabled) => &mut census.disabled,
                Err(Refusal::NotYet(_)) => &mut census.not_yet,
                Err(_) => &mut census.expired,
                Ok(()) => &mut census.valid,
            };
            *count += 1;
            if state.is_ok() && valid.end != u64::MAX {
                soonest.see(valid.end, position);
            }
        }
        let ending = soonest.list().filter_map(|(at, position)| {
            let Names { id, consumer } = self.names(position)?;
            Some(Ending { at, id: id.into(), consumer: consumer.into() })
        });
        census.add(Census { ending: ending.collect(), ..Census::default() });
        census
    }

    /// The locations that any record names.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Rules {
    /// Whether a client's address is one that the key may be used from; an unknown one is not.
    pub fn allow_address(&self, client: Option<IpAddr>) -> bool {
        self.allow_ips.as_ref().is_none_or(|networks| {
            client.is_some_and(|client| {
                let client = client.to_canonical();
                networks.iter().any(|network| network.contains(&client))
            })
        })
    }

    /// Whether the key may be used with a method, and with those that fields ask for instead, none
    /// of which may be one that cannot be read: an origin may obey them.
    pub fn allow_methods(
        &self,
        method: &Method,
        mut others: impl Iterator<Item = Option<Method>>,
    ) -> bool {
        self.methods.as_ref().is_none_or(|methods| {
            methods.contains(method)
                && others.all(|other| other.is_some_and(|other| methods.contains(&other)))
        })
    }
}

/// A time in seconds since 1970.
fn moment(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Whole seconds since 1970; before that, none.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

impl fmt::Debug for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}
