//! What the system can do to a process: calls that fail, and a clock that jumps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The beginning of a command line that makes system calls of keygate fail: `calls` are those to
/// look at, each rule as in `strace -e inject=RULE`, and only calls on `path` count if it is given.
/// None where no process may be traced.
pub(crate) fn failing(calls: &str, rules: &[&str], path: Option<&Path>) -> Option<Vec<String>> {
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traces.is_ok_and(|ran| ran.status.success()) {
        return None;
    }
    // The tracer runs beside keygate (-D), so that signals and waiting meet keygate itself.
    let mut words = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"]
        .map(str::to_owned)
        .to_vec();
    words.extend(["-e".to_owned(), format!("trace={calls}")]);
    for rule in rules {
        words.extend(["-e".to_owned(), format!("inject={rule}")]);
    }
    if let Some(path) = path {
        words.extend(["-P".to_owned(), path.display().to_string()]);
    }
    Some(words)
}

/// A wall clock that a file sets: the variables that give it to a process. What measures spans of
/// time is left alone. None where libfaketime is not installed.
pub(crate) fn false_clock(file: &Path) -> Option<Vec<(String, String)>> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let library = |folder: PathBuf| folder.join("faketime/libfaketimeMT.so.1");
    let library = folders.map(library).find(|library| library.exists())?;
    let variables = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DONT_RESET", "1".to_owned()),
    ];
    Some(variables.map(|(name, value)| (name.to_owned(), value)).to_vec())
}
