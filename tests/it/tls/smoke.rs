//! `keygate smoke` against a gate that speaks TLS.

use std::fs;

use super::{Authority, secured, site};
use crate::support::reference::K1;
use crate::support::{Gate, Origin, Output, run_under};

#[track_caller]
fn smoke(gate: &Gate, authority: &Authority, name: &str) -> Output {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    for (name, text) in [("key", K1), ("ca.pem", &authority.pem())] {
        fs::write(folder.path().join(name), text).expect("the folder can be written");
    }
    let url = format!("https://{name}:{}/x", gate.address.port());
    let with_key = ["sh", "-c", "exec \"$0\" \"$@\" < key"];
    run_under(&with_key, &["smoke", &url, "--ca", "ca.pem"], folder.path(), &[])
}

#[test]
fn a_gate_that_speaks_tls_passes() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[]);
    for name in ["localhost", "127.0.0.1"] {
        let output = smoke(&gate, &authority, name);
        assert!(output.code == Some(0), "{output:?}");
        assert!(output.stdout.contains("probes were answered as they must be"), "{output:?}");
    }
}

#[test]
fn another_gate_gets_no_key() {
    let origin = Origin::echo();
    let authority = Authority::new();
    let elsewhere = authority.issue(&["other.example.com"]);
    let gate = secured(&origin, &elsewhere, "", &[]);
    for believed in [&authority, &Authority::new()] {
        let output = smoke(&gate, believed, "localhost");
        let said = output.stderr.contains("cannot be reached: invalid peer certificate");
        assert!(output.code == Some(3) && said, "{output:?}");
    }
    assert_eq!(origin.count(), 0);
    assert!(!gate.stdout.text().contains("GET"), "a request was sent");
}
