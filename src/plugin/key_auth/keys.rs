//! The keys that a plugin knows, and what each of them may do.

use std::iter;
use std::sync::Arc;
use std::time::SystemTime;

use crate::head::RequestHead;
use crate::keys::census::Census;
use crate::keys::digest::Digest;
use crate::keys::keyring::Keyring;
use crate::keys::keyset::{Keyset, Rules, Standing};
use crate::keys::refusal::Refusal;
use crate::plugin::{Cx, Grant, GrantSite, Names};
use crate::screen;

/// Keys of the configuration, which have no names and may do everything, and sets of keys that are
/// kept elsewhere. A key's position counts through all of them.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    listed: Arc<Keyring>,
    sets: Vec<Set>,
}

/// The keys of one file.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) keys: Arc<Keyset>,
    /// Index in the plan of each location that the keys name.
    pub(super) locations: Box<[usize]>,
}

/// A valid key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Its position among all.
    pub(super) position: usize,
    /// What requests with this key are counted by.
    pub(super) tag: u64,
    /// What requests of its consumer are counted by.
    pub(super) consumer: u64,
    /// When it ends; none: never.
    pub(super) until: Option<SystemTime>,
}

impl Keys {
    pub(super) fn new(listed: Arc<Keyring>, sets: impl IntoIterator<Item = Set>) -> Self {
        Self { listed, sets: sets.into_iter().collect() }
    }

    /// The keys of the configuration.
    pub(super) fn listed(&self) -> &Arc<Keyring> {
        &self.listed
    }

    /// The key with this digest that is valid now, wherever it stands: one that is disabled in one
    /// place may not be used because it stands in another. Every set is asked, whichever has it:
    /// nothing but a valid key takes another time.
    pub(super) fn find(&self, digest: &Digest, now: SystemTime) -> Option<Key> {
        let mut found = self.listed.find(digest).map(|position| {
            let tag = digest.tag();
            Key { position, tag, consumer: tag, until: None }
        });
        let (mut invalid, mut end) = (false, None);
        for (first, set) in self.numbered() {
            match set.keys.find(digest, now) {
                Standing::Unknown => {}
                Standing::Invalid => invalid = true,
                Standing::Valid(own) => {
                    let (tag, consumer) = set.keys.tags(own.position);
                    let position = first + own.position;
                    found = found.or(Some(Key { position, tag, consumer, until: None }));
                    end = end.into_iter().chain(own.until()).min();
                }
            }
        }
        found.filter(|_| !invalid).map(|key| Key { until: end, ..key })
    }

    /// Why the key with this digest is not let in now, and its position; none if it is, or is
    /// unknown. What [`Keys::find`] says of it.
    pub(super) fn refusal(&self, digest: &Digest, now: SystemTime) -> Option<(usize, Refusal)> {
        self.numbered().find_map(|(first, set)| {
            let (position, state) = set.keys.look(digest, now)?;
            Some((first + position, state.err()?))
        })
    }

    /// How many keys there are in which state: those of the configuration are always valid.
    pub(super) fn census(&self, now: SystemTime) -> Census {
        let mut census = Census { valid: self.listed.len() as u64, ..Census::default() };
        self.sets.iter().for_each(|set| census.add(set.keys.census(now)));
        census
    }

    /// The names of a key; none if it stands in the configuration.
    pub(super) fn names(&self, position: usize) -> Option<Names<'_>> {
        let (at, set) = self.place(position)?;
        set.keys.names(at)
    }

    /// What a key may do; none if it stands in the configuration, and may do everything.
    pub(super) fn rules(&self, position: usize) -> Option<(&Set, &Rules)> {
        self.place(position).map(|(at, set)| (set, set.keys.rules(at)))
    }

    /// In which set a key is, counted from 1; 0: it stands in the configuration.
    pub(super) fn part(&self, position: usize) -> usize {
        self.numbered().take_while(|(first, _)| *first <= position).count()
    }

    /// Remembers that a key is used.
    pub(super) fn touch(&self, position: usize, now: SystemTime) {
        if let Some((at, set)) = self.place(position) {
            set.keys.touch(at, now);
        }
    }

    /// The set that a key is in, and its position there; none if it stands in the configuration.
    fn place(&self, position: usize) -> Option<(usize, &Set)> {
        let found = self.numbered().take_while(|(first, _)| *first <= position).last();
        found.map(|(first, set)| (position - first, set))
    }

    /// The sets, each with the position of its first key.
    fn numbered(&self) -> impl Iterator<Item = (usize, &Set)> {
        self.sets.iter().scan(self.listed.len(), |next, set| {
            let first = *next;
            *next += set.keys.len();
            Some((first, set))
        })
    }
}

impl Set {
    /// Whether a key with these rules may be used for a request.
    pub(super) fn allow(&self, rules: &Rules, head: &RequestHead, cx: &Cx) -> bool {
        self.allow_location(rules, cx)
            && rules.allow_address(cx.client)
            && allow_methods(rules, head)
    }

    /// Whether it may be used where a request goes.
    pub(super) fn allow_location(&self, rules: &Rules, cx: &Cx) -> bool {
        let is_named = |location: usize| {
            let names = rules.locations.as_ref();
            names.is_none_or(|names| names.iter().any(|&name| self.locations[name] == location))
        };
        iter::once(cx.location).chain(cx.also.iter().copied()).all(is_named)
    }

    /// The same of a request that was let through before, with other rules perhaps.
    pub(super) fn still_allow(&self, rules: &Rules, grant: &Grant, site: GrantSite<'_>) -> bool {
        let is_named = |location: &&str| {
            let names = rules.locations.as_ref();
            let known = self.keys.locations();
            names.is_none_or(|names| names.iter().any(|&name| *known[name].name == **location))
        };
        site.locations.iter().all(is_named)
            && rules.allow_address(site.client)
            && rules.allow_methods(&grant.method, grant.others.iter().cloned())
    }
}

/// Whether a key with these rules may be used with the methods that a request may be taken for.
pub(super) fn allow_methods(rules: &Rules, head: &RequestHead) -> bool {
    rules.allow_methods(&head.method, screen::other_methods(&head.headers))
}
