//! Logs that cannot be written, and logs that are moved away (LC-21 to LC-23).

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{KEYLESS, VALID};
use crate::catalogue::Stand;
use crate::support::reference::keyed;
use crate::support::{failing, pause, wait_until};

/// Starts keygate with its standard output appended to a file.
const TO_FILE: &str = "exec \"$@\" >>\"$0\"";

/// The lines of an access log; fails if one of them is not whole.
#[track_caller]
fn lines(file: &Path) -> usize {
    let text = fs::read_to_string(file).expect("the log is text");
    let whole = |line: &&str| line.starts_with("20") && line.matches(" id=").count() == 1;
    let torn: Vec<_> = text.lines().filter(|line| !whole(line)).collect();
    assert!(torn.is_empty() && (text.is_empty() || text.ends_with('\n')), "{torn:?}");
    text.lines().count()
}

pub(super) fn unwritable(stand: &mut Stand) {
    for error in ["ENOSPC", "EIO", "EPIPE", "EINTR"] {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let file = folder.path().join("access.log");
        fs::write(&file, "").expect("the folder can be written");
        let rule = format!("write:error={error}:when=1+2");
        let Some(mut starter) = failing("write", &[&rule], Some(&file)) else { return };
        let name = file.display().to_string();
        starter.extend(["sh", "-c", TO_FILE, &name].map(str::to_owned));
        stand.under(&starter.iter().map(String::as_str).collect::<Vec<_>>());
        stand.allow_any("/api/v1/x", 10);
        for _ in 0..10 {
            assert_eq!(stand.connect().send(keyed(VALID)).response().status, 200, "{error}");
            // Until this line is handed over; the next is another batch.
            pause(Duration::from_millis(120));
        }
        wait_until("some lines are written", || lines(&file) > 0);
        if error == "EINTR" {
            wait_until("no line is lost", || lines(&file) == 10);
        } else {
            let said = |line: &str| line.contains("cannot write the access log");
            stand.gate().stderr.wait_for("the error", said);
        }
        stand.anew();
    }
}

pub(super) fn streams_gone(stand: &mut Stand) {
    let ways = [
        "exec \"$@\" <&- >&- 2>&-",
        "exec \"$@\" >/dev/full 2>&1",
        // A pipe whose reader has gone.
        "rm -f p; mkfifo p; sleep 0.1 <p & exec \"$@\" >p 2>&1",
    ];
    for way in ways {
        stand.under(&["sh", "-c", way, "sh"]);
        stand.allow_any("/api/v1/x", 20);
        let gate = stand.gate();
        for round in 0..20 {
            assert_eq!(gate.send(keyed(VALID)).status, 200, "{way}");
            assert_eq!(gate.send(KEYLESS).status, 401, "{way}");
            if round == 10 {
                // An error is told as well, by another thread.
                fs::write(gate.folder().join("config/more.toml"), "no TOML").expect("written");
                gate.signal("HUP");
                pause(Duration::from_millis(250));
                fs::remove_file(gate.folder().join("config/more.toml")).expect("it is there");
            }
        }
        stand.anew();
    }
}

pub(super) fn rotated(stand: &mut Stand) {
    const COUNT: usize = 200;
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let (file, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let name = file.display().to_string();
    stand.under(&["sh", "-c", TO_FILE, &name]);
    stand.allow_any("/api/v1/x", 2 * COUNT);
    let mut client = stand.connect();
    let mut more = || {
        for _ in 0..COUNT {
            assert_eq!(client.send(keyed(VALID)).response().status, 200);
        }
    };
    more();
    wait_until("all lines are written", || lines(&file) == COUNT);
    // As logrotate's `copytruncate` does it: the file is appended to, so it goes on at its start.
    fs::copy(&file, &moved).expect("the folder can be written");
    fs::write(&file, "").expect("the folder can be written");
    more();
    wait_until("no line is lost", || lines(&file) == COUNT && lines(&moved) == COUNT);
}
