//! A command line that is wrong.

use crate::support::reference::K1;
use crate::support::{Canaries, run};

/// A key where none belongs: the standard error is often a log.
#[test]
fn a_key_on_the_command_line_is_not_repeated() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    for key in [K1, "kg_g823TRHieD7LChNyZvhgEm3Vcs3QC0RHMuuL2KIfhoA01O0SG"] {
        let dashed = format!("--{key}");
        for arguments in [
            &["smoke", "http://127.0.0.1:1", key][..],
            &["smoke", "http://127.0.0.1:1", "--key", key],
            &["smoke", "http://127.0.0.1:1", &dashed],
            &["explain", "GET", "/", key],
            &["check", key],
            &["keys", key],
            &["keys", "list", key],
            &["keys", "add", "alice", key],
            &["keys", "add", "alice", "--concurrency", key],
            &["keys", "revoke", "alice", key],
            &["keys", "import", key, "file"],
            &["serve", key],
            &["keygen", "-n", key],
            &[key],
        ] {
            let output = run(arguments, folder.path(), &[]);
            assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
            let said = output.stdout + &output.stderr;
            assert!(Canaries::of(&[key]).found_in(said.as_bytes()).is_none(), "{said}");
        }
    }
    let output = run(&["keys", "list", "alice"], folder.path(), &[]);
    assert!(output.stderr.contains("unexpected argument 'alice' found"), "{output:?}");
}

#[test]
fn what_is_wrong_is_called_an_error() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    for arguments in [
        &["explain", "GET", "/", "--client", "somebody"][..],
        &["explain", "GET", "/", "-H", "no colon"],
        &["explain", "GET", "nowhere"],
        &["explain", "GET", "@nowhere"],
        &["explain", "GET"],
        &["keygen", "--prefix", "A B"],
        &["smoke", "ftp://a.test"],
        &["smoke", "http://127.0.0.1:1", "--header", "a b"],
        &["init", "new", "--upstream", "nonsense"],
        &["keys", "add", "a b", "--file", "keys.toml"],
        &["keys", "verify", "--file", "keys.toml"],
        &["nonsense"],
    ] {
        let output = run(arguments, folder.path(), &[]);
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
        assert!(output.stderr.starts_with("error: "), "{arguments:?}: {output:?}");
    }
}
