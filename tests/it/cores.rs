//! Work is spread over the workers, also when there are hardly any connections.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::support::reference::reference;
use crate::support::{Gate, Origin};

const REQUEST: &str = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// The processor time of each worker's thread, in nanoseconds.
fn worker_times(gate: &Gate) -> BTreeMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", gate.pid())).expect("the process runs");
    let task = |entry: fs::DirEntry| {
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        let times = fs::read_to_string(entry.path().join("schedstat")).ok()?;
        let spent = times.split_whitespace().next()?.parse().ok()?;
        name.starts_with("worker-").then_some((name, spent))
    };
    tasks.flatten().filter_map(task).collect()
}

/// Both of two workers must have their share of what `load` asks for.
#[track_caller]
pub(crate) fn check(gate: &Gate, load: impl FnOnce()) {
    let before = worker_times(gate);
    load();
    let after = worker_times(gate);
    let spent: Vec<u64> = after.iter().map(|(name, time)| time - before[name]).collect();
    let total: u64 = spent.iter().sum();
    assert_eq!(spent.len(), 2, "{after:?}");
    assert!(spent.iter().all(|&time| time * 5 > total), "{spent:?}");
}

/// A proxy in front keeps few connections. The kernel gives both to one worker's socket half of the
/// time; six times in a row both workers must have their share of the work.
#[test]
fn two_connections_are_two_workers_work() {
    let origin = Origin::echo();
    let listen = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n";
    let gate = Gate::with(&[("keygate.toml", &reference(&origin)), ("server.toml", listen)]);
    for _ in 0..6 {
        check(&gate, || {
            let mut clients = [gate.client(), gate.client()];
            for _ in 0..150 {
                for client in &mut clients {
                    assert_eq!(client.send(REQUEST).response().status, 200);
                }
            }
        });
    }
}

/// A unix socket is accepted from by one worker alone, which must not be the only one that serves.
#[test]
fn connections_over_a_unix_socket_are_work_for_all() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let path = folder.path().join("gate.sock");
    let listen =
        format!("[server]\nlisten = [\"127.0.0.1:0\", \"unix:{}\"]\nworkers = 2\n", path.display());
    let gate = Gate::with(&[("keygate.toml", &reference(&origin)), ("server.toml", &listen)]);
    check(&gate, || {
        let connect = || UnixStream::connect(&path).expect("the socket is listened on");
        let mut clients = [connect(), connect()];
        for _ in 0..150 {
            for client in &mut clients {
                client.write_all(REQUEST.as_bytes()).expect("it can be sent");
                let mut answer = Vec::new();
                while !answer.ends_with(b"/public/x") {
                    let mut bytes = [0; 4096];
                    let count = client.read(&mut bytes).expect("it is answered");
                    assert_ne!(count, 0, "{}", String::from_utf8_lossy(&answer));
                    answer.extend_from_slice(&bytes[..count]);
                }
            }
        }
    });
}

/// The kernel tells a worker once that connections have come, however many.
#[test]
fn connections_that_come_together_are_all_served() {
    let origin = Origin::echo();
    let listen = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
    let gate = Gate::with(&[("keygate.toml", &reference(&origin)), ("server.toml", listen)]);
    gate.signal("STOP");
    let mut clients: Vec<_> = (0..10).map(|_| gate.client()).collect();
    gate.signal("CONT");
    // Nobody who comes later may be needed for them to be seen; the last has waited the shortest.
    for client in clients.iter_mut().rev() {
        assert_eq!(client.send(REQUEST).response().status, 200);
    }
}
