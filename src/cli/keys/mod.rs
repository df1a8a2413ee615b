//! `keygate keys`: changing and reading a keys file.

mod add;
mod import;
mod list;
mod revoke;
mod rotate;
mod target;
mod verify;
mod when;

use std::io;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use toml::Spanned;
use zeroize::Zeroizing;

use self::target::Target;
use super::{Console, Failure};
use crate::config::problem::{Fault, Problem};
use crate::config::suggest;
use crate::keys::digest::Digest;
use crate::keys::format;
use crate::keys::record::Record;
use crate::keystore::edit::Refusal;

/// Arguments of `keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What can be done with a keys file.
#[derive(Debug, Subcommand)]
enum Command {
    /// Add a new key and print it, once; the file keeps only its digest
    Add(Box<add::Args>),
    /// Show every key with its state and its last use; no secret
    List(list::Args),
    /// Give a key's record a new key and print it, once; the one before may stay valid for a while
    Rotate(rotate::Args),
    /// End a key at once
    Revoke(revoke::Args),
    /// Say whose key stands on the standard input, and whether it is valid now
    Verify(verify::Args),
    /// Add the keys of another program's file; the file keeps only their digests
    Import(import::Args),
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    match &args.command {
        Command::Add(args) => add::run(args, console),
        Command::List(args) => list::run(args, console),
        Command::Rotate(args) => rotate::run(args, console),
        Command::Revoke(args) => revoke::run(args, console),
        Command::Verify(args) => verify::run(args, console),
        Command::Import(args) => import::run(args, console),
    }
}

/// What keys begin with when nothing is said.
pub(super) const PREFIX: &str = "kg";

/// A new key and its digest.
pub(super) fn generate(prefix: &str) -> Result<(Zeroizing<String>, Digest), Failure> {
    let key = format::generate(prefix).map_err(usage)?;
    let digest = Digest::of(key.as_bytes());
    Ok((key, digest))
}

/// How a new key is made and printed, and which file keeps its digest.
#[derive(Debug, clap::Args)]
struct NewKey {
    /// What the key begins with: lower-case letters and digits
    #[arg(long, value_name = "P", default_value = PREFIX)]
    prefix: String,
    #[command(flatten)]
    target: Target,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Now, to the second.
pub(super) fn now() -> SystemTime {
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// A value that stands in no file yet.
fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// The command line is wrong.
fn usage(message: impl Into<String>) -> Failure {
    Failure { code: 2, message: format!("error: {}", message.into()) }
}

/// An argument is wrong; the fault does not repeat it.
fn argument(name: &str, fault: Fault) -> Failure {
    let help = fault.help.map_or(String::new(), |help| format!("\n  = help: {help}"));
    usage(format!("{name}: {}{help}", fault.message))
}

/// Nobody reads what is written.
pub(super) fn closed(error: io::Error) -> Failure {
    Failure::runtime(format!("error: cannot write: {error}"))
}

/// The keys file is wrong, or was not changed.
fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Wrong(problems) => wrong(&problems),
        Refusal::Failed(message) => Failure::runtime(format!("error: {message}")),
    }
}

fn wrong(problems: &[Problem]) -> Failure {
    let mut said: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    let plural = if problems.len() == 1 { "" } else { "s" };
    said.push_str(&format!("{} error{plural} in the keys file", problems.len()));
    Failure::configuration(said)
}

/// There is no record with an id. It is not repeated: somebody could have written the key instead.
fn no_such_id(written: &str, known: &[String]) -> Failure {
    let meant = suggest::closest(written, known.iter().map(String::as_str));
    let help = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`keygate keys list` shows all; a key is named by its id".to_owned(),
    };
    Failure::configuration(format!("error: no key has this id\n  = help: {help}"))
}

/// Looks for one record, and for what may have been meant.
struct Search<'i> {
    id: &'i str,
    found: Option<Record>,
    ids: Vec<String>,
}

impl<'i> Search<'i> {
    fn new(id: &'i str) -> Self {
        Self { id, found: None, ids: Vec::new() }
    }

    fn look(&mut self, record: &Record) {
        if record.id.get_ref() == self.id {
            self.found = Some(record.clone());
        } else if suggest::closest(self.id, [record.id.get_ref().as_str()]).is_some() {
            self.ids.push(record.id.get_ref().clone());
        }
    }

    fn found(self) -> Result<Record, Failure> {
        let Self { id, found, ids } = self;
        found.ok_or_else(|| no_such_id(id, &ids))
    }
}
