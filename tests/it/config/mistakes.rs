//! Every mistake is named with its place and the way out, and nothing else is reported.
//!
//! `mistakes.txt` holds one wrong file after the other; the lines that begin with `>>` say what is
//! expected of the one above them: first the line and column, then parts of the output.

use super::{BASE, check};

pub(crate) struct Mistake<'t> {
    pub(crate) text: String,
    pub(crate) expected: Vec<&'t str>,
}

pub(crate) fn read(table: &str) -> Vec<Mistake<'_>> {
    let mut mistakes = vec![Mistake { text: String::new(), expected: Vec::new() }];
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with("## ")) {
        let last = mistakes.last_mut().expect("there is one from the start");
        match line.strip_prefix(">> ") {
            Some(expected) => last.expected.push(expected),
            None if last.expected.is_empty() => last.text += &format!("{line}\n"),
            None => mistakes.push(Mistake { text: format!("{line}\n"), expected: Vec::new() }),
        }
    }
    mistakes
}

#[test]
fn each_is_named_with_its_place_and_the_way_out() {
    let mistakes = read(include_str!("mistakes.txt"));
    assert!(mistakes.len() >= 100, "the table was read");
    let mut wrong = String::new();
    for Mistake { text, expected } in mistakes {
        // The wrong file stands beside a right one, so that nothing else is missing.
        let output = check(&[("base.toml", BASE), ("x.toml", &text)], &[]);
        let place = format!("--> config/x.toml:{}\n", expected[0]);
        let count = "\n1 error in the configuration\n";
        let parts = expected[1..].iter().copied().chain([place.as_str(), count]);
        let missing: Vec<_> = parts.filter(|part| !output.stderr.contains(part)).collect();
        if output.code != Some(1) || !missing.is_empty() || !output.stdout.is_empty() {
            wrong += &format!("{text}\nmissing: {missing:?}\n{output:?}\n{}\n", output.stderr);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
