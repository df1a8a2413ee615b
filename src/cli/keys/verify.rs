//! `keygate keys verify`: whose key this is.

use std::io::Read;
use std::time::SystemTime;

use serde_json::json;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::list::{State, overlap};
use super::target::Target;
use super::{closed, now, refused, usage, wrong};
use crate::cli::{Console, Failure};
use crate::keys::digest::Digest;
use crate::keys::file::written_moment;
use crate::keys::format::{self, Form};
use crate::keys::record::Record;
use crate::keystore::KeysFile;
use crate::keystore::edit::check;

/// Arguments of `keys verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A key that somebody wrote here by mistake.
    #[arg(hide = true)]
    misplaced: Vec<String>,
    #[command(flatten)]
    target: Target,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The longest key that is read.
const KEY_LIMIT: u64 = 4096;

/// Says which record a key is of; fails where a gate would refuse it everywhere.
pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    if !args.misplaced.is_empty() {
        return Err(usage(
            "a key on the command line can be seen by other users, and stays in the shell's \
             history\n  = help: write it to the standard input: `keygate keys verify < FILE`",
        ));
    }
    let keys = args.target.find()?;
    let key = read(console.input)?;
    let file = KeysFile::read(&keys.path).map_err(|problems| wrong(&problems))?;
    let digest = Digest::of(key.trim_end_matches(['\n', '\r']).as_bytes());
    let mut found = None;
    let look = |record: &Record| {
        let is_same = |hash: &Digest| bool::from(digest.ct_eq(hash));
        let previous = record.previous.as_ref().map(|previous| previous.hash.get_ref());
        if is_same(record.hash.get_ref()) || previous.is_some_and(is_same) {
            found = Some(record.clone());
        }
    };
    check(&file, look).map_err(refused)?;
    let now = now();
    let refusal = match &found {
        None => Some(stranger(key.trim_end_matches(['\n', '\r']))),
        Some(record) => refusal(record, &digest, now),
    };
    say(found.as_ref(), refusal.as_deref(), args.json, console)?;
    refusal.map_or(Ok(()), |refusal| Err(Failure::configuration(format!("refused: {refusal}"))))
}

fn read(input: &mut dyn Read) -> Result<Zeroizing<String>, Failure> {
    // A buffer of the right size from the start leaves no unwiped copy behind.
    let mut key = Zeroizing::new(String::with_capacity(KEY_LIMIT as usize + 1));
    let read = input.take(KEY_LIMIT + 1).read_to_string(&mut key);
    match read {
        Ok(length) if length as u64 <= KEY_LIMIT && !key.trim().is_empty() => Ok(key),
        Ok(0) => Err(usage("there is no key on the standard input")),
        Ok(_) => Err(usage(format!("a key is 1 to {KEY_LIMIT} characters"))),
        Err(_) => Err(usage("what is on the standard input is no key")),
    }
}

/// Why a key is unknown.
fn stranger(key: &str) -> String {
    match format::form(key.as_bytes()) {
        Form::Mistyped => "there is a typo in the key: its checksum is wrong".to_owned(),
        Form::Generated => "no record has this key; it is whole, so it was removed, or made for \
                            another file"
            .to_owned(),
        Form::Foreign => "no record has this key".to_owned(),
    }
}

/// Why a key of a record is not let in.
fn refusal(record: &Record, digest: &Digest, now: SystemTime) -> Option<String> {
    let date = |moment: Option<SystemTime>| moment.map(written_moment).unwrap_or_default();
    let previous = record.previous.as_ref().filter(|_| {
        // It is the key before the record's own.
        !bool::from(digest.ct_eq(record.hash.get_ref()))
    });
    match (State::of(record, now), previous) {
        (State::Disabled, _) => Some("the key is disabled".to_owned()),
        (State::Expired, _) => Some(format!("the key has ended at {}", date(record.expires))),
        (State::NotYet, _) => Some(format!("the key begins at {}", date(record.not_before))),
        (State::Valid, Some(previous)) if overlap(record, now).is_none() => {
            Some(format!("the key was replaced, and has ended at {}", date(Some(previous.until))))
        }
        (State::Valid, _) => None,
    }
}

fn say(
    found: Option<&Record>,
    refusal: Option<&str>,
    json: bool,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let id = found.map(|record| record.id.get_ref());
    let consumer = found.and_then(|record| record.consumer.as_ref()).or(id);
    if json {
        let object = json!({
            "id": id, "consumer": consumer, "valid": refusal.is_none(), "reason": refusal,
        });
        return writeln!(console.out, "{object}").map_err(closed);
    }
    let (Some(id), Some(consumer)) = (id, consumer) else { return Ok(()) };
    writeln!(console.out, "id {id}, consumer {consumer}").map_err(closed)
}
