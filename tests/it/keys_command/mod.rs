//! `keygate keys` from outside: what it prints, what it writes, and what it leaves as it was.

mod import;
mod safety;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Canaries, Output, run, run_fed};

/// A folder with a keys file in it.
struct Folder(TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().expect("there is room for a temporary folder"));
        if !text.is_empty() {
            fs::write(folder.file(), text).expect("the folder can be written");
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("keys.txt")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).expect("the file is there")
    }

    fn keys(&self, arguments: &[&str]) -> Output {
        let file = ["--file", "keys.txt"];
        run(&[&["keys"], arguments, &file].concat(), self.path(), &[])
    }

    /// Runs what must succeed.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> Output {
        let output = self.keys(arguments);
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
        output
    }

    /// Runs what must print a key, and nothing else on its standard output.
    #[track_caller]
    fn key(&self, arguments: &[&str]) -> String {
        let output = self.done(arguments);
        let key = output.stdout.strip_suffix('\n').expect("it is a line").to_owned();
        assert!(key.len() == 52 && key.starts_with("kg_") && !key.contains('\n'), "{output:?}");
        assert!(Canaries::of(&[&key]).found_in(output.stderr.as_bytes()).is_none(), "{output:?}");
        key
    }

    fn verify(&self, key: &str) -> Output {
        let line = format!("{key}\n");
        run_fed(line.as_bytes(), &["keys", "verify", "--file", "keys.txt"], self.path())
    }

    /// The key is one of a record, and is let in.
    #[track_caller]
    fn is_valid(&self, key: &str, id: &str) {
        let output = self.verify(key);
        assert!(
            output.code == Some(0) && output.stdout.starts_with(&format!("id {id},")),
            "{output:?}"
        );
    }

    /// The key is refused for this reason.
    #[track_caller]
    fn is_refused(&self, key: &str, reason: &str) {
        let output = self.verify(key);
        assert!(output.code == Some(1) && output.stderr.contains(reason), "{reason}: {output:?}");
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.done(&[arguments, &["--json"]].concat());
        assert_eq!(output.stderr, "");
        serde_json::from_str(&output.stdout).expect("it is JSON")
    }
}

#[test]
fn a_key_lives_until_it_is_revoked() {
    let folder = Folder::with("");
    let first = folder.key(&["add", "alice", "--consumer", "Alice.A"]);
    let other = folder.key(&["add", "bob"]);
    folder.is_valid(&first, "alice");
    folder.is_valid(&other, "bob");
    let second = folder.key(&["rotate", "alice", "--overlap", "7d"]);
    folder.is_valid(&first, "alice");
    folder.is_valid(&second, "alice");
    let third = folder.key(&["rotate", "alice"]);
    folder.is_refused(&first, "the key is unknown");
    folder.is_refused(&second, "the key is unknown");
    folder.is_valid(&third, "alice");
    folder.done(&["revoke", "alice"]);
    folder.is_refused(&third, "the key is unknown");
    folder.is_valid(&other, "bob");
    folder.done(&["revoke", "bob", "--disable"]);
    folder.is_refused(&other, "the key is disabled");
}

#[test]
fn what_add_is_told_is_in_the_record() {
    let folder = Folder::with("");
    folder.key(&[
        "add",
        "alice",
        "--consumer",
        "team@a",
        "--expires",
        "2030-01-02",
        "--not-before",
        "2029-01-01T00:00:00+01:00",
        "--locations",
        "a,b c",
        "--methods",
        "GET,HEAD",
        "--allow-ips",
        "10.0.0.0/8,::1",
        "--rate",
        "60/1m",
        "--rate",
        "600/1h",
        "--requests",
        "10000/1d",
        "--concurrency",
        "4",
        "--disabled",
    ]);
    let text = folder.text();
    for line in [
        "[[key]]",
        "id = \"alice\"",
        "consumer = \"team@a\"",
        "not_before = 2028-12-31T23:00:00Z",
        "expires = 2030-01-02T00:00:00Z",
        "disabled = true",
        "locations = [\"a\", \"b c\"]",
        "methods = [\"GET\", \"HEAD\"]",
        "allow_ips = [\"10.0.0.0/8\", \"::1/128\"]",
        "limits = { rate = [\"60/1m\", \"600/1h\"], requests = \"10000/1d\", concurrency = 4 }",
    ] {
        assert!(text.lines().any(|known| known == line), "no {line:?} in:\n{text}");
    }
}

#[test]
fn comments_and_order_stay() {
    const BEFORE: &str = "# The keys of the API.\n# Ask Carol.\n\n# Alice has two.\n[[key]]\n\
        id = \"alice\" # her laptop\nhash = \"HASH\" # of 2024\ncreated = 2024-01-01T00:00:00Z\n\n\
        # --- the team ---\n\n# Bob\n[[key]]\n  id = 'bob'\n\thash='OTHER'\n# his end\n\n\
        # Carol\n[[key]] # c\nid = \"carol\"\nhash = \"THIRD\"\nmethods = [\n  \"GET\", # only\n]\n";
    let digest = |key: &str| keygate::keys::digest::Digest::of(key.as_bytes()).written();
    let with_digests = |text: &str| {
        let text = text.replace("HASH", &digest("one")).replace("OTHER", &digest("two"));
        text.replace("THIRD", &digest("three"))
    };
    let folder = Folder::with(&with_digests(BEFORE));
    let key = folder.key(&["rotate", "alice"]);
    let text = folder.text();
    let created = text.lines().find(|line| line.starts_with("created = 20")).expect("it is there");
    let after = BEFORE.replace("\"HASH\"", &format!("\"{}\"", digest(&key)));
    let after = after.replace("created = 2024-01-01T00:00:00Z", created);
    assert_eq!(text, with_digests(&after));
    folder.done(&["revoke", "bob"]);
    let after = after.replace("# Bob\n[[key]]\n  id = 'bob'\n\thash='OTHER'\n# his end\n\n", "");
    assert_eq!(folder.text(), with_digests(&after));
    folder.done(&["revoke", "carol", "--disable"]);
    let after = after + "disabled = true\n";
    assert_eq!(folder.text(), with_digests(&after));
    folder.key(&["add", "dave"]);
    assert!(folder.text().starts_with(&with_digests(&(after + "\n[[key]]\nid = \"dave\"\n"))));
    folder.done(&["revoke", "dave"]);
    folder.done(&["revoke", "carol"]);
    folder.done(&["revoke", "alice"]);
    assert_eq!(folder.text(), "# The keys of the API.\n# Ask Carol.\n\n# --- the team ---\n\n");
}

#[test]
fn a_list_shows_states_and_uses_and_no_secret() {
    let folder = Folder::with("");
    for (id, more) in [
        ("valid", &["--consumer", "v"][..]),
        ("later", &["--not-before", "2100-01-01"]),
        ("off", &["--disabled"]),
        ("ends", &["--expires", "2100-01-01"]),
    ] {
        folder.key(&[&["add", id], more].concat());
    }
    folder.key(&["rotate", "ends", "--overlap", "3d"]);
    let text = folder.text().replacen(
        "id = \"valid\"",
        "id = \"valid\"\nexpires = 2020-01-01T00:00:00Z",
        1,
    );
    fs::write(folder.file(), text).expect("the file can be written");
    fs::write(folder.path().join("keys.txt.used"), "later 2026-01-02T03:04:05Z\n")
        .expect("it can be written");
    let listed = folder.done(&["list"]).stdout;
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(rows[0], ["ID", "CONSUMER", "AGE", "EXPIRES", "STATE", "LAST USED"]);
    let row = |at: usize| {
        rows[at]
            .iter()
            .copied()
            .enumerate()
            .filter(|(column, _)| *column != 2)
            .map(|(_, cell)| cell)
            .collect::<Vec<_>>()
    };
    assert_eq!(row(1), ["valid", "v", "2020-01-01T00:00:00Z", "expired", "-"]);
    assert_eq!(row(2), ["later", "later", "-", "not yet", "2026-01-02T03:04:05Z"]);
    assert_eq!(row(3), ["off", "off", "-", "disabled", "-"]);
    assert_eq!(row(4)[..3], ["ends", "ends", "2100-01-01T00:00:00Z"]);
    assert!(row(4)[3].starts_with("valid, overlap until 20"), "{listed}");
    assert!(!listed.contains("sha256"), "{listed}");
    let json = folder.json(&["list"]);
    let states: Vec<_> = json.as_array().expect("a list").iter().map(|key| &key["state"]).collect();
    assert_eq!(states, ["expired", "not_yet", "disabled", "valid"]);
    assert_eq!(json[1]["last_used"], "2026-01-02T03:04:05Z");
    assert!(json[3]["overlap_until"].is_string() && json[0]["overlap_until"].is_null());
    assert!(!json.to_string().contains("sha256"), "{json}");
}

#[test]
fn scripts_get_json() {
    let folder = Folder::with("");
    let added = folder.json(&["add", "alice", "--consumer", "a"]);
    assert_eq!((&added["id"], &added["consumer"]), (&"alice".into(), &"a".into()));
    let key = added["key"].as_str().expect("a key");
    folder.is_valid(key, "alice");
    let rotated = folder.json(&["rotate", "alice", "--overlap", "1h"]);
    assert!(rotated["previous_until"].is_string(), "{rotated}");
    folder.is_valid(rotated["key"].as_str().expect("a key"), "alice");
    folder.is_valid(key, "alice");
    let output =
        run_fed(key.as_bytes(), &["keys", "verify", "--json", "--file", "keys.txt"], folder.path());
    let verified: Value = serde_json::from_str(&output.stdout).expect("it is JSON");
    assert_eq!((&verified["id"], &verified["valid"]), (&"alice".into(), &true.into()));
    assert_eq!(folder.json(&["revoke", "alice", "--disable"])["revoked"], "disabled");
    assert_eq!(folder.json(&["revoke", "alice"])["revoked"], "removed");
}

#[test]
fn verify_says_why_not() {
    let folder = Folder::with("");
    let later = folder.key(&["add", "later", "--not-before", "1d"]);
    folder.is_refused(&later, "the key begins at 20");
    let ends = folder.key(&["add", "ends", "--expires", "2100-01-01"]);
    fs::write(folder.file(), folder.text().replace("2100-01-01", "2020-01-01"))
        .expect("it can be written");
    folder.is_refused(&ends, "the key has ended at 2020-01-01T00:00:00Z");
    let old = folder.key(&["add", "old"]);
    folder.key(&["rotate", "old", "--overlap", "1d"]);
    let until = folder
        .text()
        .lines()
        .find_map(|line| Some(line.split_once("until = ")?.1.to_owned()))
        .expect("an overlap");
    fs::write(folder.file(), folder.text().replace(&until, "2020-01-01T00:00:00Z }"))
        .expect("it can be written");
    folder.is_refused(&old, "the key was replaced, and has ended at 2020-01-01T00:00:00Z");
    let last = if old.ends_with('0') { "1" } else { "0" };
    folder.is_refused(&format!("{}{last}", &old[..51]), "there is a typo in the key");
    folder.is_refused("made-elsewhere-4711-0815", "the key is unknown");
    for nothing in ["", " ", &"x".repeat(5000)] {
        assert_eq!(folder.verify(nothing).code, Some(2), "{nothing}");
    }
}

#[test]
fn the_file_that_the_configuration_names_is_meant() {
    let folder = Folder::with("");
    fs::create_dir(folder.path().join("config")).expect("a folder can be made");
    let write = |plugins: &str| {
        let text = format!(
            "[upstreams.a]\naddrs = [\"127.0.0.1:1\"]\n[locations.here]\npath = \"/\"\n\
             upstream = \"a\"\nplugins = [\"key-auth\"]\n{plugins}"
        );
        fs::write(folder.path().join("config/keygate.toml"), text).expect("it can be written");
    };
    let keys = |arguments: &[&str]| run(&[&["keys"], arguments].concat(), folder.path(), &[]);
    write("[plugins.key-auth]\nheader = \"X-Key\"\nkeys_file = \"../keys.txt\"\n");
    assert_eq!(keys(&["add", "alice", "--locations", "here"]).code, Some(0));
    assert!(folder.text().contains("\"alice\""));
    let output = keys(&["add", "bob", "--locations", "her"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{output:?}");
    assert!(output.stderr.contains("did you mean `here`?"), "{output:?}");
    let plugin = |name: &str, file: &str| {
        format!("[plugins.{name}]\nheader = \"X-Key\"\nkeys_file = \"{file}\"\n")
    };
    write(&(plugin("key-auth", "../keys.txt") + &plugin("key-auth-b", "../keys.txt")));
    assert_eq!(keys(&["list"]).code, Some(0));
    write(&(plugin("key-auth", "../keys.txt") + &plugin("key-auth-b", "b.txt")));
    let output = keys(&["list"]);
    assert!(output.code == Some(1) && output.stderr.contains("several keys files"), "{output:?}");
    write("[plugins.key-auth]\nheader = \"X-Key\"\nkeys = [\"a-key-of-no-interest\"]\n");
    let output = keys(&["list"]);
    assert!(
        output.code == Some(1) && output.stderr.contains("no plugin of the configuration names"),
        "{output:?}"
    );
}
