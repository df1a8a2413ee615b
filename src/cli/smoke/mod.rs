//! `keygate smoke`: proves from outside that a running gate refuses what it must.

mod list;
mod probe;
mod spellings;
mod stream;
mod target;
mod wire;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::thread;

use serde::Serialize;
use zeroize::Zeroizing;

use super::{Console, Failure, table};
use probe::{Place, Probe};
use target::Target;

/// Arguments of `smoke`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A key is read from the standard input, and never shown. Without one, what \
                        needs it is left out."
)]
pub struct Args {
    /// Where the gate is, and the path of something that it guards: http(s)://HOST:PORT/PATH
    url: String,
    /// The authorities (PEM) that are believed of an https:// gate [default: those of the system]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The header that carries the key; may be repeated [default: X-API-Key]
    #[arg(long, value_name = "NAME")]
    header: Vec<String>,
    /// The query parameter that carries the key; may be repeated
    #[arg(long, value_name = "NAME")]
    query: Vec<String>,
    /// The key comes as Authorization: Bearer
    #[arg(long)]
    bearer: bool,
    /// A guarded path, in place of that of the URL; may be repeated
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How many probes are on their way at a time: the answer to a wrong key may wait, and a gate must
/// not take this for an attack.
const AT_A_TIME: usize = 4;

/// The longest key that is read.
const KEY_LIMIT: u64 = 4096;

/// What came of one probe.
#[derive(Serialize)]
struct Verdict {
    probe: &'static str,
    sent: String,
    /// The status that was answered.
    status: Option<u16>,
    /// Why there is none.
    error: Option<String>,
    ok: bool,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Report<'a> {
    url: &'a str,
    /// Whether there was a key.
    with_key: bool,
    probes: &'a [Verdict],
    failed: usize,
}

/// Sends all probes and prints what came of each; fails silently if any came through.
pub fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let target = Target::parse(&args.url, &args.path, args.ca.as_deref())?;
    let places = places(args)?;
    // Nobody is kept waiting who has not thought of a key.
    let key = match std::io::stdin().is_terminal() {
        true => None,
        false => key(console.input)?,
    };
    target.reach()?;
    let known = key.as_ref().map(|key| key.as_str());
    let probes = target.paths.iter().flat_map(|path| list::all(&places, path, known));
    let probes: Vec<_> = probes.collect();
    let verdicts = send(&target, &probes, known.unwrap_or_default());
    let failed = verdicts.iter().filter(|verdict| !verdict.ok).count();
    let closed = |error| Failure::runtime(format!("error: cannot write: {error}"));
    if args.json {
        let with_key = key.is_some();
        let report = Report { url: &args.url, with_key, probes: &verdicts, failed };
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        writeln!(console.out, "{text}").map_err(closed)?;
    } else {
        table::write(&rows(&verdicts), console.out).map_err(closed)?;
        let count = verdicts.len();
        let told = match failed {
            0 => format!("\nall {count} probes were answered as they must be"),
            _ => format!("\n{failed} of {count} probes FAILED"),
        };
        writeln!(console.out, "{told}").map_err(closed)?;
    }
    if key.is_none() {
        let note = "no key came on the standard input: what must pass, and keys that are nearly \
                    right, were left out";
        writeln!(console.notes, "note: {note}").map_err(closed)?;
    }
    if failed == 0 { Ok(()) } else { Err(Failure::silent(1)) }
}

fn places(args: &Args) -> Result<Vec<Place>, Failure> {
    let headers = args.header.iter().map(|name| Place::header(name));
    let queries = args.query.iter().map(|name| Place::query(name));
    let mut places = headers.chain(queries).collect::<Result<Vec<_>, _>>()?;
    places.extend(args.bearer.then_some(Place::Bearer));
    if places.is_empty() {
        places.push(Place::header("X-API-Key")?);
    }
    Ok(places)
}

/// The key, if there is one.
fn key(input: &mut dyn Read) -> Result<Option<Zeroizing<String>>, Failure> {
    // A buffer of the right size from the start leaves no unwiped copy behind.
    let mut key = Zeroizing::new(String::with_capacity(KEY_LIMIT as usize + 1));
    let wrong = || Failure::usage("error: what is on the standard input is no key");
    let length = input.take(KEY_LIMIT + 1).read_to_string(&mut key).map_err(|_| wrong())?;
    let end = key.trim_end_matches(['\r', '\n']).len();
    key.truncate(end);
    match key.bytes().all(|byte| byte.is_ascii_graphic()) && length as u64 <= KEY_LIMIT {
        true => Ok(Some(key).filter(|key| !key.is_empty())),
        false => Err(wrong()),
    }
}

/// Sends all, some at a time. None is left out: one that comes to nothing has failed.
fn send(target: &Target, probes: &[Probe], key: &str) -> Vec<Verdict> {
    let ask = |probe: &Probe| wire::ask(target, &probe.bytes(&target.authority, key));
    let together = |few: &[Probe]| -> Vec<Verdict> {
        thread::scope(|scope| {
            let asked: Vec<_> =
                few.iter().map(|probe| (probe, scope.spawn(move || ask(probe)))).collect();
            let answer = |(probe, thread): (&Probe, thread::ScopedJoinHandle<'_, _>)| {
                Verdict::of(probe, thread.join().unwrap_or(Err("lost".to_owned())))
            };
            asked.into_iter().map(answer).collect()
        })
    };
    probes.chunks(AT_A_TIME).flat_map(together).collect()
}

impl Verdict {
    fn of(probe: &Probe, answer: Result<u16, String>) -> Self {
        let ok = answer.as_ref().is_ok_and(|status| probe.expected.is_met_by(*status));
        let (status, error) = match answer {
            Ok(status) => (Some(status), None),
            Err(error) => (None, Some(error)),
        };
        Self { probe: probe.name, sent: probe.shown(), status, error, ok }
    }
}

fn rows(verdicts: &[Verdict]) -> Vec<[String; 4]> {
    let mut rows = vec![["", "STATUS", "PROBE", "SENT"].map(str::to_owned)];
    rows.extend(verdicts.iter().map(|verdict| {
        let status = verdict.status.map(|status| status.to_string());
        [
            if verdict.ok { "ok" } else { "FAILED" }.to_owned(),
            status.or_else(|| verdict.error.clone()).unwrap_or_default(),
            verdict.probe.to_owned(),
            verdict.sent.clone(),
        ]
    }));
    rows
}
