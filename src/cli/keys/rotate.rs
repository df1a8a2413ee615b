//! `keygate keys rotate`: a new key for a record.

use std::time::Duration;

use super::{NewKey, Search, closed, generate, now, refused, usage, when};
use crate::cli::{Console, Failure};
use crate::keys::file::{Entry, is_writable, written_moment};
use crate::keys::record::{Previous, Record};
use crate::keystore::edit::{Edit, Refusal};

/// Arguments of `keys rotate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id of the key
    id: String,
    /// How long the key before it stays valid beside the new one [default: 0s]
    #[arg(long, value_name = "DURATION")]
    overlap: Option<String>,
    #[command(flatten)]
    new: NewKey,
}

/// Changes the record and prints the key.
pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let (key, hash) = generate(&args.new.prefix)?;
    let overlap = args.overlap.as_deref().map(when::span).transpose();
    let overlap = overlap.map_err(|message| usage(format!("--overlap: {message}")))?;
    let keys = args.new.target.find()?;
    let mut search = Search::new(&args.id);
    let edit = Edit::begin(&keys.path, false, |record| search.look(record));
    let mut edit = edit.map_err(refused)?;
    let record = search.found()?;
    let now = now();
    let until = now + overlap.unwrap_or_default();
    let previous = Previous { hash: record.hash.clone(), until };
    let previous = Some(previous).filter(|_| overlap.is_some_and(|span| span > Duration::ZERO));
    if !is_writable(until) {
        return Err(usage("--overlap: this is too long"));
    }
    let entry = Entry::new(edit.text(), &args.id, record.id.span().start);
    let entry = entry.map_err(|message| refused(Refusal::Failed(message.to_owned())))?;
    let (part, text) = entry.with_key(&hash, now, previous.as_ref());
    edit.replace(part, text);
    edit.commit().map_err(refused)?;
    let until = previous.as_ref().map(|previous| written_moment(previous.until));
    if args.new.json {
        let object = serde_json::json!({
            "id": args.id, "key": *key, "previous_until": until,
            "expires": record.expires.map(written_moment),
        });
        return writeln!(console.out, "{object}").map_err(closed);
    }
    writeln!(console.out, "{}", *key).map_err(closed)?;
    let end = until.map_or("has ended".to_owned(), |until| format!("ends at {until}"));
    writeln!(console.notes, "`{}` has a new key, shown this once; the one before {end}", args.id)
        .and_then(|()| match doubt(&record, now) {
            Some(doubt) => writeln!(console.notes, "warning: {doubt}"),
            None => Ok(()),
        })
        .map_err(closed)
}

/// What a new key does not change.
fn doubt(record: &Record, now: std::time::SystemTime) -> Option<String> {
    if record.disabled {
        return Some("the record is disabled, and so is the new key".to_owned());
    }
    let ended = record.expires.filter(|expires| *expires <= now)?;
    Some(format!("the record has ended at {}, and so has the new key", written_moment(ended)))
}
