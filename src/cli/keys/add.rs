//! `keygate keys add`: a new key.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{NewKey, argument, closed, generate, now, nowhere, refused, usage, when};
use crate::cli::{Console, Failure};
use crate::config::problem::Fault;
use crate::config::suggest;
use crate::config::types::{MethodName, Text};
use crate::keys::digest::Digest;
use crate::keys::file::{self, written_moment};
use crate::keys::name;
use crate::keys::record::{Limits, Record};
use crate::keystore::edit::Edit;
use crate::limit::rate::Rate;

/// Arguments of `keys add`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id of the key: what logs and limits name it by
    id: String,
    /// Whom the key belongs to [default: the id]
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// When it ends: in how long, as 90d, or a date, as 2027-02-21
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// When it begins: in how long, or a date
    #[arg(long, value_name = "WHEN")]
    not_before: Option<String>,
    /// The locations where it is allowed, with commas between them [default: all that use the file]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    locations: Option<Vec<String>>,
    /// The methods that it may use, with commas between them [default: any]
    #[arg(long, value_name = "METHODS", value_delimiter = ',')]
    methods: Option<Vec<String>>,
    /// The networks that it may be used from, with commas between them [default: any]
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    allow_ips: Option<Vec<String>>,
    /// Requests in a short time, as 60/1m; may be repeated
    #[arg(long, value_name = "N/DURATION")]
    rate: Vec<String>,
    /// Requests in a long time, as 10000/1d; may be repeated
    #[arg(long, value_name = "N/DURATION")]
    requests: Vec<String>,
    /// Requests at once
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    concurrency: Option<u32>,
    /// Add it without letting it in yet
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    new: NewKey,
}

/// Adds the record and prints the key.
pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let (key, hash) = generate(&args.new.prefix)?;
    let record = args.record(hash)?;
    let keys = args.new.target.find()?;
    args.check_locations(keys.locations.as_deref())?;
    let mut known = false;
    let id = record.id.get_ref();
    let edit = Edit::begin(&keys.path, true, |other| known |= other.id.get_ref() == id);
    let mut edit = edit.map_err(refused)?;
    if known {
        let help = "`keygate keys rotate` gives it a new key";
        return Err(Failure::configuration(format!(
            "error: there is a key with the id `{id}` already\n  = help: {help}"
        )));
    }
    edit.append(&file::write(&record));
    edit.commit().map_err(refused)?;
    if args.new.json {
        let consumer = record.consumer.as_ref().unwrap_or(id);
        let expires = record.expires.map(written_moment);
        let object = serde_json::json!({
            "id": id, "consumer": consumer, "key": *key, "expires": expires,
        });
        return writeln!(console.out, "{object}").map_err(closed);
    }
    writeln!(console.out, "{}", *key).map_err(closed)?;
    let path = keys.path.display();
    writeln!(console.notes, "added `{id}` to {path}; the key is shown this once").map_err(closed)
}

impl Args {
    /// The record, still without a key.
    fn record(&self, hash: Digest) -> Result<Record, Failure> {
        let now = now();
        let moment = |option: &str, text: &Option<String>| {
            let moment = text.as_deref().map(|text| when::moment(text, now)).transpose();
            moment.map_err(|message| usage(format!("{option}: {message}")))
        };
        let consumer = self.consumer.as_deref().map(name::consumer).transpose();
        let network = |text: &str| <IpNet as Text>::parse(text);
        let method = |text: &str| MethodName::parse(text).map(|name| name.0);
        let location = |text: &str| match text {
            "" => Err("one of the names is empty".to_owned()),
            name => Ok(nowhere(name.to_owned())),
        };
        let record = Record {
            id: nowhere(name::id(&self.id).map_err(|fault| argument("ID", fault))?),
            consumer: consumer.map_err(|fault| argument("--consumer", fault))?,
            hash: nowhere(hash),
            created: Some(now),
            not_before: moment("--not-before", &self.not_before)?,
            expires: moment("--expires", &self.expires)?,
            previous: None,
            disabled: self.disabled,
            locations: list("--locations", self.locations.as_ref(), location)?,
            methods: list("--methods", self.methods.as_ref(), method)?,
            allow_ips: list("--allow-ips", self.allow_ips.as_ref(), network)?,
            limits: Limits {
                rate: list("--rate", Some(&self.rate), Rate::parse)?.unwrap_or_default(),
                requests: list("--requests", Some(&self.requests), Rate::parse)?
                    .unwrap_or_default(),
                concurrency: self.concurrency,
            },
        };
        match (record.not_before.unwrap_or(now), record.expires) {
            (_, Some(to)) if to <= now => Err(usage("--expires: the key would have ended already")),
            (from, Some(to)) if to <= from => {
                Err(usage("--expires: the key would end before it begins"))
            }
            _ => Ok(record),
        }
    }

    /// A gate refuses a whole file for one location that is not there.
    fn check_locations(&self, known: Option<&[String]>) -> Result<(), Failure> {
        let (Some(known), Some(written)) = (known, &self.locations) else { return Ok(()) };
        let known: BTreeSet<_> = known.iter().map(String::as_str).collect();
        let Some(wrong) = written.iter().find(|name| !known.contains(name.as_str())) else {
            return Ok(());
        };
        let known: Vec<_> = known.into_iter().collect();
        let fault = Fault::new("the configuration has no such location");
        Err(argument("--locations", fault.help(suggest::help(wrong, &known, "it has none"))))
    }
}

/// What the values of an option mean, all of them.
fn list<T>(
    option: &str,
    values: Option<&Vec<String>>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<Vec<T>>, Failure> {
    let wrong = |message| usage(format!("{option}: {message}"));
    let parsed = values.map(|values| values.iter().map(|value| parse(value)).collect());
    parsed.transpose().map_err(wrong)
}
