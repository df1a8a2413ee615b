//! What a reviewer would otherwise repeat: the shape of the files, and links that lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest file of `src`; past it, there are two things in it.
const MAX_LINES: usize = 400;

/// The widest line of Rust. A line that holds a string may be longer: the bytes of a request are
/// read better on one.
const MAX_COLUMNS: usize = 100;

/// Folders that hold nothing of ours.
const FOREIGN: &[&str] = &[
    "target",
    ".git",
    "node_modules",
    "__pycache__",
    "corpus",
    "artifacts",
    "out",
    ".venv",
    ".varnish",
];

/// The folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder, as a path from the root.
pub(crate) fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.map(|entry| entry.expect("the folder can be read")) {
            let name = entry.file_name();
            let is_ours = !FOREIGN.iter().any(|foreign| name == *foreign);
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && is_ours => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

/// Those of the files that end so.
pub(crate) fn with_extension(files: Vec<PathBuf>, extension: &str) -> Vec<PathBuf> {
    let wanted = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
    let files: Vec<_> = files.into_iter().filter(wanted).collect();
    assert!(!files.is_empty(), "there are no files in .{extension}");
    files
}

fn rust_files() -> Vec<PathBuf> {
    let folders = ["src", "tests", "fuzz", "benches", "examples"];
    with_extension(folders.into_iter().flat_map(files_below).collect(), "rs")
}

/// Fails with every complaint, each with its place from the root.
#[track_caller]
fn report(complaints: Vec<(PathBuf, String)>) {
    let told = complaints.iter().map(|(path, what)| {
        let path = path.strip_prefix(root()).unwrap_or(path);
        format!("{}: {what}", path.display())
    });
    let told: Vec<_> = told.collect();
    assert!(told.is_empty(), "{} complaints:\n{}", told.len(), told.join("\n"));
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    let says = |path: &PathBuf| {
        let sentence = read(path).lines().next().unwrap_or_default().to_owned();
        sentence.starts_with("//! ") && sentence.len() > 20
    };
    let silent = rust_files().into_iter().filter(|path| !says(path));
    report(silent.map(|path| (path, "the first line is no `//!` sentence".to_owned())).collect());
}

#[test]
fn files_and_lines_are_short() {
    let mut complaints = Vec::new();
    for path in rust_files() {
        let text = read(&path);
        let lines = text.lines().count();
        if lines > MAX_LINES && path.starts_with(root().join("src")) {
            complaints.push((path.clone(), format!("{lines} lines, more than {MAX_LINES}")));
        }
        for (number, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > MAX_COLUMNS && !line.contains('"') {
                complaints.push((path.clone(), format!("line {}: {columns} columns", number + 1)));
            }
        }
    }
    report(complaints);
}

#[test]
fn nothing_is_left_to_do_or_switched_off() {
    // Put together here, so that this file does not hold them.
    let traces = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("db", "g!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
    ];
    let mut complaints = Vec::new();
    for path in rust_files() {
        let text = read(&path);
        let found = traces.iter().filter(|trace| text.contains(**trace));
        complaints.extend(found.map(|trace| (path.clone(), format!("holds `{trace}`"))));
    }
    report(complaints);
}

#[test]
fn every_file_of_a_plugin_is_in_the_table() {
    let folder = root().join("src/plugin");
    let table = read(&folder.join("mod.rs"));
    let (_, table) = table.split_once("pub const KINDS").expect("the table is there");
    let mut kinds = 0;
    for entry in fs::read_dir(&folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        let module = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if module == "mod" {
            continue;
        }
        kinds += 1;
        let row = format!("{module}::KIND");
        assert!(table.contains(&row), "{module} is not in the table");
        let code = if path.is_dir() { read(&path.join("mod.rs")) } else { read(&path) };
        let name = format!("name: \"{}\"", module.replace('_', "-"));
        assert!(code.contains(&name), "{module} has another name");
    }
    assert_eq!(table.matches("::KIND").count(), kinds, "the table has other rows than files");
}

#[test]
fn the_change_log_begins_with_what_is_not_released() {
    let text = read(&root().join("CHANGELOG.md"));
    assert!(text.starts_with("# Changelog\n"), "the title is missing");
    let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(headings.first(), Some(&"Unreleased"), "{headings:?}");
    let released = headings.iter().skip(1);
    let dated = |heading: &&str| heading.contains(" - 20") && heading.starts_with(char::is_numeric);
    assert!(released.copied().all(|heading| dated(&heading)), "{headings:?}");
}

#[test]
fn nothing_names_a_place_on_somebodys_machine() {
    let places = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];
    let places = [&places[..], &[concat!("/wo", "rk/"), concat!("/tm", "p/")]].concat();
    let extensions = ["md", "rs", "toml", "sh", "py", "conf", "mjs", "example"];
    let ours = files_below("").into_iter().filter(|path| {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        extensions.contains(&&*extension)
    });
    let mut complaints = Vec::new();
    for path in ours {
        let text = read(&path);
        let found = places.iter().filter(|place| text.contains(**place));
        complaints.extend(found.map(|place| (path.clone(), format!("holds `{place}`"))));
    }
    report(complaints);
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    let mut followed = 0;
    for path in with_extension(files_below(""), "md") {
        for link in links(&prose(&read(&path))) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            followed += 1;
            if let Some(what) = broken(&path, &link) {
                complaints.push((path.clone(), format!("[…]({link}): {what}")));
            }
        }
    }
    assert!(followed > 10, "only {followed} links were found: is the reading of links broken?");
    report(complaints);
}

/// What is wrong with a link from one document to a file or a heading.
fn broken(from: &Path, link: &str) -> Option<String> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = from.parent().unwrap_or(root());
    let target = if file.is_empty() { from.to_owned() } else { folder.join(file) };
    if !target.exists() {
        return Some("there is no such file".to_owned());
    }
    if anchor.is_empty() || target.extension().is_none_or(|extension| extension != "md") {
        return None;
    }
    let text = prose(&read(&target));
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let found = headings.map(slug).any(|slug| slug == anchor);
    (!found).then(|| "there is no such heading".to_owned())
}

/// A document without its blocks of code.
fn prose(text: &str) -> String {
    let mut in_code = false;
    let mut kept = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            kept.push(line);
        }
    }
    kept.join("\n")
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// The anchor of a heading, as GitHub and most others make it.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_reading_of_documents_is_right() {
    assert_eq!(links("a [b](c.md) and [`d`](e#f), [g](h)"), ["c.md", "e#f", "h"]);
    assert_eq!(prose("a\n```sh\n[b](c)\n```\nd"), "a\nd");
    assert_eq!(slug("### `[upstreams.NAME]`: where to"), "upstreamsname-where-to");
}
