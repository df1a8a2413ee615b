//! `keygate keys list`: every key, and no secret.

use std::time::SystemTime;

use serde_json::json;

use super::target::Target;
use super::{closed, now, refused, when, wrong};
use crate::cli::{Console, Failure, table};
use crate::keys::file::written_moment;
use crate::keys::record::Record;
use crate::keystore::KeysFile;
use crate::keystore::edit::check;
use crate::keystore::used::{self, Used};

/// Arguments of `keys list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// Whether a record lets its key in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Valid,
    NotYet,
    Expired,
    Disabled,
}

impl State {
    pub(super) fn of(record: &Record, now: SystemTime) -> Self {
        match record {
            Record { disabled: true, .. } => Self::Disabled,
            Record { expires: Some(end), .. } if *end <= now => Self::Expired,
            Record { not_before: Some(begin), .. } if now < *begin => Self::NotYet,
            _ => Self::Valid,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::NotYet => "not yet",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
        }
    }
}

/// When the key before a record's own ends, if it has not.
pub(super) fn overlap(record: &Record, now: SystemTime) -> Option<SystemTime> {
    record.previous.as_ref().map(|previous| previous.until).filter(|until| now < *until)
}

/// Prints the records in the order of the file.
pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let keys = args.target.find()?;
    let file = KeysFile::read(&keys.path).map_err(|problems| wrong(&problems))?;
    let mut records = Vec::new();
    check(&file, |record| records.push(record.clone())).map_err(refused)?;
    for warning in file.warnings(None) {
        write!(console.notes, "{warning}").map_err(closed)?;
    }
    drop(file);
    let used = used::read(&keys.path).or_else(|error| {
        let path = used::path(&keys.path);
        writeln!(console.notes, "warning: cannot read {}: {error}", path.display())?;
        Ok(Used::new())
    });
    let used = used.map_err(closed)?;
    let now = now();
    if args.json {
        let all = records.iter().map(|record| object(record, &used, now));
        return writeln!(console.out, "{}", json!(all.collect::<Vec<_>>())).map_err(closed);
    }
    let titles = ["ID", "CONSUMER", "AGE", "EXPIRES", "STATE", "LAST USED"];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(records.iter().map(|record| row(record, &used, now)));
    table::write(&rows, console.out).map_err(closed)
}

fn row(record: &Record, used: &Used, now: SystemTime) -> [String; 6] {
    let id = record.id.get_ref();
    let none = || "-".to_owned();
    let date = |moment: Option<SystemTime>| moment.map_or_else(none, written_moment);
    let state = State::of(record, now).word();
    let state = match overlap(record, now) {
        Some(until) => format!("{state}, overlap until {}", written_moment(until)),
        None => state.to_owned(),
    };
    [
        id.clone(),
        record.consumer.as_ref().unwrap_or(id).clone(),
        record.created.map_or_else(none, |created| when::ago(created, now)),
        date(record.expires),
        state,
        date(used.get(id).copied()),
    ]
}

fn object(record: &Record, used: &Used, now: SystemTime) -> serde_json::Value {
    let id = record.id.get_ref();
    let date = |moment: Option<SystemTime>| moment.map(written_moment);
    json!({
        "id": id,
        "consumer": record.consumer.as_ref().unwrap_or(id),
        "state": State::of(record, now).word().replace(' ', "_"),
        "created": date(record.created),
        "not_before": date(record.not_before),
        "expires": date(record.expires),
        "overlap_until": date(overlap(record, now)),
        "last_used": date(used.get(id).copied()),
    })
}
