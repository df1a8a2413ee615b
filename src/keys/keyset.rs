//! All keys of a keys file, ready to be asked.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use http::Method;
use ipnet::IpNet;

use super::digest::Digest;
use super::keyring::{Keyring, Twice};
use super::record::{Limits, Record};
use crate::config::problem::Fault;
use crate::plugin::Names;

/// The keys of one file. A record costs 48 bytes here and 50 in the keyring, beside its names.
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

/// What a key may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Indices into [`Keyset::locations`]; absent: everywhere.
    pub locations: Option<Box<[usize]>>,
    /// Absent: all.
    pub methods: Option<Box<[Method]>>,
    /// Absent: from anywhere.
    pub allow_ips: Option<Box<[IpNet]>>,
    /// How often, and how much at once.
    pub limits: Limits,
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
    /// The record whose key this is and is valid at this time.
    pub fn find(&self, candidate: &Digest, now: SystemTime) -> Option<usize> {
        let now = seconds(now);
        let found = self.keyring.find(candidate)?;
        let position = match found.checked_sub(self.entries.len()) {
            None => found,
            Some(overlap) => {
                let overlap = &self.overlaps[overlap];
                (now < overlap.until).then_some(overlap.position as usize)?
            }
        };
        self.entries[position].valid.contains(&now).then_some(position)
    }

    /// Whether a key stands here, valid or not.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.keyring.find(digest).is_some()
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

    /// Whether the key may be used with a method.
    pub fn allow_method(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }
}

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
            limits: record.limits.clone(),
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

/// Whole seconds since 1970; before that, none.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
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

#[cfg(test)]
mod tests {
    use toml::Spanned;

    use super::*;
    use crate::keys::record::Previous;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    /// A record whose key is its id; the place of the id is the position, that of the hash behind.
    fn record(position: usize, id: &str) -> Record {
        let place = 2 * position..2 * position + 1;
        Record {
            id: Spanned::new(place.clone(), id.to_owned()),
            consumer: None,
            hash: Spanned::new(place.start + 1..place.end + 1, Digest::of(id.as_bytes())),
            created: None,
            not_before: None,
            expires: None,
            previous: None,
            disabled: false,
            locations: None,
            methods: None,
            allow_ips: None,
            limits: Limits::default(),
        }
    }

    fn keyset(records: impl IntoIterator<Item = Record>) -> Result<Keyset, Fault> {
        let mut builder = Builder::default();
        records.into_iter().try_for_each(|record| builder.add(record))?;
        builder.finish()
    }

    #[track_caller]
    fn check_valid(keyset: &Keyset, key: &str, time: SystemTime, expected: Option<&str>) {
        let found = keyset.find(&Digest::of(key.as_bytes()), time);
        let id = found.map(|position| keyset.names(position).unwrap().id);
        assert_eq!(id, expected, "{key} at {time:?}");
    }

    #[test]
    fn a_key_is_valid_between_its_dates_and_not_while_it_is_disabled() {
        let half = Duration::from_millis(500);
        let keyset = keyset([
            Record { not_before: Some(at(10)), expires: Some(at(20)), ..record(0, "a") },
            Record {
                not_before: Some(at(9) + half),
                expires: Some(at(20) + half),
                ..record(1, "b")
            },
            Record { disabled: true, ..record(2, "c") },
            record(3, "d"),
            Record { expires: Some(SystemTime::UNIX_EPOCH - half), ..record(4, "e") },
        ]);
        let keyset = keyset.unwrap();
        for key in ["a", "b"] {
            check_valid(&keyset, key, at(10) - Duration::from_nanos(1), None);
            check_valid(&keyset, key, at(10), Some(key));
            check_valid(&keyset, key, at(20) - Duration::from_nanos(1), Some(key));
            check_valid(&keyset, key, at(20), None);
        }
        check_valid(&keyset, "c", at(10), None);
        check_valid(&keyset, "d", at(0), Some("d"));
        check_valid(&keyset, "e", at(0), None);
        check_valid(&keyset, "x", at(10), None);
    }

    #[test]
    fn a_key_that_was_replaced_is_valid_for_a_while_and_never_longer_than_the_new_one() {
        let previous = |until| {
            let hash = Spanned::new(90..91, Digest::of(b"old"));
            Some(Previous { hash, until: at(until) })
        };
        let set = keyset([record(0, "x"), Record { previous: previous(10), ..record(1, "a") }]);
        let set = set.unwrap();
        check_valid(&set, "old", at(9), Some("a"));
        check_valid(&set, "old", at(10), None);
        check_valid(&set, "a", at(9), Some("a"));
        let ended = Record { previous: previous(10), expires: Some(at(5)), ..record(1, "a") };
        check_valid(&keyset([ended]).unwrap(), "old", at(5), None);
        let disabled = Record { previous: previous(10), disabled: true, ..record(1, "a") };
        check_valid(&keyset([disabled]).unwrap(), "old", at(5), None);
    }

    #[test]
    fn an_id_or_a_key_that_is_there_twice_is_refused_at_its_place() {
        let again = Record { id: Spanned::new(8..9, "b".to_owned()), ..record(3, "d") };
        let fault = keyset([record(0, "a"), record(1, "b"), again, record(4, "b")]).unwrap_err();
        assert_eq!((fault.span, &*fault.message), (Some(8..9), "the id `b` is there twice"));
        let same = Record { hash: record(0, "a").hash, ..record(1, "b") };
        assert_eq!(keyset([record(0, "a"), same]).unwrap_err().span, Some(1..2));
        let previous = Some(Previous { hash: Spanned::new(7..8, Digest::of(b"a")), until: at(1) });
        let fault = keyset([record(0, "a"), Record { previous, ..record(1, "b") }]).unwrap_err();
        assert_eq!((fault.span, &*fault.message), (Some(7..8), "this key is there twice"));
    }

    #[test]
    fn names_and_rules_are_those_of_the_record() {
        let locations = |names: &[&str]| {
            Some(names.iter().map(|name| Spanned::new(5..6, (*name).to_owned())).collect())
        };
        let set = keyset([
            Record { locations: locations(&["p", "q"]), ..record(0, "a") },
            Record {
                consumer: Some("who".to_owned()),
                locations: locations(&["q"]),
                ..record(1, "b")
            },
            Record { locations: locations(&[]), ..record(2, "c") },
            Record { consumer: Some("who".to_owned()), ..record(3, "d") },
        ]);
        let set = set.unwrap();
        assert_eq!(set.names(0), Some(Names { id: "a", consumer: "a" }));
        assert_eq!(set.names(1), Some(Names { id: "b", consumer: "who" }));
        assert_eq!(set.names(4), None);
        assert_eq!(set.tags(1).1, set.tags(3).1);
        assert_ne!(set.tags(1).0, set.tags(3).0);
        let names: Vec<_> = set.locations().iter().map(|location| &*location.name).collect();
        assert_eq!(names, ["p", "q"]);
        let allowed = |position| set.rules(position).locations.clone().map(Vec::from);
        assert_eq!(allowed(0), Some(vec![0, 1]));
        assert_eq!(allowed(1), Some(vec![1]));
        assert_eq!((allowed(2), allowed(3)), (Some(vec![]), None));
    }

    #[test]
    fn what_rules_do_not_name_they_do_not_allow() {
        let networks = Box::from(["10.0.0.0/8".parse().unwrap()]);
        let rules = Rules {
            methods: Some(Box::from([Method::GET])),
            allow_ips: Some(networks),
            ..Rules::default()
        };
        assert!(rules.allow_method(&Method::GET) && !rules.allow_method(&Method::HEAD));
        for (client, allowed) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.0.0.1", false), ("::1", false)]
        {
            assert_eq!(rules.allow_address(Some(client.parse().unwrap())), allowed, "{client}");
        }
        assert!(!rules.allow_address(None));
        assert!(Rules::default().allow_address(None));
        let nobody = Rules {
            methods: Some(Box::default()),
            allow_ips: Some(Box::default()),
            ..Rules::default()
        };
        assert!(!nobody.allow_method(&Method::GET));
        assert!(!nobody.allow_address(Some(IpAddr::from([10, 1, 2, 3]))));
    }

    #[test]
    fn a_record_takes_48_bytes() {
        assert_eq!(size_of::<Entry>(), 48);
    }
}
