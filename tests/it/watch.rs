//! Every change of the configuration is noticed, whatever becomes of its folder; nothing else is.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::reload::{LISTEN, accepting, start, status};
use crate::support::reference::{K1, K2};
use crate::support::{DEADLINE, Gate, Origin, failing, pause, wait_until};

/// Writes a whole configuration that accepts this key into a folder.
fn fill(folder: &Path, origin: &Origin, key: &str) {
    fs::create_dir_all(folder).expect("there is room for a folder");
    fs::write(folder.join("keygate.toml"), accepting(origin, key)).expect("it can be written");
    fs::write(folder.join("server.toml"), LISTEN).expect("it can be written");
}

/// A gate whose configuration is at this path.
fn gate_at(config: &Path) -> Gate {
    let config = config.to_str().expect("the path is text");
    Gate::launch(&[], &["--config", config], &[])
}

/// The folder has been exchanged for one that accepts `K2`: it is noticed, and so is each change
/// after it, at once.
#[track_caller]
fn is_followed(gate: &Gate, origin: &Origin, folder: &Path) {
    wait_until("the new folder is read", || status(gate, K2) == 200);
    for key in ["a-key-of-the-third-version", "a-key-of-the-fourth-version"] {
        fs::write(folder.join("keygate.toml"), accepting(origin, key)).expect("it can be written");
        wait_until("a change in it is noticed", || status(gate, key) == 200);
    }
}

#[test]
fn a_folder_that_is_deleted_and_made_again_is_followed() {
    let origin = Origin::echo();
    let gate = start(&origin);
    let config = gate.folder().join("config");
    for _ in 0..2 {
        fs::remove_dir_all(&config).expect("the folder is there");
        gate.stderr.wait_for("the error", |line| line.contains("no such file or folder"));
        assert_eq!(status(&gate, K1), 200);
        fill(&config, &origin, K2);
        is_followed(&gate, &origin, &config);
        fill(&config, &origin, K1);
        wait_until("the first key is back", || status(&gate, K1) == 200);
    }
}

#[test]
fn a_folder_that_is_exchanged_for_another_is_followed() {
    let origin = Origin::echo();
    let gate = start(&origin);
    let config = gate.folder().join("config");
    fill(&gate.folder().join("next"), &origin, K2);
    fs::rename(&config, gate.folder().join("previous")).expect("the folder is there");
    fs::rename(gate.folder().join("next"), &config).expect("the folder is there");
    is_followed(&gate, &origin, &config);
}

#[test]
fn a_link_on_the_way_to_the_folder_is_followed() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let current = folder.path().join("current");
    fill(&folder.path().join("v1/config"), &origin, K1);
    fill(&folder.path().join("v2/config"), &origin, K2);
    symlink("v1", &current).expect("links can be made");
    let gate = gate_at(&current.join("config"));
    assert_eq!((status(&gate, K1), status(&gate, K2)), (200, 401));
    symlink("v2", folder.path().join("new")).expect("links can be made");
    fs::rename(folder.path().join("new"), &current).expect("links can be renamed");
    is_followed(&gate, &origin, &current.join("config"));
}

#[test]
fn the_target_of_a_link_in_the_folder_is_followed() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let (config, elsewhere) = (folder.path().join("config"), folder.path().join("elsewhere"));
    fill(&config, &origin, K1);
    fs::create_dir(&elsewhere).expect("the folder is new");
    fs::rename(config.join("keygate.toml"), elsewhere.join("real")).expect("it is there");
    symlink("../elsewhere/real", config.join("keygate.toml")).expect("links can be made");
    let gate = gate_at(&config);
    assert_eq!((status(&gate, K1), status(&gate, K2)), (200, 401));
    fs::write(elsewhere.join("real"), accepting(&origin, K2)).expect("it can be written");
    wait_until("the new key is accepted", || status(&gate, K2) == 200);
    assert_eq!(status(&gate, K1), 401);
}

/// Makes a named pipe: whoever reads it waits for a writer.
fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo is there");
    assert!(made.success(), "mkfifo {} fails", path.display());
}

/// Waits until a pipe is read, and opens its other end.
#[track_caller]
fn writer_of(pipe: &Path) -> fs::File {
    // To wait for a reader with open(2) itself would be to wait for ever if none came.
    const O_NONBLOCK: i32 = 0o4000;
    let mut opened = None;
    wait_until("the pipe is read", || {
        let mut options = fs::OpenOptions::new();
        opened = options.write(true).custom_flags(O_NONBLOCK).open(pipe).ok();
        opened.is_some()
    });
    opened.expect("it was waited for")
}

#[test]
fn a_change_while_the_first_plan_is_made_is_not_lost() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let config = folder.path().join("config");
    fill(&config, &origin, K1);
    // Read after `keygate.toml`, and not before somebody writes into it.
    let server = config.join("server.toml");
    fs::remove_file(&server).expect("it is there");
    pipe(&server);
    let gate = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut held = writer_of(&server);
            fill(&folder.path().join("new"), &origin, K2);
            for name in ["keygate.toml", "server.toml"] {
                fs::rename(folder.path().join("new").join(name), config.join(name)).expect("moved");
            }
            held.write_all(LISTEN.as_bytes()).expect("it is still read");
        });
        gate_at(&config)
    });
    wait_until("the change is taken over", || status(&gate, K2) == 200);
    assert_eq!(status(&gate, K1), 401);
}

#[test]
fn a_reload_that_hangs_holds_up_neither_requests_nor_a_stop() {
    let origin = Origin::echo();
    let gate = start(&origin);
    let config = gate.folder().join("config");
    pipe(&gate.folder().join("pipe"));
    fs::rename(gate.folder().join("pipe"), config.join("keygate.toml")).expect("it is there");
    gate.signal("HUP");
    // Can be opened as soon as keygate reads it, and ends when it is closed.
    let _held = writer_of(&config.join("keygate.toml"));
    assert_eq!((status(&gate, K1), status(&gate, K2)), (200, 401));
    gate.signal("TERM");
    let ended = gate.ends_within(DEADLINE).and_then(|status| status.code());
    assert_eq!(ended, Some(0), "{}", gate.stderr.text());
}

fn reloads(gate: &Gate) -> usize {
    gate.stderr.lines().iter().filter(|line| line.contains("reloaded")).count()
}

/// A log in the folder that each reload writes to would make it reload for ever.
#[test]
fn a_file_that_is_no_part_of_the_configuration_is_no_reason_to_reload() {
    let origin = Origin::echo();
    let folder = |gate: &Gate| gate.folder().join("config");
    let whole = LISTEN.to_owned() + &accepting(&origin, K1);
    let of_a_folder = start(&origin);
    let of_a_file =
        Gate::launch(&[("keygate.toml", &whole)], &["--config", "config/keygate.toml"], &[]);
    for (gate, others) in [
        (of_a_folder, &["keygate.log", ".keygate.toml.swp", ".hidden.toml"][..]),
        (of_a_file, &["keygate.log", "other.toml"]),
    ] {
        for round in 0..5 {
            for other in others {
                let text = format!("round {round}");
                fs::write(folder(&gate).join(other), text).expect("it can be written");
            }
            pause(Duration::from_millis(250));
        }
        assert_eq!(reloads(&gate), 0, "{}", gate.stderr.text());
        gate.write("keygate.toml", &whole.replace(K1, K2).replace(LISTEN, ""));
        if folder(&gate).join("server.toml").exists() {
            wait_until("a part is one", || status(&gate, K2) == 200);
        } else {
            gate.stderr.wait_for("its error", |line| line.contains("was not reloaded"));
        }
    }
}

#[test]
fn where_the_kernel_watches_nothing_a_look_does() {
    for refused in ["inotify_init1:error=EMFILE", "inotify_add_watch:error=ENOSPC"] {
        let calls = "inotify_init1,inotify_add_watch";
        let Some(starter) = failing(calls, &[refused], None) else { return };
        let starter: Vec<_> = starter.iter().map(String::as_str).collect();
        let origin = Origin::echo();
        let files = [("keygate.toml", &*accepting(&origin, K1)), ("server.toml", LISTEN)];
        let gate = Gate::launch_under(&starter, &files, &["--config", "config"], &[]);
        gate.stderr.wait_for("a warning", |line| line.contains("looked at every second"));
        for key in [K2, "a-key-of-the-third-version"] {
            gate.write("keygate.toml", &accepting(&origin, key));
            wait_until("the change is noticed", || status(&gate, key) == 200);
        }
    }
}
