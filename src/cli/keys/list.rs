//! `keygate keys list`: every key, and no secret.

use std::time::SystemTime;

use serde_json::json;

use super::target::Target;
use super::{closed, now, refused, when, wrong};
use crate::cli::{Console, Failure, table};
use crate::keys::file::written_moment;
use crate::keys::record::Record;
use crate::keys::refusal::Refusal;
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

/// A record, and whether it lets its key in.
struct Listed {
    record: Record,
    state: &'static str,
}

/// What stands for the state of a key.
fn word(state: Result<(), Refusal>) -> &'static str {
    match state {
        Ok(()) => "valid",
        Err(Refusal::NotYet(_)) => "not yet",
        Err(Refusal::Disabled) => "disabled",
        Err(_) => "expired",
    }
}

/// When the key before a record's own ends, if it has not.
fn overlap(record: &Record, now: SystemTime) -> Option<SystemTime> {
    record.previous.as_ref().map(|previous| previous.until).filter(|until| now < *until)
}

/// Prints the records in the order of the file.
pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let keys = args.target.find()?;
    let file = KeysFile::read(&keys.path).map_err(|problems| wrong(&problems))?;
    let mut records = Vec::new();
    let set = check(&file, |record| records.push(record.clone())).map_err(refused)?;
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
    let records = records.into_iter().enumerate();
    let records: Vec<_> = records
        .map(|(position, record)| Listed { record, state: word(set.state(position, now)) })
        .collect();
    if args.json {
        let all = records.iter().map(|record| object(record, &used, now));
        return writeln!(console.out, "{}", json!(all.collect::<Vec<_>>())).map_err(closed);
    }
    let titles = ["ID", "CONSUMER", "AGE", "EXPIRES", "STATE", "LAST USED"];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(records.iter().map(|record| row(record, &used, now)));
    table::write(&rows, console.out).map_err(closed)
}

fn row(Listed { record, state }: &Listed, used: &Used, now: SystemTime) -> [String; 6] {
    let id = record.id.get_ref();
    let none = || "-".to_owned();
    let date = |moment: Option<SystemTime>| moment.map_or_else(none, written_moment);
    let state = match overlap(record, now) {
        Some(until) => format!("{state}, overlap until {}", written_moment(until)),
        None => (*state).to_owned(),
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

fn object(Listed { record, state }: &Listed, used: &Used, now: SystemTime) -> serde_json::Value {
    let id = record.id.get_ref();
    let date = |moment: Option<SystemTime>| moment.map(written_moment);
    json!({
        "id": id,
        "consumer": record.consumer.as_ref().unwrap_or(id),
        "state": state.replace(' ', "_"),
        "created": date(record.created),
        "not_before": date(record.not_before),
        "expires": date(record.expires),
        "overlap_until": date(overlap(record, now)),
        "last_used": date(used.get(id).copied()),
    })
}
