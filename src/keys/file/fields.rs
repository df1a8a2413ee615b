//! One record of a keys file, read from its table.

use std::ops::Range;

use ipnet::IpNet;
use subtle::ConstantTimeEq;
use toml::Spanned;
use toml::de::DeTable;

use super::value::{Reader, Value};
use crate::config::problem::Fault;
use crate::config::types::{MethodName, Text};
use crate::keys::digest::Digest;
use crate::keys::name;
use crate::keys::record::{Limits, Previous, Record};
use crate::limit::rate::Rate;

const FIELDS: &[&str] = &[
    "id",
    "consumer",
    "hash",
    "created",
    "not_before",
    "expires",
    "previous",
    "disabled",
    "locations",
    "methods",
    "allow_ips",
    "limits",
];

/// The most windows of one sort: each is counted at every request.
const WINDOWS_LIMIT: usize = 8;

/// The most requests at once; nobody's connections are more.
const CONCURRENCY_LIMIT: u32 = 1_000_000;

impl Reader<'_> {
    /// The tables of a file's `[[key]]`; all else is noted.
    pub(super) fn items<'v>(&mut self, root: &'v DeTable<'v>) -> Vec<&'v Value<'v>> {
        let mut items = Vec::new();
        for (name, value) in root {
            let table = value.get_ref();
            match (name.get_ref().as_ref(), table.as_array()) {
                ("key", Some(list)) => items.extend(list.iter()),
                ("key", None) => {
                    let fault = Fault::new("expected a list of tables");
                    self.note(name.span(), fault.help("each key begins with a line `[[key]]`"));
                }
                (field, _) if FIELDS.contains(&field) => {
                    let fault = Fault::new(format!("unknown field `{field}`"));
                    self.note(name.span(), fault.help("it belongs below a `[[key]]` line"));
                }
                (other, _) => {
                    let fault = Fault { help: None, ..crate::config::unknown_field(other, &[]) };
                    let help = "a keys file holds `[[key]]` tables and nothing else";
                    self.note(name.span(), fault.help(help));
                }
            }
        }
        items
    }

    /// A record, if nothing is wrong with it.
    pub(super) fn record(&mut self, item: &Value<'_>) -> Option<Record> {
        let faults = self.faults.len();
        let table = self.table(item, FIELDS)?;
        let header = item.span();
        let id = self.required(table, &header, "id");
        let id = id.and_then(|value| self.parsed(value, name::id));
        let hash = self.required(table, &header, "hash");
        let hash = hash.and_then(|value| self.parsed(value, digest));
        let consumer = table.get("consumer").and_then(|value| self.parsed(value, name::consumer));
        let previous = table.get("previous").and_then(|value| self.previous(value));
        if let (Some(hash), Some(previous)) = (&hash, &previous) {
            self.check_previous(hash, previous);
        }
        for name in [&id, &consumer].into_iter().flatten() {
            let hashes = [hash.as_ref(), previous.as_ref().map(|previous| &previous.hash)];
            self.check_name(name, hashes.into_iter().flatten());
        }
        let not_before = table.get("not_before").and_then(|value| self.moment(value));
        let expires = table.get("expires").and_then(|value| self.moment(value));
        if let (Some(from), Some(to), Some(place)) = (not_before, expires, table.get("expires"))
            && from >= to
        {
            let fault = Fault::new("the key ends before it begins");
            self.note(place.span(), fault.help("`expires` is later than `not_before`"));
        }
        let record = Record {
            created: table.get("created").and_then(|value| self.moment(value)),
            disabled: table.get("disabled").is_some_and(|value| self.is_true(value)),
            locations: table.get("locations").and_then(|value| self.list(value, location)),
            methods: table.get("methods").and_then(|value| self.plain_list(value, method)),
            allow_ips: table.get("allow_ips").and_then(|value| self.plain_list(value, network)),
            limits: table.get("limits").and_then(|value| self.limits(value)).unwrap_or_default(),
            consumer: consumer.map(Spanned::into_inner),
            id: id?,
            hash: hash?,
            not_before,
            expires,
            previous,
        };
        (self.faults.len() == faults).then_some(record)
    }

    fn previous(&mut self, value: &Value<'_>) -> Option<Previous> {
        let table = self.table(value, &["hash", "until"])?;
        let hash = self.required(table, &value.span(), "hash");
        let hash = hash.and_then(|value| self.parsed(value, digest));
        let until = self.required(table, &value.span(), "until");
        let until = until.and_then(|value| self.moment(value));
        Some(Previous { hash: hash?, until: until? })
    }

    fn check_previous(&mut self, hash: &Spanned<Digest>, previous: &Previous) {
        if bool::from(hash.get_ref().ct_eq(previous.hash.get_ref())) {
            let fault = Fault::new("this is the same key as `hash`");
            let help = "`previous` is the key before it; leave it out where there is none";
            self.note_placed(previous.hash.span(), fault.help(help));
        }
    }

    /// A name is shown everywhere, so it must not be the key itself.
    fn check_name<'h>(
        &mut self,
        name: &Spanned<String>,
        mut hashes: impl Iterator<Item = &'h Spanned<Digest>>,
    ) {
        let digest = Digest::of(name.get_ref().as_bytes());
        if hashes.any(|hash| digest.ct_eq(hash.get_ref()).into()) {
            self.note_placed(name.span(), name::is_the_key());
        }
    }

    fn limits(&mut self, value: &Value<'_>) -> Option<Limits> {
        let table = self.table(value, &["rate", "requests", "concurrency"])?;
        let mut windows = |name: &str| {
            let windows = table.get(name).and_then(|value| self.windows(value));
            windows.unwrap_or_default()
        };
        let (rate, requests) = (windows("rate"), windows("requests"));
        let concurrency = table.get("concurrency");
        let concurrency = concurrency.and_then(|value| self.number(value, 1..=CONCURRENCY_LIMIT));
        Some(Limits { rate, requests, concurrency })
    }

    /// One rate, or a list of them.
    fn windows(&mut self, value: &Value<'_>) -> Option<Vec<Rate>> {
        let rate = |text: &str| {
            Rate::parse(text).map_err(|message| Fault::new(format!("this is no limit: {message}")))
        };
        let Some(list) = value.get_ref().as_array() else {
            return Some(vec![self.parsed(value, rate)?.into_inner()]);
        };
        if !(1..=WINDOWS_LIMIT).contains(&list.iter().len()) {
            let fault = Fault::new(format!("there are 1 to {WINDOWS_LIMIT} windows"));
            self.note(value.span(), fault.help("each is as in \"60/1m\""));
            return None;
        }
        self.plain_list(value, rate)
    }

    /// The value of a field that must be there.
    fn required<'v>(
        &mut self,
        table: &'v DeTable<'v>,
        header: &Range<usize>,
        name: &str,
    ) -> Option<&'v Value<'v>> {
        let value = table.get(name);
        if value.is_none() {
            self.note(header.clone(), Fault::new(format!("`{name}` is missing")));
        }
        value
    }
}

fn digest(text: &str) -> Result<Digest, Fault> {
    if !Digest::is_meant(text) {
        return Err(Fault::new("expected a digest: \"sha256:\" and 64 hexadecimal digits").help(
            "a key itself is never written here: `printf %s KEY | sha256sum` digests one, and \
             `keygate keys import lines FILE` many",
        ));
    }
    let digest = Digest::parse(text).map_err(Fault::new)?;
    if digest.is_of_nothing() {
        return Err(Fault::new("this is the digest of an empty key"));
    }
    Ok(digest)
}

fn location(text: &str) -> Result<String, Fault> {
    Ok(text.to_owned())
}

fn method(text: &str) -> Result<http::Method, Fault> {
    MethodName::parse(text).map(|name| name.0).map_err(Fault::new)
}

fn network(text: &str) -> Result<IpNet, Fault> {
    <IpNet as Text>::parse(text).map_err(Fault::new)
}
