//! `keygate keys import`: keys of elsewhere.

use std::fs;

use super::Folder;
use crate::support::{Canaries, Output, run_fed};

const KEYS: [&str; 3] = [
    "sk-live-9fK2mQ7xV4cL8hT3sB6yW1zR5nP0eD",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "correct horse battery staple 4711",
];

/// Puts keys and their digests where `KEY1` and `DIGEST1` stand for them.
fn with_keys(text: &str) -> String {
    (1..).zip(KEYS).fold(text.to_owned(), |text, (number, key)| {
        let digest = keygate::keys::digest::Digest::of(key.as_bytes()).written();
        text.replace(&format!("KEY{number}"), key)
            .replace(&format!("DIGEST{number}"), digest.trim_start_matches("sha256:"))
    })
}

fn import(folder: &Folder, format: &str, text: &str) -> Output {
    fs::write(folder.path().join("source"), with_keys(text)).expect("the folder can be written");
    let output = folder.keys(&["import", format, "source"]);
    let said = format!("{}{}", output.stdout, output.stderr);
    let kept = fs::read(folder.file()).unwrap_or_default();
    for bytes in [said.as_bytes(), &kept] {
        assert!(Canaries::of(&KEYS).found_in(bytes).is_none(), "{format}: {text}\n{said}");
    }
    output
}

/// The keys 1, 2 … are imported under these ids, and with these consumers.
#[track_caller]
fn check(format: &str, text: &str, expected: &[(&str, &str)]) {
    let folder = Folder::with("");
    let output = import(&folder, format, text);
    let ids: String = expected.iter().map(|(id, _)| format!("{id}\n")).collect();
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), ids.as_str()), "{output:?}");
    for (key, (id, consumer)) in KEYS.iter().zip(expected) {
        let verified = folder.verify(key);
        assert_eq!(verified.stdout, format!("id {id}, consumer {consumer}\n"), "{verified:?}");
        assert_eq!(verified.code, Some(0));
    }
    let text_before = folder.text();
    let again = import(&folder, format, text);
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), ""), "{again:?}");
    assert_eq!(folder.text(), text_before);
}

#[test]
fn every_format_is_read() {
    check(
        "lines",
        "# ours\nKEY1\n\nKEY2\r\n # and this\nKEY3",
        &[("key-1", "key-1"), ("key-2", "key-2"), ("key-3", "key-3")],
    );
    check(
        "digests",
        "# ours\nalice:DIGEST1\nthe team:sha256:DIGEST2\na:b:DIGEST3\n",
        &[("alice", "alice"), ("the-team", "the-team"), ("a-b", "a-b")],
    );
    check(
        "pingap",
        "[plugins.auth]\ncategory = \"key_auth\"\nheader = \"X-Key\"\nkeys = [\"KEY1\", \"KEY2\"]\n\
         [plugins.other]\ncategory = \"limit\"\nmax = 5\n[plugins.more]\nkeys = ['KEY3']\n",
        &[("auth", "auth"), ("auth-1", "auth-1"), ("more", "more")],
    );
    check("pingap", "header = \"X-Key\"\nkeys = [\"KEY1\"]\n", &[("key", "key")]);
    let kong = [("alice", "alice"), ("alice-1", "alice"), ("bob-x-y", "bob/x-y")];
    check(
        "kong",
        "_format_version: \"3.0\"\nconsumers:\n- username: alice\n  keyauth_credentials:\n  - key: KEY1\n\
         \x20   tags: [a]\n  - key: KEY2\n- custom_id: bob/x-y\n  id: 4711\n  acls: []\n\
         keyauth_credentials:\n- consumer: 4711\n  key: \"KEY3\"\n",
        &kong,
    );
    check(
        "kong",
        "{\"consumers\": [{\"username\": \"alice\", \"keyauth_credentials\": [{\"key\": \"KEY1\"}, \
         {\"key\": \"KEY2\", \"ttl\": null}]}], \"keyauth_credentials\": [{\"key\": \"KEY3\", \
         \"consumer\": {\"username\": \"bob/x-y\"}}]}",
        &kong,
    );
}

#[test]
fn a_name_that_is_the_key_is_none() {
    check("digests", "KEY1:DIGEST1\nKEY2:DIGEST2\n", &[("key-1", "key-1"), ("key-2", "key-2")]);
    check(
        "kong",
        "consumers:\n- username: KEY1\n  keyauth_credentials:\n  - key: KEY1\n",
        &[("key-1", "key-1")],
    );
}

#[test]
fn a_credential_of_kong_ends_when_it_says() {
    let folder = Folder::with("");
    let text = "consumers:\n- username: alice\n  keyauth_credentials:\n\
                \x20 - { key: KEY1, ttl: 60, created_at: 1600000000 }\n  - { key: KEY2, ttl: 99999 }\n";
    assert_eq!(import(&folder, "kong", text).code, Some(0));
    folder.is_refused(KEYS[0], "the key has ended at 2020-09-13T12:27:40Z");
    folder.is_valid(KEYS[1], "alice-1");
    assert_eq!(folder.text().matches("expires = ").count(), 2);
}

#[test]
fn one_mistake_and_nothing_is_imported() {
    for (format, text, said) in [
        ("lines", "KEY1\n KEY2\n", "line 2: the key has blanks at its ends"),
        ("lines", "KEY1\nsha256:KEY2\n", "line 2: the key is no digest"),
        ("lines", "\n", "there is no key in it"),
        ("digests", "alice:DIGEST1\nKEY2\n", "line 2: expected a name"),
        ("digests", "alice:KEY1\n", "line 1: expected a name"),
        ("pingap", "[plugins.a]\nkeys = [\"KEY1\", 5]\n", "line 2: expected a key"),
        ("pingap", "[plugins.a]\nkeys = \"KEY1\"\n", "line 2: expected a list of keys"),
        ("pingap", "[plugins.a\nkeys = [\"KEY1\"]\n", "line 1: this is not TOML"),
        ("kong", "consumers: [KEY1\n", "this is not YAML"),
        (
            "kong",
            "consumers:\n- keyauth_credentials:\n  - { key: KEY1 }\n  - {}\n",
            "consumer 1, credential 2: it has no `key`",
        ),
        (
            "kong",
            "consumers:\n- keyauth_credentials:\n  - key: '{vault://env/KEY1}'\n",
            "reference to a vault",
        ),
        (
            "kong",
            "consumers:\n- keyauth_credentials:\n  - key: {vault://env/KEY1}\n",
            "reference to a vault",
        ),
        (
            "kong",
            "consumers:\n- keyauth_credentials:\n  - { key: KEY1, ttl: KEY2 }\n",
            "`ttl` is no number",
        ),
        ("kong", "a: &a KEY1\nconsumers: *a\n", "aliases"),
        ("kong", &("[".repeat(100_000) + "KEY1"), "not YAML"),
        ("kong", &("[".repeat(100) + "KEY1"), "deep"),
    ] {
        let folder = Folder::with("");
        let output = import(&folder, format, text);
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{text}: {output:?}");
        assert!(output.stderr.contains(said), "{said}: {output:?}");
        assert!(!folder.file().exists(), "{text}");
    }
}

#[test]
fn a_key_that_could_be_guessed_draws_a_warning_and_the_standard_input_is_a_file() {
    let folder = Folder::with("");
    let arguments = ["keys", "import", "lines", "-", "--file", "keys.txt", "--json"];
    let output = run_fed(b"changeme\nchangeme\n", &arguments, folder.path());
    assert_eq!(output.stdout, "{\"added\":[\"key-1\"],\"present\":1}\n", "{output:?}");
    assert!(output.stderr.contains("key 1 is shorter than 16 characters"), "{output:?}");
    folder.is_valid("changeme", "key-1");
}
