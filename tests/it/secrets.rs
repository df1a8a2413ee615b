//! Keys from elsewhere: from a command, and from what systemd hands over.

use std::fs;
use std::os::unix::fs::symlink;

use keygate::keys::digest::Digest;

use crate::reload::LISTEN;
use crate::support::admin::ADMIN;
use crate::support::reference::upstream;
use crate::support::{Gate, Origin, run, wait_until};

const KEYS: [&str; 3] = [
    "the-first-key-of-a-vault-which-is-long-enough",
    "the-second-key-of-a-vault-which-is-long-enough",
    "the-third-key-of-a-vault-which-is-long-enough",
];

const LOCATION: &str =
    "[locations.all]\npath = \"/\"\nupstream = \"rec\"\nplugins = [\"key-auth\"]\n";

fn status(gate: &Gate, key: &str) -> u16 {
    gate.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n")).status
}

fn statuses(gate: &Gate) -> [u16; 3] {
    KEYS.map(|key| status(gate, key))
}

/// A keys file with one key.
fn record(key: &str) -> String {
    format!("[[key]]\nid = \"alice\"\nhash = \"{}\"\n", Digest::of(key.as_bytes()).written())
}

/// A gate whose keys a shell prints with this script; `OUT` is a file that the test writes. In its
/// folder there is a keys file with the first key, for `more` to name.
fn gate(origin: &Origin, out: &str, script: &str, more: &str) -> (Gate, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("out");
    fs::write(&file, out).expect("it can be written");
    let script = script.replace("OUT", &file.display().to_string());
    let plugin = format!(
        "header = \"X-API-Key\"\nhide_credentials = true\n\
         keys_command = [\"sh\", \"-c\", '{script}']\n{more}"
    );
    let config = upstream(origin) + LOCATION + ADMIN;
    let files = [
        ("keygate.toml", &*config),
        ("plugins.key-auth.toml", &plugin),
        ("keys.toml", &record(KEYS[0])),
        ("server.toml", LISTEN),
    ];
    let mut gate = Gate::with(&files);
    KEYS.iter().for_each(|key| gate.secret(key));
    (gate, folder)
}

#[test]
fn what_a_command_prints_are_keys_with_names() {
    let origin = Origin::echo();
    let [first, second, _] = KEYS;
    let lines = format!("# keys\n{first}\n{}\n", Digest::of(second.as_bytes()).written());
    let json = format!("{{\"alice\": \"{first}\", \"bob\": {{\"key\": \"{second}\"}}}}");
    let named = Digest::of(first.as_bytes()).name();
    for (out, id) in [(lines, &*named), (json, "alice")] {
        let (gate, _folder) = gate(&origin, &out, "cat OUT", "");
        assert_eq!(statuses(&gate), [200, 200, 401]);
        status(&gate, first);
        assert_eq!(origin.last().head.value("X-Credential-Identifier"), Some(id));
    }
}

#[test]
fn a_key_without_a_name_is_named_alike_whatever_stands_before_it() {
    let origin = Origin::echo();
    let [first, second, _] = KEYS;
    let (gate, folder) = gate(&origin, first, "cat OUT", "");
    let name = || {
        status(&gate, first);
        origin.last().head.value("X-Credential-Identifier").map(str::to_owned)
    };
    let before = name().expect("it has one");
    assert!(before.starts_with("key-") && before.len() == 21, "{before}");
    fs::write(folder.path().join("out"), format!("{second}\n{first}")).expect("it can be written");
    gate.signal("HUP");
    wait_until("there is another key", || status(&gate, second) == 200);
    assert_eq!(name(), Some(before));
}

#[test]
fn a_command_is_asked_again_and_its_failure_leaves_the_keys_and_is_told() {
    let origin = Origin::echo();
    let script = "cat OUT && ! grep -q broken OUT";
    let (gate, folder) = gate(&origin, KEYS[0], script, "keys_command_interval = \"1s\"\n");
    let write = |text: &str| {
        fs::write(folder.path().join("new"), text).expect("it can be written");
        let renamed = fs::rename(folder.path().join("new"), folder.path().join("out"));
        renamed.expect("it can be replaced");
    };
    assert_eq!(statuses(&gate), [200, 401, 401]);
    write(&format!("{}\nbroken", KEYS[1]));
    gate.stderr.wait_for("the failure", |line| line.contains("keys_command failed: it ended with"));
    assert_eq!(statuses(&gate), [200, 401, 401]);
    write("[5]");
    let wrong = "entry 1 is neither a key nor a record; the keys that it printed before stay";
    gate.stderr.wait_for("the failure", |line| line.contains(wrong));
    assert_eq!(statuses(&gate), [200, 401, 401]);
    assert!(!gate.output().contains("reloaded the keys"), "none were: {}", gate.output());
    write(KEYS[2]);
    wait_until("it prints another key", || statuses(&gate) == [401, 401, 200]);
    gate.stderr.wait_for("that it did", |line| line.contains("reloaded the keys"));
}

#[test]
fn a_command_that_fails_is_a_reload_that_failed_until_it_succeeds() {
    let origin = Origin::echo();
    let often = "keys_command_interval = \"1s\"\n";
    let (gate, folder) = gate(&origin, KEYS[0], "cat OUT", often);
    let succeeded = |expected| {
        gate.wait_for_metric("keygate_config_last_reload_successful", expected);
    };
    succeeded(1.0);
    fs::rename(folder.path().join("out"), folder.path().join("away")).expect("it is there");
    succeeded(0.0);
    // What else is read, and is right, does not make up for it.
    let more = "[locations.more]\npath = \"/more\"\nupstream = \"rec\"\npublic = true\n";
    gate.write("more.toml", more);
    gate.stderr.wait_for("the new location", |line| line.contains("locations=2"));
    succeeded(0.0);
    fs::rename(folder.path().join("away"), folder.path().join("out")).expect("it is there");
    succeeded(1.0);
}

#[test]
fn a_keys_file_that_is_wrong_does_not_keep_the_command_from_being_asked() {
    let origin = Origin::echo();
    let more = "keys_command_interval = \"1s\"\nkeys_file = \"keys.toml\"\n";
    let (gate, folder) = gate(&origin, KEYS[1], "cat OUT", more);
    assert_eq!(statuses(&gate), [200, 200, 401]);
    gate.write("keys.toml", "[[key]]\n");
    gate.stderr.wait_for("what is wrong", |line| line.contains("`id` is missing"));
    fs::write(folder.path().join("out"), KEYS[2]).expect("it can be written");
    wait_until("the command is asked", || statuses(&gate) == [200, 401, 200]);
}

/// A link on the way to the folder is turned, which only a look at it every second finds.
#[test]
fn a_command_that_is_asked_every_second_does_not_hide_a_change_of_the_configuration() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let in_folder = |name: &str| folder.path().join(name);
    let plugin = format!(
        "[plugins.key-auth]\nheader = \"X-API-Key\"\nhide_credentials = true\n\
         keys_command = [\"echo\", \"{}\"]\nkeys_command_interval = \"1s\"\n",
        KEYS[0]
    );
    let open = "[locations.open]\npath = \"/x\"\nupstream = \"rec\"\npublic = true\n";
    for (name, more) in [("one", ""), ("two", open)] {
        fs::create_dir_all(in_folder(name).join("config")).expect("there is room");
        let config = upstream(&origin) + LOCATION + &plugin + LISTEN + more;
        fs::write(in_folder(name).join("config/all.toml"), config).expect("it can be written");
    }
    symlink("one", in_folder("current")).expect("links can be made");
    let config = in_folder("current/config").display().to_string();
    let gate = Gate::launch(&[], &["--config", &config], &[]);
    assert_eq!(statuses(&gate), [200, 401, 401]);
    symlink("two", in_folder("new")).expect("links can be made");
    fs::rename(in_folder("new"), in_folder("current")).expect("links can be renamed");
    wait_until("the path is open", || statuses(&gate) == [200, 200, 200]);
}

#[test]
fn a_command_that_hangs_holds_up_no_revocation() {
    let origin = Origin::echo();
    let script = "cat OUT && while test -e OUT.hangs; do sleep 0.05; done";
    let more = "keys_file = \"keys.toml\"\nkeys_command_interval = \"1s\"\n\
                keys_command_timeout = \"60s\"\n";
    let (gate, folder) = gate(&origin, KEYS[1], script, more);
    assert_eq!(statuses(&gate), [200, 200, 401]);
    fs::write(folder.path().join("out.hangs"), "").expect("it can be written");
    fs::write(folder.path().join("out"), KEYS[2]).expect("it can be written");
    gate.signal("HUP");
    wait_until("the gate has reloaded", || gate.output().contains("reloaded the configuration"));
    gate.write("keys.toml", &record(KEYS[2]).replace("alice", "carol"));
    wait_until("the file's key is revoked", || statuses(&gate) == [401, 200, 200]);
    fs::remove_file(folder.path().join("out.hangs")).expect("it is there");
    gate.write("keys.toml", "");
    wait_until("the command has answered", || statuses(&gate) == [401, 401, 200]);
}

#[test]
fn a_key_that_is_disabled_in_one_place_is_valid_in_no_other() {
    let origin = Origin::echo();
    let both = format!("{}\n{}\n", KEYS[0], KEYS[1]);
    let (gate, _folder) = gate(&origin, &both, "cat OUT", "keys_file = \"keys.toml\"\n");
    assert_eq!(statuses(&gate), [200, 200, 401]);
    gate.write("keys.toml", &(record(KEYS[0]) + "disabled = true\n"));
    wait_until("it is disabled", || statuses(&gate) == [401, 200, 401]);
}

#[test]
fn a_command_that_prints_what_could_be_guessed_is_told_of_once() {
    let origin = Origin::echo();
    let often = "keys_command_interval = \"1s\"\n";
    let (mut gate, folder) = gate(&origin, "hunter2", "echo >> OUT.asked; cat OUT", often);
    gate.secret("hunter");
    let asked = || fs::read(folder.path().join("out.asked")).map_or(0, |asked| asked.len());
    let told = || gate.output().matches("of what keys_command prints, line").count();
    gate.stderr.wait_for("the warning", |line| line.contains("line 1 is shorter than 16"));
    let before = asked();
    wait_until("it was asked again and again", || asked() >= before + 3);
    assert_eq!(told(), 1, "{}", gate.output());
    let out = format!("{}\nhunter2\nhunter3", KEYS[1]);
    fs::write(folder.path().join("out"), out).expect("it can be written");
    let more = "line 2 is shorter than 16 characters and could be guessed; so could 1 more";
    gate.stderr.wait_for("what else could be", |line| line.contains(more));
    fs::write(folder.path().join("out"), KEYS[1]).expect("it can be written");
    wait_until("none can be", || status(&gate, "hunter2") == 401);
    assert_eq!(told(), 2, "{}", gate.output());
}

#[test]
fn a_hangup_asks_the_command_at_once() {
    let origin = Origin::echo();
    let (gate, folder) = gate(&origin, KEYS[0], "cat OUT", "keys_command_interval = \"1d\"\n");
    assert_eq!(statuses(&gate), [200, 401, 401]);
    fs::write(folder.path().join("out"), KEYS[1]).expect("it can be written");
    gate.signal("HUP");
    wait_until("the other key is accepted", || statuses(&gate) == [401, 200, 401]);
}

#[test]
fn keys_of_a_file_and_of_a_command_with_one_id_have_limits_of_their_own() {
    let origin = Origin::echo();
    let json =
        format!("{{\"alice\": {{\"key\": \"{}\", \"limits\": {{\"rate\": \"3/1h\"}}}}}}", KEYS[1]);
    let (gate, _folder) = gate(&origin, &json, "cat OUT", "keys_file = \"keys.toml\"\n");
    let limited = record(KEYS[0]) + "limits = { rate = \"2/1h\" }\n";
    gate.write("keys.toml", &limited);
    // That the limit holds is known when it is met.
    wait_until("the limit of the first is met", || status(&gate, KEYS[0]) == 429);
    let both = || (status(&gate, KEYS[1]), status(&gate, KEYS[0]));
    assert_eq!([both(), both(), both(), both()], [(200, 429), (200, 429), (200, 429), (429, 429)]);
}

#[test]
fn a_start_without_its_keys_is_none() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for (command, more, message) in [
        ("[\"/nowhere/tool\", \"hunter2\"]", "", "it cannot be started"),
        ("[\"sh\", \"-c\", \"echo hunter2; exit 7\"]", "", "it ended with exit status: 7"),
        ("[\"sleep\", \"1000\"]", "keys_command_timeout = \"100ms\"", "longer than 100ms"),
        ("[\"printf\", \"hunter2 \u{e9}\"]", "", "line 1 holds a character beyond ASCII"),
        ("[\"echo\", '[{\"key\": \"hunter2\"}]']", "", "`id` is missing, in entry 1"),
        (
            "[\"echo\", '{\"a\": {\"key\": \"hunter2\", \"locations\": [\"al\"]}}']",
            "",
            "unknown location",
        ),
        ("[]", "", "the command is empty"),
    ] {
        let plugin =
            format!("[plugins.key-auth]\nheader = \"X\"\nkeys_command = {command}\n{more}\n");
        let upstream = "[upstreams.rec]\naddrs = [\"127.0.0.1:9\"]\n";
        let file = folder.path().join("keygate.toml");
        fs::write(&file, plugin + upstream + LOCATION).expect("it can be written");
        let checked = run(&["check", "--config", "keygate.toml"], folder.path(), &[]);
        let said = checked.stderr;
        assert_eq!(checked.code, Some(1), "{command}: {said}");
        assert!(said.contains(message) && !said.contains("hunter2"), "{command}: {said}");
    }
}

#[test]
fn systemd_hands_over_a_keys_file() {
    let origin = Origin::echo();
    let credentials = tempfile::tempdir().expect("there is room for a folder");
    fs::write(credentials.path().join("keys"), record(KEYS[0])).expect("it can be written");
    let plugin = "header = \"X-API-Key\"\nkeys_file = \"${CREDENTIALS_DIRECTORY}/keys\"\n";
    let config = upstream(&origin) + LOCATION;
    let files =
        [("keygate.toml", &*config), ("plugins.key-auth.toml", plugin), ("server.toml", LISTEN)];
    let folder = credentials.path().to_str().expect("the path is text");
    let gate = Gate::launch(&files, &["--config", "config"], &[("CREDENTIALS_DIRECTORY", folder)]);
    assert_eq!(statuses(&gate), [200, 401, 401]);
}
