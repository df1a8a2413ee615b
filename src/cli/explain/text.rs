//! An explanation as lines for people.

use std::io::{self, Write};

use crate::explain::{Explanation, Key, Matched, Outcome, Reading, Step};

/// How many readings that lead elsewhere are shown: one is enough to see why, and a path may have
/// dozens.
const SHOWN_READINGS: usize = 4;

/// Writes one fact a line, under a title each.
pub(super) fn write(told: &Explanation, notes: &[&str], out: &mut dyn Write) -> io::Result<()> {
    let mut line = |title: &str, text: &str| writeln!(out, "{title:<10}{text}");
    line("request", told.request.as_deref().unwrap_or("cannot be read"))?;
    let client = told.client.map_or("a unix socket".to_owned(), |address| address.to_string());
    let trusted = if told.trusted { ", through a trusted proxy" } else { "" };
    line("client", &format!("{client}{trusted}"))?;
    if let Some(host) = &told.host {
        line("host", host)?;
    }
    match &told.location {
        Some(location) => line("location", &matched(location))?,
        None => line("location", "none")?,
    }
    for reading in told.readings.iter().flat_map(|all| readings(all)) {
        line("reading", &reading)?;
    }
    for Step { plugin, goes_on, why } in &told.plugins {
        let verdict = if *goes_on { "goes on" } else { "answers" };
        let mark = if why.is_empty() { "" } else { ": " };
        line("plugin", &format!("{plugin} {verdict}{mark}{why}"))?;
    }
    if let Some(key) = &told.key {
        line("key", &names(key))?;
    }
    match &told.outcome {
        Outcome::Forwarded(on) => {
            line("forwarded", &format!("to {} ({})", on.upstream, on.addresses.join(", ")))?;
            for field in &on.head {
                line("", field)?;
            }
        }
        Outcome::Answered(answer) => {
            let after = match answer.after_ms {
                0 => String::new(),
                after_ms => format!(" after {after_ms} ms"),
            };
            line("answered", &format!("{} {}{after}", answer.status, answer.says))?;
            line("because", &answer.why)?;
        }
    }
    notes.iter().try_for_each(|note| line("note", note))
}

fn matched(location: &Matched) -> String {
    let Matched { name, path, host, methods } = location;
    let form = match path.as_bytes().first() {
        Some(b'=') => "this path alone",
        Some(b'~') => "a regex",
        _ => "a prefix",
    };
    let any = |list: &[String]| if list.is_empty() { "any".to_owned() } else { list.join(", ") };
    format!("{name}: path {path} ({form}), host {}, method {}", any(host), any(methods))
}

/// One line where all readings agree; else one for each that leads elsewhere.
fn readings(all: &[Reading]) -> Vec<String> {
    let Some(first) = all.first() else { return Vec::new() };
    let elsewhere: Vec<_> =
        all.iter().filter(|reading| reading.location != first.location).collect();
    let many = all.len();
    if elsewhere.is_empty() {
        return vec![match many {
            1 => "there is one way to read the path".to_owned(),
            _ => format!("all {many} ways to read the path lead there"),
        }];
    }
    let name = |location: &Option<String>| match location {
        Some(name) => format!("to {name}"),
        None => "nowhere".to_owned(),
    };
    let came = format!("as it came the path leads {}", name(&first.location));
    let shown = elsewhere.iter().take(SHOWN_READINGS).map(|reading| {
        let case = if reading.folded { ", in any case" } else { "" };
        let slash = if reading.trimmed { ", without the slash at its end" } else { "" };
        let Reading { path, location, .. } = reading;
        format!("as {path}{case}{slash} it leads {}", name(location))
    });
    let more = elsewhere.len().saturating_sub(SHOWN_READINGS);
    let rest = (more > 0).then(|| format!("and {more} more of {many} lead elsewhere"));
    [came].into_iter().chain(shown).chain(rest).collect()
}

fn names(key: &Key) -> String {
    match (&key.id, &key.consumer) {
        (Some(id), Some(consumer)) => format!("{id}, of {consumer}"),
        _ => "valid; it has no name".to_owned(),
    }
}
