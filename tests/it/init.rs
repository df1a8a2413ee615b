//! `keygate init`: from an empty place to a guarded request.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::demo::paste;
use crate::support::{Gate, Origin, Output, run, run_under};

fn somewhere() -> TempDir {
    tempfile::tempdir().expect("there is room for a temporary folder")
}

/// The files of a folder, each with its name and its text.
#[track_caller]
fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).expect("the folder is there").flatten();
    let file = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).expect("the files are text");
        (entry.file_name().to_string_lossy().into_owned(), text)
    };
    let mut files: Vec<_> = entries.map(file).collect();
    files.sort();
    files
}

/// Runs `init` in a place of its own.
#[track_caller]
fn init(arguments: &[&str]) -> (TempDir, Output) {
    let place = somewhere();
    let output = run(&[&["init"], arguments].concat(), place.path(), &[]);
    (place, output)
}

/// The commands of the README, a line each.
fn commands(readme: &str) -> Vec<String> {
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.flat_map(|(block, _)| block.lines()).map(str::to_owned).collect()
}

#[test]
fn from_nothing_to_a_guarded_request_by_the_commands_of_the_readme() {
    let origin = Origin::echo();
    let upstream = format!("http://{}", origin.address);
    let (place, output) = init(&["api", "--upstream", &upstream]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let key = output.stdout.strip_suffix('\n').expect("one line");
    let folder = place.path().join("api");
    let files = files(&folder);
    let readme = commands(&files[0].1);
    let [check, serve, curl] = &readme[..] else { panic!("three commands: {readme:?}") };

    let words: Vec<_> = check.split(' ').skip(1).collect();
    let checked = run(&words, &folder, &[]);
    assert_eq!((checked.code, &*checked.stderr), (Some(0), ""), "{checked:?}");
    assert!(!checked.stdout.contains("warning"), "{checked:?}");
    assert_eq!(checked.stdout.lines().count(), 3, "{checked:?}");

    assert_eq!(serve, "keygate serve --config .");
    // The port of the file is taken somewhere by another test.
    let moved = |text: &str| text.replace("127.0.0.1:8080", "127.0.0.1:0");
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), moved(text))).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let mut gate = Gate::launch(&files, &["serve", "--config", "config"], &[]);
    gate.secret(key);
    let curl = curl.replace("127.0.0.1:8080", &gate.address.to_string());
    let passed = paste(&curl.replace("kg_…", key), gate.folder());
    assert_eq!((passed.status, &*passed.stdout), (200, "/"), "{passed:?}");
    assert_eq!(paste(&curl.replace("kg_…", "wrong"), gate.folder()).status, 401);
    let seen = String::from_utf8_lossy(&origin.last().head.raw).into_owned();
    assert!(!seen.contains(key) && seen.contains("x-credential-identifier: first"), "{seen}");
    assert_eq!(origin.count(), 1);
}

#[test]
fn the_key_is_on_the_standard_output_and_nowhere_else() {
    let (place, output) = init(&["a b/c"]);
    let (first, other) = (output.stdout.trim_end(), init(&["x"]).1.stdout);
    assert!(first.starts_with("kg_") && output.stdout.lines().count() == 1, "{output:?}");
    assert_ne!(first, other.trim_end());
    let folder = place.path().join("a b/c");
    let names: Vec<_> = files(&folder).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["README.md", "keygate.toml", "keys.toml", "plugins.key-auth.toml"]);
    for (name, text) in files(&folder) {
        assert!(!text.contains(first), "{name}");
        let mode = fs::metadata(folder.join(&name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = fs::metadata(&folder).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(!output.stderr.contains(first), "{output:?}");
    let next = "\n  keygate check --config 'a b/c'\n  keygate serve --config 'a b/c'\n";
    assert!(output.stderr.ends_with(next), "{output:?}");
}

#[test]
fn what_stands_there_is_left_alone() {
    let place = somewhere();
    fs::create_dir(place.path().join("empty")).expect("the folder is new");
    assert_eq!(run(&["init", "empty"], place.path(), &[]).code, Some(0));
    let before = files(&place.path().join("empty"));
    fs::write(place.path().join("file"), "text").expect("it can be written");
    for name in ["empty", "."] {
        let output = run(&["init", name], place.path(), &[]);
        assert_eq!((output.code, &*output.stdout), (Some(2), ""), "{output:?}");
        assert!(output.stderr.contains("is not empty"), "{output:?}");
    }
    for name in ["file", "file/x"] {
        let output = run(&["init", name], place.path(), &[]);
        assert_eq!((output.code, &*output.stdout), (Some(3), ""), "{output:?}");
    }
    assert_eq!(files(&place.path().join("empty")), before);
    assert_eq!(fs::read_to_string(place.path().join("file")).expect("it is there"), "text");
}

#[test]
fn what_cannot_be_finished_is_taken_back() {
    // The last is right in its form, but the gate itself listens there.
    for upstream in ["", "ftp://127.0.0.1", "127.0.0.1", "127.0.0.1:8080"] {
        let (place, output) = init(&["api", "--upstream", upstream]);
        assert_eq!((output.code, &*output.stdout), (Some(2), ""), "{output:?}");
        assert!(!output.stderr.is_empty(), "{output:?}");
        assert!(!place.path().join("api").exists(), "{upstream}");
    }
    // A key that nobody could read is no key.
    let place = somewhere();
    let full = ["sh", "-c", "exec \"$0\" \"$@\" > /dev/full"];
    let output = run_under(&full, &["init", "api"], place.path(), &[]);
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(!place.path().join("api").exists(), "{output:?}");
}

#[test]
fn any_upstream_can_be_written() {
    for upstream in ["localhost:9000", "http://[::1]:9000", "unix:/run/${HOME}'\\\".sock"] {
        let (place, output) = init(&["api", "--upstream", upstream]);
        assert_eq!(output.code, Some(0), "{output:?}");
        let checked = run(&["check", "--config", "api"], place.path(), &[]);
        assert_eq!((checked.code, &*checked.stderr), (Some(0), ""), "{checked:?}");
    }
}
