//! `keygate keys import`: keys of elsewhere.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::ValueEnum;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::target::Target;
use super::{closed, now, nowhere, refused};
use crate::cli::{Console, Failure};
use crate::config::files;
use crate::keys::digest::Digest;
use crate::keys::file;
use crate::keys::name::{self, ID_LIMIT};
use crate::keys::record::Record;
use crate::keystore::edit::Edit;
use crate::keystore::import::{self, Foreign};

/// What a file of keys is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A key on each line
    Lines,
    /// A name, `:` and the SHA-256 of a key in hexadecimal digits on each line
    Digests,
    /// The `keys` of pingap's plugins, in TOML
    Pingap,
    /// The consumers of a declarative file of Kong, in YAML or JSON
    Kong,
}

/// Arguments of `keys import`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What the file is
    #[arg(value_name = "FORMAT")]
    format: Format,
    /// The file with the keys of elsewhere; `-` is the standard input
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    #[command(flatten)]
    target: Target,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The longest file that is read.
const SIZE_LIMIT: u64 = 256 << 20;

/// What keys without a name are called.
const NAME: &str = "key";

/// Adds a record for each key that has none yet; all of them, or none.
pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let keys = args.target.find()?;
    let text = read(&args.source, console.input)?;
    let now = now();
    let read = match args.format {
        Format::Lines => import::lines(&text),
        Format::Digests => import::digests(&text),
        Format::Pingap => import::pingap(&text),
        Format::Kong => import::kong(&text, now),
    };
    let foreign = read.map_err(|wrong| is_wrong(&args.source, &wrong))?;
    if foreign.is_empty() {
        return Err(is_wrong(&args.source, &["there is no key in it".to_owned()]));
    }
    let mut known = Known::default();
    let edit = Edit::begin(&keys.path, true, |record| known.look(record));
    let mut edit = edit.map_err(refused)?;
    let (mut added, mut present) = (Vec::new(), 0);
    for (number, key) in (1..).zip(foreign) {
        if !known.hashes.insert(key.hash.written()) {
            present += 1;
            continue;
        }
        if let Some(doubt) = key.doubt {
            writeln!(console.notes, "warning: key {number} {doubt}").map_err(closed)?;
        }
        let record = known.record(key, now);
        edit.append(&file::write(&record));
        added.push(record.id.into_inner());
    }
    if !added.is_empty() {
        edit.commit().map_err(refused)?;
    }
    if args.json {
        let object = serde_json::json!({ "added": added, "present": present });
        return writeln!(console.out, "{object}").map_err(closed);
    }
    for id in &added {
        writeln!(console.out, "{id}").map_err(closed)?;
    }
    let (added, path) = (added.len(), keys.path.display());
    writeln!(console.notes, "{added} added to {path}, {present} were there already").map_err(closed)
}

fn read(source: &Path, input: &mut dyn Read) -> Result<Zeroizing<String>, Failure> {
    let wrong = |message: String| is_wrong(source, &[message]);
    let bytes = if source == Path::new("-") {
        let mut bytes = Zeroizing::new(Vec::new());
        let read = input.take(SIZE_LIMIT).read_to_end(&mut bytes);
        read.map_err(|error| wrong(format!("cannot read it: {error}")))?;
        bytes
    } else {
        files::read_up_to(SIZE_LIMIT, source).map_err(|fault| wrong(fault.message))?.bytes
    };
    match files::text(bytes) {
        (text, false) => Ok(text),
        (_, true) => Err(wrong("it is not UTF-8".to_owned())),
    }
}

/// How many mistakes are listed.
const SHOWN: usize = 50;

fn is_wrong(source: &Path, wrong: &[String]) -> Failure {
    let mut said = String::new();
    for message in wrong.iter().take(SHOWN) {
        said.push_str(&format!("error: {message}\n--> {}\n", source.display()));
    }
    Failure::configuration(said + "nothing was imported")
}

/// What is in the file already.
#[derive(Default)]
struct Known {
    ids: HashSet<String>,
    hashes: HashSet<String>,
    /// The number of the next key of a name; 0: the name alone.
    next: HashMap<String, u32>,
}

impl Known {
    fn look(&mut self, record: &Record) {
        self.ids.insert(record.id.get_ref().clone());
        let previous = record.previous.as_ref().map(|previous| &previous.hash);
        let hashes = [Some(&record.hash), previous].into_iter().flatten();
        self.hashes.extend(hashes.map(|hash| hash.get_ref().written()));
    }

    fn record(&mut self, key: Foreign, now: SystemTime) -> Record {
        let id = self.id(key.name.as_deref(), &key.hash);
        // A name that could be the key, or holds other characters, is nobody's.
        let consumer = key.consumer.and_then(|consumer| name::consumer(&consumer).ok());
        let consumer = consumer.filter(|name| !is_key(name, &key.hash) && *name != id);
        let (created, expires) = (Some(now), key.expires);
        let record = Record::new(nowhere(id), nowhere(key.hash));
        Record { consumer, created, expires, ..record }
    }

    /// An id that nobody has, made from a name, or else from a number.
    fn id(&mut self, name: Option<&str>, hash: &Digest) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._@-".contains(c) { c } else { '-' };
        let base: String = name.unwrap_or_default().chars().take(ID_LIMIT - 8).map(plain).collect();
        let named = !base.is_empty() && name::id(&base).is_ok() && !is_key(&base, hash);
        let base = if named { base.as_str() } else { NAME };
        // Where the last key of this name left off: from 1 each time, many would take for ever.
        let next = self.next.entry(base.to_owned()).or_insert(if named { 0 } else { 1 });
        let id = loop {
            let id = if *next == 0 { base.to_owned() } else { format!("{base}-{next}") };
            *next += 1;
            if !self.ids.contains(&id) {
                break id;
            }
        };
        self.ids.insert(id.clone());
        id
    }
}

fn is_key(name: &str, hash: &Digest) -> bool {
    Digest::of(name.as_bytes()).ct_eq(hash).into()
}
