//! `keygate demo`: every command that it prints works as printed.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support::{DEADLINE, Gate, run};

/// What curl made of one command.
#[derive(Debug)]
pub(crate) struct Curled {
    command: String,
    /// What it printed.
    pub(crate) stdout: String,
    /// The status of the answer.
    pub(crate) status: u16,
    /// Seconds until the first byte of the answer.
    first: f64,
    /// Seconds until the last.
    total: f64,
}

/// Runs a command as a reader would paste it, and asks curl for more than it prints.
#[track_caller]
pub(crate) fn paste(command: &str, home: &Path) -> Curled {
    let asked = format!("{command} -w '\\n%{{http_code}} %{{time_starttransfer}} %{{time_total}}'");
    // No settings of the machine: a proxy, a .curlrc, a language with commas in its numbers.
    let output = Command::new("sh")
        .args(["-c", &asked])
        .env("HOME", home)
        .env("CURL_HOME", home)
        .env("NO_PROXY", "*")
        .env("LC_ALL", "C")
        .output()
        .expect("there is a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {text}{output:?}");
    let (stdout, figures) = text.rsplit_once('\n').expect("curl writes the figures");
    let figures: Vec<&str> = figures.split(' ').collect();
    let seconds = |index: usize| figures[index].parse().expect("curl writes a number");
    Curled {
        command: command.to_owned(),
        stdout: stdout.replace('\r', ""),
        status: figures[0].parse().expect("curl writes the status"),
        first: seconds(1),
        total: seconds(2),
    }
}

fn demo() -> (Gate, String) {
    let gate = Gate::launch(&[], &["demo", "--listen", "127.0.0.1:0"], &[]);
    gate.stdout.wait_for("the end of the tutorial", |line| line.contains("Ctrl-C"));
    let tutorial: Vec<_> = gate.stdout.lines();
    let end = tutorial.iter().position(|line| line.contains("Ctrl-C")).unwrap_or(0);
    (gate, tutorial[..end].join("\n"))
}

fn key_in(tutorial: &str) -> &str {
    let line = tutorial.lines().find_map(|line| line.strip_prefix("The key of this run: "));
    line.expect("the demo names its key")
}

#[test]
fn every_printed_command_does_what_the_line_above_it_says() {
    let (gate, tutorial) = demo();
    let key = key_in(&tutorial);
    let commands = tutorial.lines().filter(|line| line.trim_start().starts_with("curl "));
    let curled: Vec<Curled> = commands.map(|line| paste(line.trim(), gate.folder())).collect();
    let [missing, wrong, header, bearer, events, health] = &curled[..] else {
        panic!("six commands were expected: {curled:#?}");
    };
    for (refused, said) in [(missing, "Key missing"), (wrong, "Key auth fail")] {
        assert_eq!(refused.status, 401, "{refused:?}");
        assert!(refused.stdout.contains(said), "{refused:?}");
        assert!(!refused.stdout.contains("GET /hello"), "{refused:?}");
    }
    assert!(wrong.total >= 0.5, "{wrong:?}");
    for passed in [header, bearer] {
        assert_eq!(passed.status, 200, "{passed:?}");
        assert!(passed.command.contains(key), "{passed:?}");
        // The origin shows what it got: the request, and no credential in it.
        let seen = passed.stdout.to_lowercase();
        assert!(seen.contains("get /hello\n") && seen.contains("x-request-id: "), "{passed:?}");
        assert!(!seen.contains("x-api-key") && !seen.contains("authorization"), "{passed:?}");
        assert!(!passed.stdout.contains(key), "{passed:?}");
    }
    assert_eq!(events.status, 200, "{events:?}");
    assert_eq!(events.stdout.matches("data: ").count(), 5, "{events:?}");
    // Nothing holds the first word back until the last, four pauses of 0.3 s later.
    assert!(events.total - events.first > 0.9, "{events:?}");
    assert_eq!((health.status, health.stdout.ends_with("\nok\n")), (200, true), "{health:?}");
    assert!(!gate.stderr.text().contains(key), "the log holds the key");
}

#[test]
fn each_run_has_a_key_of_its_own() {
    let (_first, tutorial) = demo();
    let (_second, other) = demo();
    assert_ne!(key_in(&tutorial), key_in(&other));
}

#[test]
fn ctrl_c_ends_it_cleanly() {
    let (gate, _) = demo();
    gate.signal("INT");
    let status = gate.ends_within(DEADLINE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn a_port_in_use_is_a_failure_that_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let output = run(&["demo", "--listen", &address], folder.path(), &[]);
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.stderr.contains(&format!("cannot listen on {address}")), "{output:?}");
}
