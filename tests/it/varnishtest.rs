//! Scripts of varnishtest, whose client and server say every byte, against the gate.

use std::path::Path;
use std::process::Command;

use crate::support::Gate;
use crate::support::reference::K1;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vtc");

/// Runs one script: it is told where the gate is, where its own server must listen, and the key.
#[track_caller]
fn play(script: &str) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let origin = folder.path().join("origin.sock").display().to_string();
    let config = format!(
        "[upstreams.api]\naddrs = [\"unix:{origin}\"]\n\
         [plugins.key-auth]\nheader = \"X-Api-Key\"\nkeys = [\"{K1}\"]\nhide_credentials = true\n\
         [locations.all]\npath = \"/\"\nupstream = \"api\"\nplugins = [\"key-auth\"]\n"
    );
    let gate = Gate::on(&config);
    // What is in no package that could be installed without starting a cache.
    let tools = Path::new(SCRIPTS).join(".varnish");
    let own = tools.join("varnishtest");
    let program = if own.exists() { own } else { "varnishtest".into() };
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", &tools).env("TMPDIR", folder.path()).arg("-l");
    for (name, value) in [("gate", &*gate.address.to_string()), ("origin", &origin), ("key", K1)] {
        command.arg("-D").arg(format!("{name}={value}"));
    }
    let script = Path::new(SCRIPTS).join(script);
    let played = command.arg(script).output().expect("scripts/test-deps.sh has fetched it");
    let said = String::from_utf8_lossy(&played.stdout);
    assert!(played.status.success(), "{said}");
}

#[test]
fn keys() {
    play("keys.vtc");
}

#[test]
fn framing() {
    play("framing.vtc");
}

#[test]
fn streams() {
    play("streams.vtc");
}

#[test]
fn h2() {
    play("h2.vtc");
}
