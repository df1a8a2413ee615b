//! The README: its configuration and its commands do what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::demo::paste;
use crate::support::{Gate, Origin, run};

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));

/// The blocks of code in a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let blocks = README.split(&fence).skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block).collect()
}

/// The line of a block of commands that begins so.
#[track_caller]
fn command(start: &str) -> &'static str {
    let lines = blocks("sh").into_iter().flat_map(str::lines);
    let mut lines = lines.filter(|line| line.starts_with(start));
    lines.next().unwrap_or_else(|| panic!("there is no command {start:?}"))
}

/// A key as `keygate keygen` prints it, in place of `kg_…`.
fn key() -> String {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let output = run(&["keygen"], folder.path(), &[]);
    output.stdout.lines().next().expect("a key is printed").to_owned()
}

#[test]
fn the_configuration_is_right_and_check_prints_what_stands_there() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    fs::create_dir(folder.path().join("config")).expect("the folder is new");
    let files = blocks("toml");
    for file in &files {
        let (name, text) = file.split_once('\n').expect("the first line names the file");
        let name = name.strip_prefix("# ").expect("the first line names the file");
        fs::write(folder.path().join(name), text).expect("the folder can be written");
    }
    assert_eq!(files.len(), 2);
    let output = run(&["check"], folder.path(), &[("API_KEY", &key())]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
    assert_eq!(blocks("text"), [output.stdout]);
}

#[test]
fn continuous_integration_runs_the_command_that_stands_there() {
    let root = crate::tidy::root();
    let run = crate::tidy::read(&root.join(".ci/run"));
    let last = run.lines().last().and_then(|line| line.strip_prefix("exec "));
    assert_eq!(last, Some(command("scripts/")));
    for script in [".ci/run", command("scripts/"), "scripts/test-deps.sh", "fuzz/run.sh"] {
        let mode = fs::metadata(root.join(script)).map(|file| file.permissions().mode());
        assert!(mode.is_ok_and(|mode| mode & 0o111 != 0), "{script} cannot be run");
    }
}

#[test]
fn one_line_guards_an_api_and_the_curl_line_passes() {
    let origin = Origin::echo();
    let key = key();
    let line = command("API_KEY=").replace("kg_…", &key);
    let line = line.replace("http://127.0.0.1:8000", &format!("http://{}", origin.address));
    let mut words = line.split(' ');
    let variable = words.next().and_then(|word| word.split_once('=')).expect("a variable is set");
    assert_eq!(words.next(), Some("keygate"));
    let arguments: Vec<_> = words.chain(["--listen", "127.0.0.1:0"]).collect();
    let gate = Gate::launch(&[], &arguments, &[variable]);
    let curl = command("curl ").replace("127.0.0.1:8080", &gate.address.to_string());
    let passed = paste(&curl.replace("kg_…", &key), gate.folder());
    assert_eq!((passed.status, passed.stdout.as_str()), (200, "/v1/users"), "{passed:?}");
    let refused = paste(&curl.replace("kg_…", "wrong"), gate.folder());
    assert_eq!(refused.status, 401, "{refused:?}");
    let bare = paste(curl.split(" -H ").next().expect("the start is there"), gate.folder());
    assert_eq!(bare.status, 401, "{bare:?}");
    assert_eq!(origin.count(), 1);
}
