//! What the system refuses keygate, at its start and while it serves: it ends with a reason or goes
//! on, and never stands half open.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::support::reference::{K1, K2, keyed, one_location, upstream};
use crate::support::{DEADLINE, Gate, Origin, failing, wait_until};

const SERVER: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n";
const REQUEST: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n";

fn config(origin: &Origin) -> String {
    upstream(origin) + &one_location("header = \"X-API-Key\"\n", "")
}

/// Starts it under a starter: why it did not start, or none if it serves as it should, and ends as
/// it is told.
#[track_caller]
fn started(starter: &[&str], origin: &Origin) -> Option<String> {
    let files = [("keygate.toml", &*config(origin)), ("server.toml", SERVER)];
    let launch = || Gate::launch_under(starter, &files, &["--config", "config"], &[]);
    match catch_unwind(AssertUnwindSafe(launch)) {
        Ok(gate) => {
            assert_eq!(gate.send(keyed(REQUEST)).status, 200, "{starter:?}");
            assert_eq!(gate.send(REQUEST.replace("K1", "wrong")).status, 401, "{starter:?}");
            gate.signal("TERM");
            let code = gate.ends_within(DEADLINE).and_then(|status| status.code());
            assert_eq!(code, Some(0), "{starter:?}");
            assert!(!gate.has_panicked(), "{starter:?}: {}", gate.output());
            None
        }
        Err(panic) => Some(panic.downcast_ref::<String>().cloned().unwrap_or_default()),
    }
}

/// It ended with a sentence that says why.
#[track_caller]
fn is_told(starter: &[&str], reason: &str) {
    let told = ["cannot ", "is too low", "error while loading"];
    let is_told = told.iter().any(|told| reason.contains(told));
    assert!(is_told && !reason.contains("panicked"), "{starter:?}: {reason}");
}

#[test]
fn with_any_number_of_descriptors_it_serves_or_says_why_not() {
    let origin = Origin::echo();
    let mut served = 0;
    for files in (4..48).step_by(2) {
        let limit = format!("--nofile={files}");
        let starter = ["prlimit", &limit];
        match started(&starter, &origin) {
            None => served += 1,
            Some(reason) => is_told(&starter, &reason),
        }
    }
    assert!((3..15).contains(&served), "{served} of 22 serve");
}

#[test]
fn with_any_number_of_threads_it_serves_or_says_why_not() {
    let origin = Origin::echo();
    let mut served = 0;
    for first in 1..10 {
        let rule = format!("clone,clone3:error=EAGAIN:when={first}+");
        let Some(starter) = failing("clone,clone3", &[&rule], None) else { return };
        let starter: Vec<_> = starter.iter().map(String::as_str).collect();
        match started(&starter, &origin) {
            None => served += 1,
            Some(reason) => is_told(&starter, &reason),
        }
    }
    assert!((2..8).contains(&served), "{served} of 9 serve");
}

#[test]
fn where_no_thread_can_be_started_any_more_it_still_reloads() {
    let origin = Origin::echo();
    // The seventh and last of a gate with two workers is the eighth of its process.
    let Some(starter) = failing("clone,clone3", &["clone,clone3:error=EAGAIN:when=8+"], None)
    else {
        return;
    };
    let starter: Vec<_> = starter.iter().map(String::as_str).collect();
    let files = [("keygate.toml", &*config(&origin)), ("server.toml", SERVER)];
    let gate = Gate::launch_under(&starter, &files, &["--config", "config"], &[]);
    gate.write("keygate.toml", &config(&origin).replace(K1, K2));
    wait_until("it is reloaded", || gate.send(keyed(&REQUEST.replace("K1", "K2"))).status == 200);
    assert_eq!(gate.send(keyed(REQUEST)).status, 401);
}

#[test]
fn a_reload_that_finds_no_descriptors_changes_nothing() {
    let origin = Origin::echo();
    let files = [("keygate.toml", &*config(&origin)), ("server.toml", SERVER)];
    let gate = Gate::with(&files);
    let mut kept = gate.client();
    assert_eq!(kept.send(keyed(REQUEST)).response().status, 200);
    // A new file would get a number that is not below this.
    gate.limit_files(3);
    gate.write("keygate.toml", &config(&origin).replace(K1, K2));
    gate.signal("HUP");
    gate.stderr.wait_for("the error", |line| line.contains("was not reloaded"));
    assert_eq!(kept.send(keyed(REQUEST)).response().status, 200);
    gate.limit_files(1000);
    gate.signal("HUP");
    wait_until("it is reloaded", || {
        kept.send(keyed(&REQUEST.replace("K1", "K2"))).response().status == 200
    });
}

/// Every second call fails: what cannot be done is answered, and the next request is served.
#[test]
fn an_upstream_that_cannot_be_connected_to_is_502_and_then_served() {
    let faults = [
        ("socket", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EACCES"].as_slice()),
        ("connect", &["ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "EAGAIN"]),
    ];
    for (call, errors) in faults {
        for error in errors {
            let rule = format!("{call}:error={error}:when=3+2");
            let Some(starter) = failing(call, &[&rule], None) else { return };
            let starter: Vec<_> = starter.iter().map(String::as_str).collect();
            let origin = Origin::scripted(|exchange| {
                exchange.reply(200, b"served");
                exchange.close();
            });
            let files = [("keygate.toml", &*config(&origin)), ("server.toml", SERVER)];
            let gate = Gate::launch_under(&starter, &files, &["--config", "config"], &[]);
            let mut client = gate.client();
            let statuses: Vec<_> =
                (0..20).map(|_| client.send(keyed(REQUEST)).response().status).collect();
            let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
            assert_eq!(count(200) + count(502), 20, "{call} {error}: {statuses:?}");
            assert!(count(200) >= 8 && count(502) >= 4, "{call} {error}: {statuses:?}");
            assert_eq!(origin.count(), count(200), "{call} {error}");
            assert!(!gate.has_panicked(), "{call} {error}");
        }
    }
}
