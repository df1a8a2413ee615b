//! A keys file with a mistake in it, as `check` and `keys` name it; each is refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use keygate::keys::digest::Digest;

use crate::config::mistakes::{Mistake, read};
use crate::support::{Canaries, Output, run};

const CONFIG: &str = "
[upstreams.app]
addrs = [\"127.0.0.1:8000\"]
[locations.app]
path = \"/\"
upstream = \"app\"
plugins = [\"key-auth\"]
[plugins.key-auth]
header = \"X-API-Key\"
keys_file = \"keys.txt\"
hide_credentials = true
";

/// What stands for a key in the wrong place.
const KEY: &str = "kg_g823TRHieD7LChNyZvhgEm3Vcs3QC0RHMuuL2KIfhoA01O0SG";

/// Puts digests where `HASH` and `OTHER` stand for them, and a key where `KEY` does.
fn with_keys(text: &str) -> String {
    let [hash, other] =
        ["one", "other"].map(|key| format!("\"{}\"", Digest::of(key.as_bytes()).written()));
    text.replace("HASH", &hash).replace("OTHER", &other).replace("KEY", KEY)
}

/// What `check` and `keys list` say of a file.
fn said(folder: &Path, text: &str) -> [Output; 2] {
    let files = [("keygate.toml", CONFIG), ("keys.txt", text)];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).expect("a file can be written");
        fs::set_permissions(path, Permissions::from_mode(0o600)).expect("the file is ours");
    }
    let check = ["check", "--config", "keygate.toml"];
    let list = ["keys", "list", "--config", "keygate.toml"];
    [&check[..], &list].map(|arguments| run(arguments, folder, &[]))
}

#[test]
fn each_mistake_is_named_with_its_place_and_the_way_out() {
    let mistakes = read(include_str!("keys_file.txt"));
    assert!(mistakes.len() >= 40, "the table was read");
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let hex = |key: &str| Digest::of(key.as_bytes()).written().replace("sha256:", "");
    let canaries = Canaries::of(&[KEY.to_owned(), hex("one"), hex("other")]);
    let mut wrong = String::new();
    for Mistake { text, expected } in mistakes {
        for output in said(folder.path(), &with_keys(&text)) {
            let place = format!("keys.txt:{}\n", expected[0]);
            let parts = expected[1..].iter().copied().chain([place.as_str(), "\n1 error in the "]);
            let missing: Vec<_> = parts.filter(|part| !output.stderr.contains(part)).collect();
            let shown = canaries.found_in(output.stderr.as_bytes());
            let refused = output.code == Some(1) && output.stdout.is_empty();
            if !refused || !missing.is_empty() || shown.is_some() {
                wrong += &format!("{text}\nmissing: {missing:?}\n{}\n", output.stderr);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let text = "[[key]]\nid = 5\nhash = \"KEY\"\n[[key]]\nid = broken\n[[key]]\nidd = \"a\"\n";
    for output in said(folder.path(), &with_keys(text)) {
        for place in ["2:6", "3:8", "5:6", "6:1", "7:1"] {
            assert!(output.stderr.contains(&format!("keys.txt:{place}\n")), "{place}\n{output:?}");
        }
    }
}

#[test]
fn a_right_file_is_no_mistake() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let text = with_keys("[[key]]\nid = \"a\"\nhash = HASH\nlocations = [\"app\"]\n");
    for output in said(folder.path(), &text) {
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
    }
}
