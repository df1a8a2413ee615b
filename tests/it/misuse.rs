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
