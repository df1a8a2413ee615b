//! `keygate keys verify`: whose key this is.

use std::io::Read;

use serde_json::json;
use zeroize::Zeroizing;

use super::target::Target;
use super::{closed, now, refused, usage, wrong};
use crate::cli::{Console, Failure};
use crate::keys::digest::Digest;
use crate::keys::refusal::Refusal;
use crate::keystore::KeysFile;
use crate::keystore::edit::check;
use crate::plugin::Names;

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
    let set = check(&file, |_| ()).map_err(refused)?;
    let key = key.trim_end_matches(['\n', '\r']).as_bytes();
    let (names, state) = match set.look(&Digest::of(key), now()) {
        Some((position, state)) => (set.names(position), state),
        None => (None, Err(Refusal::of_stranger(key))),
    };
    let refusal = state.err().map(|refusal| refusal.to_string());
    say(names, refusal.as_deref(), args.json, console)?;
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

fn say(
    names: Option<Names<'_>>,
    refusal: Option<&str>,
    json: bool,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    if json {
        let (id, consumer) = names.map(|names| (names.id, names.consumer)).unzip();
        let object = json!({
            "id": id, "consumer": consumer, "valid": refusal.is_none(), "reason": refusal,
        });
        return writeln!(console.out, "{object}").map_err(closed);
    }
    let Some(Names { id, consumer }) = names else { return Ok(()) };
    writeln!(console.out, "id {id}, consumer {consumer}").map_err(closed)
}
