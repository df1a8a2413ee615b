//! A key that the gate was given is nowhere in its memory once it serves: only its digest is.
//!
//! Looks at the memory of the running process. Not keygate's to wipe are what the kernel keeps of
//! the environment and what the decoder of TOML leaves of a key that is written with escapes; and
//! the keys of requests pass through the buffers of connections.

use keygate::keys::digest::Digest;

use crate::support::{Canaries, Gate, Origin};

/// Nothing else looks like these.
const KEY: &str = "zQ4mVw9LkT2xRb7NcYs5HdJf8Gp0AeUi1oXq";
const OTHER: &str = "yR5nUx8MjS3wQc6PbZt4GeKg7Hq9BfVj2iWp";

/// The digests of these keys are in memory, which shows that looking finds; no piece of any of
/// `KEY` and `OTHER` is.
#[track_caller]
fn holds_only_digests(gate: &Gate, keys: &[&str]) {
    let memory = gate.memory();
    for key in keys {
        let written = Digest::of(key.as_bytes()).written();
        let digits = &written["sha256:".len()..];
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        let digest: Vec<_> = (0..digits.len()).step_by(2).map(byte).collect();
        let canary = Canaries::of(&[&digest]);
        assert!(memory.iter().any(|part| canary.found_in(part).is_some()), "no digest of {key}");
    }
    let canaries = Canaries::of(&[KEY, OTHER]);
    let found: Vec<_> = memory.iter().filter_map(|part| canaries.found_in(part)).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// A configuration with these keys, in front of nothing.
fn config(keys: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[upstreams.app]\naddrs = [\"127.0.0.1:9\"]\n\
         [plugins.key-auth]\nheader = \"X-API-Key\"\nhide_credentials = true\nkeys = [{keys}]\n\
         [locations.app]\npath = \"/\"\nupstream = \"app\"\nplugins = [\"key-auth\"]\n"
    )
}

#[test]
fn no_key_of_a_configuration_stays() {
    for keys in [format!("\"{KEY}\", '{OTHER}'"), format!("\"\"\"{KEY}\"\"\", '''{OTHER}'''")] {
        let gate = Gate::with(&[("keygate.toml", &config(&keys))]);
        holds_only_digests(&gate, &[KEY, OTHER]);
    }
}

#[test]
fn no_key_of_a_variable_stays() {
    let config = config("\"${ONE_KEY}\", \"$${${OTHER_KEY}\"");
    let other = format!("${{{OTHER}");
    let dotenv = format!("export ONE_KEY='{KEY}'\nOTHER_KEY=\"{OTHER}\" # a comment\n");
    let files = [("keygate.toml", &*config), ("../.env", &*dotenv)];
    let gate = Gate::launch(&files, &["--config", "config"], &[]);
    holds_only_digests(&gate, &[KEY, &other]);
    let env = [("ONE_KEY", KEY), ("OTHER_KEY", OTHER)];
    let gate = Gate::launch(&files[..1], &["--config", "config"], &env);
    holds_only_digests(&gate, &[KEY, &other]);
}

#[test]
fn no_key_of_a_start_without_files_stays() {
    let arguments = ["--upstream", "127.0.0.1:9", "--listen", "127.0.0.1:0"];
    let both = format!("{KEY},{OTHER}");
    let gate = Gate::launch(&[], &arguments, &[("API_KEY", &both)]);
    holds_only_digests(&gate, &[KEY, OTHER]);
    let dotenv = format!("API_KEY={both}\n");
    let gate = Gate::launch(&[("../.env", &dotenv)], &arguments, &[]);
    holds_only_digests(&gate, &[KEY, OTHER]);
    let lines = format!("{KEY}\n{OTHER}\n");
    let gate = Gate::launch(&[("keys", &lines)], &arguments, &[("API_KEY_FILE", "config/keys")]);
    holds_only_digests(&gate, &[KEY, OTHER]);
}

#[test]
fn neither_the_old_key_nor_the_new_stays_after_a_reload() {
    let origin = Origin::echo();
    let with = |key: &str| {
        config(&format!("\"{key}\"")).replace("127.0.0.1:9", &origin.address.to_string())
    };
    let gate = Gate::with(&[("keygate.toml", &with(KEY))]);
    gate.write("keygate.toml", &with(OTHER));
    gate.stderr.wait_for("the reload", |line| line.contains("reloaded the configuration"));
    holds_only_digests(&gate, &[OTHER]);
    gate.write("keygate.toml", &with(KEY).replace("key-auth\"]", "nonsense\"]"));
    gate.stderr.wait_for("the refusal", |line| line.contains("was not reloaded"));
    holds_only_digests(&gate, &[OTHER]);
}
