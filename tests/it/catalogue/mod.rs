//! The catalogue of what has broken proxies: a row for each case, a file for each group, and a
//! stand that holds every case to the same five invariants.
//!
//! A group's rows stand in `CASES`, in order, each id once. Every case has a gate and an origin of
//! its own. What came of each is written to `target/catalogue/GROUP.tsv`; `scripts/catalogue.sh`
//! runs all groups and shows the table.

mod cf;
mod h2;
mod kq;
mod kx;
mod lc;
mod oracle;
mod pm;
mod probes;
mod rx;
mod sc;
mod setup;
mod sm;
mod st;
mod stand;
mod up;

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use stand::Stand;

/// A row of the catalogue.
pub(crate) struct Case {
    id: &'static str,
    what: &'static str,
    play: Play,
}

/// How a row is shown to hold.
enum Play {
    /// Here and now.
    Here(fn(&mut Stand)),
    /// By a command that takes too long, or needs too much, to run with the tests.
    Elsewhere(&'static str),
    /// Not at all, for this reason.
    LeftOut(&'static str),
}

/// A row that runs with the tests.
pub(crate) const fn case(id: &'static str, what: &'static str, play: fn(&mut Stand)) -> Case {
    Case { id, what, play: Play::Here(play) }
}

/// A row that a command of its own shows.
pub(crate) const fn elsewhere(id: &'static str, what: &'static str, by: &'static str) -> Case {
    Case { id, what, play: Play::Elsewhere(by) }
}

/// A row that keygate does not answer, and why.
pub(crate) const fn left_out(id: &'static str, what: &'static str, why: &'static str) -> Case {
    Case { id, what, play: Play::LeftOut(why) }
}

/// The groups: their letters, their rows, and how many there must be.
const GROUPS: [(&str, &[Case], usize); 11] = [
    ("KX", kx::CASES, 46),
    ("KQ", kq::CASES, 24),
    ("ST", st::CASES, 38),
    ("PM", pm::CASES, 55),
    ("SM", sm::CASES, 60),
    ("H2", h2::CASES, 34),
    ("RX", rx::CASES, 28),
    ("UP", up::CASES, 40),
    ("LC", lc::CASES, 29),
    ("SC", sc::CASES, 12),
    ("CF", cf::CASES, 40),
];

/// The groups whose rows are still being written; of all others every row must be there.
#[rustfmt::skip]
const UNFINISHED: &[&str] = &[
    "SC",
    "CF",
];

/// How many cases of a group run at a time: most of a case is waiting.
const AT_ONCE: usize = 4;

#[test]
fn kx() {
    play("KX");
}

#[test]
fn kq() {
    play("KQ");
}

#[test]
fn st() {
    play("ST");
}

#[test]
fn pm() {
    play("PM");
}

#[test]
fn sm() {
    play("SM");
}

#[test]
fn h2() {
    play("H2");
}

#[test]
fn rx() {
    play("RX");
}

#[test]
fn up() {
    play("UP");
}

#[test]
fn lc() {
    play("LC");
}

#[test]
fn sc() {
    play("SC");
}

#[test]
fn cf() {
    play("CF");
}

/// The ids that a group should have and has not.
fn missing(group: &str, cases: &[Case], count: usize) -> Vec<String> {
    let ids = (1..=count).map(|number| format!("{group}-{number:02}"));
    ids.filter(|id| cases.iter().all(|case| case.id != id)).collect()
}

#[test]
fn every_row_is_there_once_and_in_order() {
    for (group, cases, count) in GROUPS {
        let wanted: Vec<_> = (1..=count).map(|number| format!("{group}-{number:02}")).collect();
        let known = |case: &Case| wanted.iter().position(|id| id == case.id);
        let places: Vec<_> = cases.iter().map(known).collect();
        assert!(!places.contains(&None), "{group} has a row that is not in the catalogue");
        assert!(places.is_sorted_by(|a, b| a < b), "{group}: a row is there twice or out of order");
        let missing = missing(group, cases, count);
        assert!(missing.is_empty() || UNFINISHED.contains(&group), "{group} lacks {missing:?}");
    }
}

/// What came of a row.
struct Outcome {
    /// What is wrong; nothing if the row held.
    failure: Option<String>,
    took: Duration,
}

/// Plays every row of a group, writes the report, and fails with everything that failed.
#[track_caller]
fn play(group: &str) {
    let (_, cases, count) = GROUPS.into_iter().find(|(name, ..)| *name == group).expect("a group");
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Play::Here(play) = case.play {
                        let outcome = outcome(play);
                        outcomes.lock().expect("no case panics here").push((case.id, outcome));
                    }
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("no case panics here");
    outcomes.sort_by_key(|(id, _)| *id);
    report(group, cases, &outcomes, &missing(group, cases, count));
    let failed: Vec<_> = outcomes
        .iter()
        .filter_map(|(id, outcome)| Some(format!("{id}: {}", outcome.failure.as_ref()?)))
        .collect();
    assert!(failed.is_empty(), "{} of {group} failed:\n{}", failed.len(), failed.join("\n"));
}

/// Plays one case on a stand of its own, and then holds the stand to the invariants.
fn outcome(play: fn(&mut Stand)) -> Outcome {
    let start = Instant::now();
    let mut stand = Stand::new();
    let failure = caught(|| play(&mut stand)).or_else(|| caught(|| stand.finish()));
    let failure = failure.map(|failure| format!("{failure}\n{}", stand.last_words()));
    // The gate looks at its output again when it is dropped.
    let dropped = caught(move || drop(stand));
    let failure = failure.or(dropped);
    Outcome { failure, took: start.elapsed() }
}

/// Why it panicked, if it did.
fn caught(run: impl FnOnce()) -> Option<String> {
    let panic: Box<dyn Any + Send> = catch_unwind(AssertUnwindSafe(run)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Some(text.unwrap_or_else(|| "it panicked".to_owned()))
}

/// Writes a line for every row: id, outcome, milliseconds, what it is about, and for a row that is
/// not played here the command or the reason.
fn report(group: &str, cases: &[Case], outcomes: &[(&str, Outcome)], missing: &[String]) {
    let mut lines: Vec<_> = cases.iter().map(|case| line(case, outcomes)).collect();
    lines.extend(missing.iter().map(|id| format!("{id}\tmissing\t0\t\n")));
    lines.sort();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in a folder");
    let folder = target.join("catalogue");
    fs::create_dir_all(&folder).expect("the folder for what is built can be written");
    let file = folder.join(format!("{}.tsv", group.to_ascii_lowercase()));
    fs::write(file, lines.concat()).expect("the folder can be written");
}

fn line(case: &Case, outcomes: &[(&str, Outcome)]) -> String {
    let played = outcomes.iter().find(|(id, _)| *id == case.id).map(|(_, outcome)| outcome);
    let (outcome, how) = match (&case.play, played) {
        (Play::Elsewhere(by), _) => ("elsewhere", *by),
        (Play::LeftOut(why), _) => ("left out", *why),
        (Play::Here(_), Some(Outcome { failure: None, .. })) => ("held", ""),
        (Play::Here(_), _) => ("failed", ""),
    };
    let took = played.map_or(0, |outcome| outcome.took.as_millis());
    format!("{}\t{outcome}\t{took}\t{}\t{how}\n", case.id, case.what)
}
