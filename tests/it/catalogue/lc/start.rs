//! How keygate starts where the system gives it little or nothing (LC-13, 14, 19, 20, 27, 29).

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::{KEYLESS, VALID};
use crate::catalogue::Stand;
use crate::support::reference::{keyed, reference};
use crate::support::{Origin, Output, failing, holds_within, pause, run_under, wait_until};

/// Words as they are passed on.
fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Runs keygate to its end on the reference configuration with these addresses.
fn started(starter: &[String], listen: &str) -> (Output, Duration) {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let text = reference(&Origin::echo()) + &format!("[server]\nlisten = {listen}\n");
    fs::write(folder.path().join("keygate.toml"), text).expect("the folder can be written");
    let start = Instant::now();
    let output = run_under(&words(starter), &["--config", "keygate.toml"], folder.path(), &[]);
    (output, start.elapsed())
}

/// It ends soon, with this exit code, and says which address it was.
#[track_caller]
fn refuses(starter: &[String], listen: &str, code: i32, says: &str) {
    let (output, took) = started(starter, listen);
    assert_eq!(output.code, Some(code), "{listen}: {output:?}");
    assert!(output.stderr.contains(says), "{listen}: {output:?}");
    assert!(took < Duration::from_secs(5), "{listen}: {took:?}");
}

pub(super) fn port_taken(_: &mut Stand) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = |listener: &TcpListener| listener.local_addr().expect("it is bound");
    let (taken_at, free_at) = (address(&taken), address(&free));
    drop(free);
    refuses(&[], &format!("\"{taken_at}\""), 3, &taken_at.to_string());
    // None of several is left open.
    refuses(&[], &format!("[\"{free_at}\", \"{taken_at}\"]"), 3, &taken_at.to_string());
    assert!(TcpStream::connect(free_at).is_err(), "it listens in part");
}

pub(super) fn no_address(_: &mut Stand) {
    refuses(&[], "\"127.0.0.1\"", 1, "keygate.toml:");
    refuses(&[], "\"localhost:80\"", 1, "keygate.toml:");
    refuses(&[], "\"127.0.0.1:65536\"", 1, "keygate.toml:");
    // Set aside for documentation (RFC 5737): no machine has it.
    refuses(&[], "\"192.0.2.1:8080\"", 3, "192.0.2.1:8080");
    refuses(&[], "\"unix:/proc/keygate.sock\"", 3, "/proc/keygate.sock");
    let privileged = failing("bind", &["bind:error=EACCES"], None);
    let without_ipv6 = failing("socket", &["socket:error=EAFNOSUPPORT"], None);
    if let (Some(privileged), Some(without_ipv6)) = (privileged, without_ipv6) {
        refuses(&privileged, "\"127.0.0.1:80\"", 3, "127.0.0.1:80");
        refuses(&without_ipv6, "\"[::1]:8080\"", 3, "[::1]:8080");
    }
}

pub(super) fn few_files(stand: &mut Stand) {
    stand.under(&["prlimit", "--nofile=64"]).server("workers = 2\n");
    let gate = stand.gate();
    gate.stderr.wait_for("a warning", |line| line.contains("file-descriptor limit"));
    let mut crowd: Vec<_> = (0..100).map(|_| stand.connect()).collect();
    for client in &mut crowd {
        client.send(KEYLESS);
    }
    // Who was there first and said nothing for a while may have had to make room.
    assert_eq!(crowd[99].response().status, 401);
    drop(crowd);
    wait_until("it serves the next", || {
        let mut client = stand.connect();
        client.send(KEYLESS).hears_within(Duration::from_secs(1)) && client.response().status == 401
    });
}

pub(super) fn accept_fails(stand: &mut Stand) {
    const COUNT: usize = 8;
    for error in ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "ECONNABORTED", "EINTR", "EPERM"] {
        let Some(starter) = failing("accept4", &[&format!("accept4:error={error}:when=1+3")], None)
        else {
            return;
        };
        stand.under(&words(&starter));
        stand.allow_any("/api/v1/x", COUNT);
        for number in 0..COUNT {
            let response = stand.connect().send(keyed(VALID)).response();
            assert_eq!(response.status, 200, "{error}: connection {number}");
        }
        stand.anew();
    }
    let Some(starter) = failing("accept4", &["accept4:error=EMFILE:when=5+"], None) else { return };
    // From some connection on none can be accepted: those that are there are served, at no cost.
    stand.under(&words(&starter)).probe("");
    let mut old = stand.connect();
    assert_eq!(old.send(KEYLESS).response().status, 401);
    let crowd: Vec<_> = (0..40).map(|_| stand.connect()).collect();
    stand.gate().stderr.wait_for("the error", |line| line.contains("cannot accept"));
    let before = stand.gate().processor_time();
    pause(Duration::from_secs(1));
    let used = stand.gate().processor_time() - before;
    assert!(used < 40, "{used} hundredths of a second while it could do nothing");
    assert_eq!(old.send(KEYLESS).response().status, 401);
    drop(crowd);
}

/// The addresses at which a process listens, as the kernel knows them (proc_net(5)); of a unix
/// socket or of IPv6 only that it is one.
fn listeners(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").flatten();
    let open: Vec<_> = entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    let mut found = Vec::new();
    // The column of the state, that of a listener, and the column of the inode.
    for (table, state, listening, inode) in
        [("tcp", 3, "0A", 9), ("tcp6", 3, "0A", 9), ("udp", 0, "", 9), ("unix", 3, "00010000", 6)]
    {
        let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            let socket = words.get(inode).map(|inode| format!("socket:[{inode}]").into());
            let is_its = socket.is_some_and(|socket| open.contains(&socket));
            if is_its && (table == "udp" || words[state] == listening) {
                found.push(format!("{table} {}", words[1]));
            }
        }
    }
    found.dedup();
    found
}

pub(super) fn only_listener(stand: &mut Stand) {
    let gate = stand.gate();
    let SocketAddr::V4(address) = gate.address else { panic!("it listens on IPv4") };
    // The kernel writes the address as it lies in memory, and the port as a number.
    let ip = u32::from_ne_bytes(address.ip().octets());
    assert_eq!(listeners(gate.pid()), [format!("tcp {ip:08X}:{:04X}", address.port())]);
    // Nothing about the process is told on the public listener.
    for path in ["/metrics", "/livez", "/readyz", "/debug/pprof", "/server-status", "/config"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(gate.send(request).status, 404, "{path}");
    }
}

pub(super) fn bare(stand: &mut Stand) {
    let traces = tempfile::tempdir().expect("there is room for a temporary folder");
    let log = traces.path().join("calls");
    let Some(_) = failing("openat", &[], None) else { return };
    // Every call that could change a file, in a process without any variable.
    let calls = "trace=open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,\
                 link,linkat,symlink,symlinkat,truncate,chmod,fchmodat,chown,fchownat";
    let log_name = log.display().to_string();
    let starter =
        ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", &log_name, "-e", calls, "env", "-i"];
    stand.under(&starter);
    stand.allow_any("/api/v1/x", 1);
    let gate = stand.gate();
    assert_eq!(gate.send(keyed(VALID)).status, 200);
    assert_eq!(gate.send(KEYLESS).status, 401);
    gate.signal("HUP");
    gate.stderr.wait_for("the reload", |line| line.contains("reloaded the configuration"));
    let written = || {
        let calls = fs::read_to_string(&log).unwrap_or_default();
        assert!(calls.contains("keygate.toml"), "nothing was traced: {calls}");
        let only_reads = |line: &&str| line.contains("O_RDONLY") && !line.contains("O_CREAT");
        let others = calls.lines().filter(|line| !only_reads(line) && line.contains('('));
        others.filter(|line| !line.contains("resumed")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(holds_within(Duration::from_secs(1), || written().is_empty()), "{:?}", written());
}
