//! The search for keys in all that comes out of a gate, tried on gates that let one out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::support::reference::{K1, guarded, reference, simple};
use crate::support::{Canaries, Gate, Origin, run};

/// Why a test that drops this gate fails.
#[track_caller]
fn failure_of(gate: Gate) -> String {
    let dropped = catch_unwind(AssertUnwindSafe(move || drop(gate)));
    let panic = dropped.expect_err("a key came out and nothing failed");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_piece_of_a_key_in_a_log_fails_the_test() {
    let origin = Origin::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let gate = guarded(&origin);
    assert!(gate.leak().is_none());
    // Eight bytes of the key, in the path of an open location.
    gate.send("GET /public/9f86d081 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    gate.stdout.wait_for("the path", |line| line.contains("/public/"));
    assert!(failure_of(gate).contains("/public/9f86d081"));
}

#[test]
fn a_piece_of_a_key_in_an_answer_fails_the_test() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n<9f86d081>");
    let gate = guarded(&origin);
    gate.send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(failure_of(gate).contains("<9f86d081>"));
}

#[test]
fn a_key_that_the_system_shows_fails_the_test() {
    let origin = Origin::echo();
    let server = ("server.toml", "[server]\nlisten = \"127.0.0.1:0\"\n");
    let files = [("keygate.toml", &*reference(&origin)), server];
    let gate = Gate::launch(&files, &["--config", "config"], &[("ANYTHING", K1)]);
    assert!(failure_of(gate).contains("ANYTHING"));
}

#[test]
fn a_key_that_a_command_prints_fails_the_test() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    // The path of a location is no secret, and `check` prints it.
    let config = format!(
        "[upstreams.a]\naddrs = [\"127.0.0.1:1\"]\n\
         [locations.a]\npath = \"/{K1}/\"\nupstream = \"a\"\npublic = true\n"
    );
    std::fs::write(folder.path().join("keygate.toml"), config).expect("it can be written");
    let ran = catch_unwind(|| run(&["check", "--config", "keygate.toml"], folder.path(), &[]));
    let panic = ran.expect_err("a key came out and nothing failed");
    assert!(panic.downcast_ref::<String>().is_some_and(|text| text.contains(K1)));
}

#[test]
fn a_gate_logs_all_it_can_while_it_is_searched() {
    let origin = Origin::echo();
    let gate = simple(&origin, "");
    // What says so is logged at the level `debug` only.
    gate.client().send("GET / HTTP/1.1\r\nHost: a\r\nX-Half: ").finish().rest();
    gate.stderr.wait_for("a line at the level `debug`", |line| line.contains("DEBUG"));
}

#[test]
fn every_piece_of_eight_bytes_is_found_and_nothing_else() {
    let canaries = Canaries::of(&[K1]);
    for start in 0..=K1.len() - 8 {
        let piece = &K1[start..start + 8];
        let text = format!("k1_9f86 {piece}");
        assert!(canaries.found_in(text.as_bytes()).is_some(), "{piece}");
        let one_byte_less = format!("{} {}", &piece[..7], &piece[1..]);
        assert!(canaries.found_in(one_byte_less.as_bytes()).is_none(), "{piece}");
    }
    assert!(canaries.found_in(b"").is_none());
}
