//! From records to a set of keys: what each of them is, and what is there twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::{Entry, Keyset, Location, Overlap, Rules, seconds};
use crate::config::problem::Fault;
use crate::keys::digest::Digest;
use crate::keys::keyring::{Keyring, Twice};
use crate::keys::record::{Limits, Record};
use crate::limit::rate::Rate;
use crate::limit::usage::Limit;

/// A keyset in the making.
#[derive(Default)]
pub struct Builder {
    digests: Vec<Digest>,
    /// Where the digests stand in the file.
    places: Vec<Range<u32>>,
    overlaps: Vec<(Overlap, Digest, Range<u32>)>,
    entries: Vec<Entry>,
    /// Where the ids stand in the file.
    ids: Vec<Range<u32>>,
    rules: HashMap<Rules, u32>,
    names: String,
    locations: Vec<Location>,
}

/// What is said of a file with more than can be counted.
const TOO_LONG: &str = "there are too many keys in this file";

impl Builder {
    /// One for about so many records: a list that grows is in memory twice for a while.
    pub fn with_capacity(count: usize) -> Self {
        Self {
            digests: Vec::with_capacity(count),
            places: Vec::with_capacity(count),
            entries: Vec::with_capacity(count),
            ids: Vec::with_capacity(count),
            ..Self::default()
        }
    }

    /// Adds a record; the order is that of the file.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub fn add(&mut self, record: Record) -> Result<(), Fault> {
        let too_long = || Fault::new(TOO_LONG);
        let position = u32::try_from(self.entries.len()).map_err(|_| too_long())?;
        let id = record.id.get_ref();
        let consumer = record.consumer.as_ref().unwrap_or(id);
        let (id_at, id_length) = self.name(id).ok_or_else(too_long)?;
        let (consumer_at, consumer_length) =
            if consumer == id { Some((id_at, id_length)) } else { self.name(consumer) }
                .ok_or_else(too_long)?;
        let entry = Entry {
            id_tag: tag(id),
            consumer_tag: tag(consumer),
            valid: valid(&record),
            id: id_at,
            consumer: consumer_at,
            rules: self.rules(&record).ok_or_else(too_long)?,
            id_length,
            consumer_length,
        };
        self.entries.push(entry);
        self.ids.push(short(record.id.span()).ok_or_else(too_long)?);
        self.digests.push(*record.hash.get_ref());
        self.places.push(short(record.hash.span()).ok_or_else(too_long)?);
        if let Some(previous) = &record.previous {
            let overlap = Overlap { position, until: seconds(previous.until) };
            let place = short(previous.hash.span()).ok_or_else(too_long)?;
            self.overlaps.push((overlap, *previous.hash.get_ref(), place));
        }
        Ok(())
    }

    /// All keys that were added.
    ///
    /// # Errors
    ///
    /// When an id or a key is there twice.
    pub fn finish(mut self) -> Result<Keyset, Fault> {
        self.check_ids()?;
        for (_, digest, place) in &self.overlaps {
            self.digests.push(*digest);
            self.places.push(place.clone());
        }
        let keyring = Keyring::new(&self.digests).map_err(|Twice { second, .. }| {
            let place = &self.places[second];
            Fault::at(place.start as usize..place.end as usize, "this key is there twice")
                .help("each record has a key of its own; a hash names one key")
        })?;
        let mut rules: Vec<_> = self.rules.into_iter().collect();
        rules.sort_unstable_by_key(|(_, index)| *index);
        Ok(Keyset {
            keyring,
            used: self.entries.iter().map(|_| AtomicU32::new(0)).collect(),
            entries: self.entries.into(),
            overlaps: self.overlaps.into_iter().map(|(overlap, ..)| overlap).collect(),
            rules: rules.into_iter().map(|(rules, _)| rules).collect(),
            names: self.names.into(),
            locations: self.locations.into(),
        })
    }

    /// Puts a name to the others; where, and its length.
    fn name(&mut self, name: &str) -> Option<(u32, u8)> {
        let place = (u32::try_from(self.names.len()).ok()?, u8::try_from(name.len()).ok()?);
        self.names.push_str(name);
        Some(place)
    }

    fn rules(&mut self, record: &Record) -> Option<u32> {
        let locations = record.locations.as_ref();
        let rules = Rules {
            locations: locations
                .map(|names| names.iter().map(|name| self.location(name)).collect()),
            methods: record.methods.as_deref().map(Box::from),
            allow_ips: record.allow_ips.as_deref().map(Box::from),
            limits: limits(&record.limits),
            concurrency: record.limits.concurrency,
        };
        let next = u32::try_from(self.rules.len()).ok()?;
        Some(match self.rules.entry(rules) {
            Place::Occupied(known) => *known.get(),
            Place::Vacant(place) => *place.insert(next),
        })
    }

    fn location(&mut self, name: &toml::Spanned<String>) -> usize {
        let known = self.locations.iter().position(|known| *known.name == **name.get_ref());
        known.unwrap_or_else(|| {
            let location = Location { name: name.get_ref().as_str().into(), place: name.span() };
            self.locations.push(location);
            self.locations.len() - 1
        })
    }

    /// Looks for an id that is there twice, by the numbers that stand for them.
    fn check_ids(&self) -> Result<(), Fault> {
        let mut order: Vec<u32> = (0..).take(self.entries.len()).collect();
        order.sort_unstable_by_key(|&at| (self.entries[at as usize].id_tag, at));
        let id_of = |at: u32| {
            let entry = &self.entries[at as usize];
            let start = entry.id as usize;
            &self.names[start..start + usize::from(entry.id_length)]
        };
        let twice = order.array_windows().filter(|&&[one, other]| id_of(one) == id_of(other));
        match twice.map(|&[_, second]| second).min() {
            None => Ok(()),
            Some(second) => {
                let place = &self.ids[second as usize];
                let message = format!("the id `{}` is there twice", id_of(second));
                Err(Fault::at(place.start as usize..place.end as usize, message)
                    .help("ids are unique: logs and limits name keys by them"))
            }
        }
    }
}

fn limits(written: &Limits) -> Box<[Limit]> {
    let rates = written.rate.iter().copied().map(Limit::from);
    let quota = |rate: &Rate| Limit { is_quota: true, ..Limit::from(*rate) };
    rates.chain(written.requests.iter().map(quota)).collect()
}

/// When a record's key is valid; never, while it is disabled.
fn valid(record: &Record) -> Range<u64> {
    if record.disabled {
        return 0..0;
    }
    // Parts of a second are decided against the key.
    let from =
        record.not_before.map_or(0, |from| seconds(from + Duration::from_nanos(999_999_999)));
    from..record.expires.map_or(u64::MAX, seconds)
}

/// A number that stands for a name. Names are the operator's, so nobody makes two of them meet.
fn tag(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// A place in a file of less than 4 GiB.
fn short(place: Range<usize>) -> Option<Range<u32>> {
    Some(u32::try_from(place.start).ok()?..u32::try_from(place.end).ok()?)
}
