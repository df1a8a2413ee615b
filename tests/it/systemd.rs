//! Sockets that are passed at start, and what keygate tells whoever passes them: the protocols of
//! systemd, with a test in its place.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::cores;
use crate::reload::Load;
use crate::support::reference::{K1, one_location, reference, upstream};
use crate::support::{Client, DEADLINE, Gate, Origin, PASSING, run_under};

const REQUEST: &str = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";

const LISTEN: &str = "[server]\nlisten = \"systemd\"\nworkers = 2\n";

/// What systemd calls a socket that nobody has named.
const UNNAMED: &str = "keygate.socket";

/// A socket of the test's own.
fn socket() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port is free")
}

#[test]
fn it_answers_what_waits_at_the_socket_that_it_is_passed() {
    let origin = Origin::echo();
    let socket = socket();
    let address = socket.local_addr().expect("it is bound");
    // The kernel makes the connection; nobody is there yet.
    let mut early = Client::connect(address);
    early.send(REQUEST);
    let files = [("keygate.toml", &*reference(&origin)), ("server.toml", LISTEN)];
    let gate = Gate::passed((UNNAMED, &socket), &files, &[]);
    assert_eq!(gate.address, address);
    assert_eq!(early.response().text(), "/public/x");
    assert_eq!(gate.send(REQUEST.replace("/public/", "/admin/")).status, 401);
}

#[test]
fn sockets_are_known_by_their_names() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let path = folder.path().join("local.sock");
    let listen = "[server]\nlisten = [\"systemd:web\", \"systemd:local\"]\n";
    let starter = [PASSING, "local=PATH", "web=127.0.0.1:0", "--"]
        .map(|word| word.replace("PATH", &path.display().to_string()));
    let starter = starter.each_ref().map(String::as_str);
    let files = [("keygate.toml", &*reference(&origin)), ("server.toml", listen)];
    let gate = Gate::launch_under(&starter, &files, &["--config", "config"], &[]);
    assert_eq!(gate.send(REQUEST).text(), "/public/x");
    let mut local = UnixStream::connect(&path).expect("the socket is listened on");
    let request = REQUEST.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    local.write_all(request.as_bytes()).expect("the request can be sent");
    let mut answer = String::new();
    local.read_to_string(&mut answer).expect("the answer ends");
    assert!(answer.ends_with("/public/x"), "{answer}");
}

/// Keygate must not start, with code 3, on these sockets and this `listen`, and say this.
#[track_caller]
fn refused(sockets: &[&str], listen: &str, expected: &str) {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let config = format!(
        "[server]\nlisten = \"{listen}\"\n[upstreams.a]\naddrs = [\"127.0.0.1:1\"]\n\
         [locations.a]\npath = \"/\"\nupstream = \"a\"\npublic = true\n"
    );
    fs::write(folder.path().join("keygate.toml"), config).expect("the folder can be written");
    let starter = [&[PASSING], sockets, &["--"]].concat();
    let output = run_under(&starter, &["--config", "keygate.toml"], folder.path(), &[]);
    assert_eq!(output.code, Some(3), "{sockets:?} {listen}: {output:?}");
    assert!(output.stderr.contains(expected), "{sockets:?} {listen}: {}", output.stderr);
}

#[test]
fn a_socket_too_few_or_too_many_is_refused() {
    let free = "127.0.0.1:0";
    refused(&[], "systemd", "cannot listen on systemd: no socket was passed to keygate");
    refused(&[], "systemd:web", "cannot listen on systemd:web: no socket was passed to keygate");
    refused(&["web=127.0.0.1:0"], "systemd", "only `web` was passed to keygate");
    refused(&["a.socket=127.0.0.1:0"], "systemd:web", "FileDescriptorName=web");
    refused(&["web=127.0.0.1:0"], free, "`web` was passed to keygate, but no `listen` takes it");
    let two = ["web=127.0.0.1:0", "more=127.0.0.1:0"];
    refused(&two, "systemd:web", "`more` was passed to keygate, but no `listen` takes it");
}

#[test]
fn what_cannot_be_accepted_from_is_refused() {
    refused(&["web=udp"], "systemd:web", "cannot listen on the socket `web`");
    refused(&["web=connection"], "systemd:web", "it is a connection, not a socket to accept from");
}

/// The variables are inherited, the sockets are not: only the process that `LISTEN_PID` names has
/// them.
#[test]
fn sockets_of_another_process_are_left_alone() {
    for whose in ["LISTEN_PID=1", "LISTEN_PID="] {
        let sockets = [whose, "web=127.0.0.1:0"];
        refused(&sockets, "systemd:web", "no socket was passed to keygate");
    }
}

#[test]
fn connections_to_a_socket_that_was_passed_are_work_for_all() {
    let origin = Origin::echo();
    let socket = socket();
    let files = [("keygate.toml", &*reference(&origin)), ("server.toml", LISTEN)];
    let gate = Gate::passed((UNNAMED, &socket), &files, &[]);
    for _ in 0..3 {
        cores::check(&gate, || {
            let mut clients = [gate.client(), gate.client()];
            for _ in 0..150 {
                for client in &mut clients {
                    assert_eq!(client.send(REQUEST).response().status, 200);
                }
            }
        });
    }
}

#[test]
fn a_command_for_keys_gets_no_socket_and_nobody_to_tell() {
    let origin = Origin::echo();
    let socket = socket();
    let service = Service::new();
    let script = "ls -l /proc/$$/fd > seen; env >> seen; echo KEY";
    let plugin = format!(
        "[plugins.key-auth]\nheader = \"X-API-Key\"\nkeys_command = [\"sh\", \"-c\", '{}']\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\nplugins = [\"key-auth\"]\n",
        script.replace("KEY", K1)
    );
    let files = [("keygate.toml", &*(upstream(&origin) + &plugin)), ("server.toml", LISTEN)];
    let gate = Gate::passed((UNNAMED, &socket), &files, &service.variables());
    let seen = fs::read_to_string(gate.folder().join("seen")).expect("the command has run");
    assert!(seen.contains("/dev/null") && seen.contains("PATH="), "{seen}");
    for leaked in ["socket:[", "LISTEN_FDS", "NOTIFY_SOCKET"] {
        assert!(!seen.contains(leaked), "{leaked}: {seen}");
    }
}

/// One ends before the next is there; who connects meanwhile waits at the socket.
#[test]
fn restarts_behind_a_socket_lose_no_request() {
    let origin = Origin::echo();
    let socket = socket();
    let config = upstream(&origin) + &one_location("header = \"X-API-Key\"\n", "");
    let start = || {
        Gate::passed((UNNAMED, &socket), &[("keygate.toml", &config), ("server.toml", LISTEN)], &[])
    };
    let mut serving = start();
    let request = format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {K1}\r\n\r\n");
    let load = Load::on(serving.address, &request);
    for _ in 0..5 {
        load.more(60);
        serving.signal("TERM");
        let ended = serving.ends_within(DEADLINE);
        assert_eq!(ended.and_then(|status| status.code()), Some(0));
        serving = start();
    }
    load.more(30);
    let failures = load.failures();
    assert!(failures.is_empty(), "{failures:?}");
}

/// A service manager that is told how keygate is.
struct Service {
    socket: UnixDatagram,
    path: PathBuf,
    _folder: TempDir,
}

impl Service {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("the folder can be written");
        socket.set_read_timeout(Some(DEADLINE)).expect("it can be set");
        Self { socket, path, _folder: folder }
    }

    fn variables(&self) -> [(&str, &str); 1] {
        [("NOTIFY_SOCKET", self.path.to_str().expect("the path is UTF-8"))]
    }

    /// The next message.
    #[track_caller]
    fn told(&self) -> String {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).expect("something is told in time");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    /// The next two messages must be those of a reload that begins now and ends so.
    #[track_caller]
    fn is_told_of_a_reload(&self, status: &str) {
        let before = monotonic_usec();
        let began = self.told();
        let time = began.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let time: u128 = time.and_then(|time| time.trim().parse().ok()).unwrap_or_default();
        assert!(time > 0 && time <= monotonic_usec().max(before), "{began}");
        let ended = self.told();
        assert!(ended.starts_with("READY=1\nSTATUS=") && ended.contains(status), "{ended}");
    }
}

/// The clock that counts from the start of the machine (proc_uptime(5) has it but for the time in
/// which the machine slept).
fn monotonic_usec() -> u128 {
    let uptime = fs::read_to_string("/proc/uptime").expect("there is /proc");
    let seconds: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    (seconds * 1e6) as u128 + 20_000
}

#[test]
fn whoever_starts_it_is_told_how_it_is() {
    let origin = Origin::echo();
    let service = Service::new();
    let files = [
        ("keygate.toml", &*reference(&origin)),
        ("server.toml", "[server]\nlisten = \"127.0.0.1:0\"\n"),
    ];
    let gate = Gate::launch(&files, &["--config", "config"], &service.variables());
    assert_eq!(service.told(), "READY=1\nSTATUS=serving\n");
    gate.signal("HUP");
    service.is_told_of_a_reload("the configuration was reloaded");
    gate.write("keygate.toml", "[locations.a]\npath = 1\n");
    service.is_told_of_a_reload("the new one is wrong");
    gate.signal("HUP");
    service.is_told_of_a_reload("the new one is wrong");
    gate.write("keygate.toml", &reference(&origin));
    service.is_told_of_a_reload("the configuration was reloaded");
    gate.signal("TERM");
    assert_eq!(service.told(), "STOPPING=1\nSTATUS=answering what is in flight\n");
}

/// A service that nobody listens for serves all the same.
#[test]
fn a_manager_that_is_gone_does_no_harm() {
    let origin = Origin::echo();
    let path = Service::new().path;
    let variables = [("NOTIFY_SOCKET", path.to_str().expect("the path is UTF-8"))];
    let files = [
        ("keygate.toml", &*reference(&origin)),
        ("server.toml", "[server]\nlisten = \"127.0.0.1:0\"\n"),
    ];
    let gate = Gate::launch(&files, &["--config", "config"], &variables);
    assert_eq!(gate.send(REQUEST).status, 200);
}
