//! What may go wrong while a keys file is changed: nothing is lost, and no key is shown.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::Folder;
use crate::support::{Canaries, DEADLINE, command_under, holds_within, pause, run, run_fed};

const KEY: &str = "kg_g823TRHieD7LChNyZvhgEm3Vcs3QC0RHMuuL2KIfhoA01O0SG";

fn mode(folder: &Folder) -> u32 {
    let metadata = fs::metadata(folder.file()).expect("the file is there");
    metadata.permissions().mode() & 0o777
}

#[test]
fn a_key_is_shown_once_and_kept_nowhere() {
    let folder = Folder::with("");
    let keys = [folder.key(&["add", "alice"]), folder.key(&["rotate", "alice", "--overlap", "1d"])];
    let canaries = Canaries::of(&keys);
    let assert_clean = |bytes: &[u8], what: &str| {
        assert!(canaries.found_in(bytes).is_none(), "a key is in {what}");
    };
    let mut outputs = vec![folder.done(&["list"]), folder.done(&["list", "--json"])];
    outputs.extend(keys.iter().map(|key| folder.verify(key)));
    for key in &keys {
        // The key where the id belongs, or on the command line.
        for command in ["add", "rotate", "revoke", "verify"] {
            outputs.push(folder.keys(&[command, key]));
        }
        outputs.push(folder.keys(&["add", "bob", "--consumer", key]));
        for option in
            ["--expires", "--not-before", "--methods", "--allow-ips", "--rate", "--requests"]
        {
            outputs.push(folder.keys(&["add", "bob", option, key]));
        }
        outputs.push(folder.keys(&["add", "bob", "--prefix", key]));
        outputs.push(folder.keys(&["rotate", "alice", "--overlap", key]));
        outputs.push(folder.verify(&key[..51]));
    }
    outputs.push(folder.done(&["revoke", "alice"]));
    for output in outputs {
        assert_clean(output.stdout.as_bytes(), &format!("{output:?}"));
        assert_clean(output.stderr.as_bytes(), &format!("{output:?}"));
    }
    for entry in fs::read_dir(folder.path()).expect("the folder can be read").flatten() {
        assert_clean(&fs::read(entry.path()).expect("it can be read"), &format!("{entry:?}"));
    }
}

#[test]
fn a_file_that_is_wrong_is_left_as_it_is() {
    let text = "[[key]]\nid = \"alice\"\nhash = \"no digest\"\n# keep\n";
    let folder = Folder::with(text);
    for arguments in [&["add", "bob"][..], &["rotate", "alice"], &["revoke", "alice"], &["list"]] {
        let output = folder.keys(arguments);
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{output:?}");
        assert!(output.stderr.contains("keys.txt:3:8\n"), "{output:?}");
        assert_eq!(folder.text(), text);
    }
    let output = run_fed(b"x", &["keys", "verify", "--file", "keys.txt"], folder.path());
    assert_eq!(output.code, Some(1), "{output:?}");
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let folder = Folder::with("");
    folder.key(&["add", "alice"]);
    let text = folder.text();
    for (arguments, code, said) in [
        (&["add", "alice"][..], 1, "there is a key with the id `alice` already"),
        (&["rotate", "alise"], 1, "did you mean `alice`?"),
        (&["revoke", "bob"], 1, "no key has this id"),
        (&["add", "b b"], 2, "an id is 1 to 64"),
        (&["add", "b", "--expires", "1999-01-01"], 2, "would have ended already"),
        (&["add", "b", "--expires", "1d", "--not-before", "2d"], 2, "would end before it begins"),
        (&["add", "b", "--expires", "soon"], 2, "expected a duration from now"),
        (&["add", "b", "--rate", "60"], 2, "--rate: "),
        (&["add", "b", "--concurrency", "0"], 2, "--concurrency"),
        (&["add", "b", "--allow-ips", "x"], 2, "--allow-ips: expected a network"),
        (&["add", "b", "--methods", "get"], 2, "did you mean \"GET\"?"),
        (&["add", "b", "--prefix", "B_"], 2, "a prefix is"),
        (&["rotate", "alice", "--overlap", "x"], 2, "--overlap: expected a duration"),
    ] {
        let output = folder.keys(arguments);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(code), ""),
            "{arguments:?} {output:?}"
        );
        assert!(output.stderr.contains(said), "{arguments:?} {output:?}");
        assert_eq!(folder.text(), text);
    }
}

#[test]
fn a_record_that_is_written_in_another_way_is_not_taken_apart() {
    let hash = keygate::keys::digest::Digest::of(b"x").written();
    for text in [
        format!("key = [{{ id = \"alice\", hash = \"{hash}\" }}]\n"),
        format!(
            "[[key]]\nid = '''alice'''\nhash = \"{hash}\"\n[[key]]\nid = \"bob\"\nhash = \"{}\"\n",
            keygate::keys::digest::Digest::of(b"y").written()
        ),
    ] {
        let folder = Folder::with(&text);
        for command in ["rotate", "revoke"] {
            let output = folder.keys(&[command, "alice"]);
            assert!(output.code == Some(3) && output.stderr.contains("by hand"), "{output:?}");
            assert_eq!(folder.text(), text);
        }
    }
}

#[test]
fn a_new_file_is_for_its_owner_and_an_old_one_keeps_its_mode() {
    let folder = Folder::with("");
    folder.key(&["add", "alice"]);
    assert_eq!(mode(&folder), 0o600);
    for kept in [0o640, 0o444] {
        fs::set_permissions(folder.file(), Permissions::from_mode(kept)).expect("it is ours");
        folder.key(&["rotate", "alice"]);
        assert_eq!(mode(&folder), kept);
    }
}

#[test]
fn a_link_stays_and_what_kubernetes_keeps_is_refused() {
    let folder = Folder::with("");
    let real = folder.path().join("real");
    fs::create_dir(&real).expect("a folder can be made");
    symlink("real/keys", folder.file()).expect("a link can be made");
    let output = folder.keys(&["add", "alice"]);
    assert!(
        output.code == Some(3) && output.stderr.contains("a link to a file that is not there"),
        "{output:?}"
    );
    File::create(real.join("keys")).expect("a file can be made");
    folder.key(&["add", "alice"]);
    assert!(fs::symlink_metadata(folder.file()).is_ok_and(|metadata| metadata.is_symlink()));
    assert!(fs::read_to_string(real.join("keys")).is_ok_and(|text| text.contains("alice")));
    fs::rename(&real, folder.path().join("..2026")).expect("it can be moved");
    fs::remove_file(folder.file()).expect("it can be removed");
    symlink("..2026", folder.path().join("..data")).expect("a link can be made");
    symlink("..data/keys", folder.file()).expect("a link can be made");
    let output = folder.keys(&["add", "bob"]);
    assert!(output.code == Some(3) && output.stderr.contains("change the Secret"), "{output:?}");
    folder.done(&["list"]);
}

#[test]
fn what_many_add_at_once_is_all_there() {
    let folder = Folder::with("");
    let keys: Vec<(String, String)> = thread::scope(|scope| {
        let add = |process: usize| {
            let ids = (0..4).map(move |n| format!("key-{process}-{n}"));
            ids.map(|id| (folder.key(&["add", &id]), id)).collect::<Vec<_>>()
        };
        let adders: Vec<_> = (0..8).map(|process| scope.spawn(move || add(process))).collect();
        adders.into_iter().flat_map(|adder| adder.join().expect("no panic")).collect()
    });
    assert_eq!(folder.json(&["list"]).as_array().map(Vec::len), Some(32));
    for (key, id) in keys {
        folder.is_valid(&key, &id);
    }
}

#[test]
fn a_change_waits_for_another() {
    let folder = Folder::with("");
    folder.key(&["add", "alice"]);
    let lock = File::open(folder.path().join("keys.txt.lock")).expect("it stays");
    lock.lock().expect("nobody has it");
    let arguments = ["keys", "add", "bob", "--file", "keys.txt"];
    let mut child = command_under(&[], &arguments, folder.path(), &[]).spawn().expect("it starts");
    // Long enough for what does not wait, many times over.
    pause(Duration::from_millis(500));
    let ended = child.try_wait().expect("it can be asked");
    assert!(ended.is_none() && !folder.text().contains("bob"), "it did not wait: {ended:?}");
    drop(lock);
    assert!(holds_within(
        DEADLINE,
        || matches!(child.try_wait(), Ok(Some(status)) if status.success())
    ));
    assert!(folder.text().contains("bob"));
}

#[test]
fn a_kill_leaves_a_whole_file_and_nothing_that_stays() {
    let folder = Folder::with("");
    folder.key(&["add", "alice"]);
    let many: String = (0..500)
        .map(|n| {
            let hash = keygate::keys::digest::Digest::of(format!("{n}").as_bytes()).written();
            format!("\n[[key]]\nid = \"k{n}\"\nhash = \"{hash}\"\n")
        })
        .collect();
    fs::write(folder.file(), folder.text() + &many).expect("it can be written");
    let mut before = 501;
    for n in 0..12 {
        let arguments = ["keys", "add", &format!("new-{n}"), "--file", "keys.txt"];
        let mut child =
            command_under(&[], &arguments, folder.path(), &[]).spawn().expect("it starts");
        pause(Duration::from_millis(8 * n));
        let _ = child.kill();
        child.wait().expect("a child can be waited for");
        let count = folder.json(&["list"]).as_array().map_or(0, Vec::len);
        assert!(count == before || count == before + 1, "{before}, then {count}");
        before = count;
    }
    folder.key(&["add", "last"]);
    let left: Vec<_> = fs::read_dir(folder.path()).expect("it can be read").flatten().collect();
    let names: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 2, "the file and its lock: {names:?}");
}

#[test]
fn the_owner_stays_where_another_user_changes_the_file() {
    let folder = Folder::with("");
    folder.key(&["add", "alice"]);
    let chown = Command::new("chown").arg("12345:12345").arg(folder.file()).status();
    // Only root can give a file away; everybody else keeps what is theirs anyway.
    let given = chown.is_ok_and(|status| status.success());
    folder.key(&["rotate", "alice"]);
    let metadata = fs::metadata(folder.file()).expect("it is there");
    let owner = std::os::unix::fs::MetadataExt::uid(&metadata);
    assert_eq!(owner == 12345, given);
}

#[test]
fn a_key_in_the_place_of_an_id_is_not_repeated() {
    let folder = Folder::with("");
    folder.key(&["add", "alice"]);
    for arguments in [&["verify", KEY][..], &["revoke", KEY], &["rotate", KEY], &["add", KEY]] {
        let output = folder.keys(arguments);
        assert!(matches!(output.code, Some(1 | 2)), "{output:?}");
        let said = output.stdout + &output.stderr;
        assert!(Canaries::of(&[KEY]).found_in(said.as_bytes()).is_none(), "{said}");
    }
    let output = run(&["keys", "list", "--file", "nowhere.txt"], folder.path(), &[]);
    assert!(output.code == Some(1) && output.stderr.contains("--> nowhere.txt\n"), "{output:?}");
}
