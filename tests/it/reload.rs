//! A new configuration is swapped in whole, or not at all, while requests go on. The rows LC-06 to
//! LC-12 of the catalogue have the rest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::reference::{K1, K2, one_location, upstream};
use crate::support::{Client, Gate, Origin, Signal, pause, wait_until};

/// With one worker: each takes a configuration over when it comes to it, and a test that has seen
/// the new one must not meet the old one at another.
pub(crate) const LISTEN: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";

/// The configuration that accepts this key.
pub(crate) fn accepting(origin: &Origin, key: &str) -> String {
    upstream(origin) + &one_location("header = \"X-API-Key\"\n", "").replace(K1, key)
}

fn request(key: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n")
}

pub(crate) fn status(gate: &Gate, key: &str) -> u16 {
    gate.send(request(key)).status
}

pub(crate) fn start(origin: &Origin) -> Gate {
    Gate::with(&[("keygate.toml", &accepting(origin, K1)), ("server.toml", LISTEN)])
}

#[test]
fn a_hangup_takes_over_the_new_configuration() {
    let origin = Origin::echo();
    let gate = start(&origin);
    assert_eq!((status(&gate, K1), status(&gate, K2)), (200, 401));
    gate.write("keygate.toml", &accepting(&origin, K2));
    gate.signal("HUP");
    wait_until("the new key is accepted", || status(&gate, K2) == 200);
    assert_eq!(status(&gate, K1), 401);
}

#[test]
fn a_changed_file_is_noticed() {
    let origin = Origin::echo();
    let gate = start(&origin);
    assert_eq!(status(&gate, K2), 401);
    gate.write("keygate.toml", &accepting(&origin, K2));
    wait_until("the new key is accepted", || status(&gate, K2) == 200);
    assert_eq!(status(&gate, K1), 401);
}

#[test]
fn a_new_file_in_the_folder_is_noticed() {
    let origin = Origin::echo();
    let gate = start(&origin);
    let more = "[locations.more]\npath = \"/more/\"\nupstream = \"rec\"\npublic = true\n";
    assert_eq!(gate.send("GET /more/x HTTP/1.1\r\nHost: a.test\r\n\r\n").status, 401);
    gate.write("more.toml", more);
    wait_until("the location is open", || {
        gate.send("GET /more/x HTTP/1.1\r\nHost: a.test\r\n\r\n").status == 200
    });
}

#[test]
fn a_connection_that_is_open_sees_the_new_keys() {
    let origin = Origin::echo();
    let gate = start(&origin);
    let mut client = gate.client();
    assert_eq!(client.send(request(K1)).response().status, 200);
    gate.write("keygate.toml", &accepting(&origin, K2));
    gate.signal("HUP");
    wait_until("the new key is accepted", || client.send(request(K2)).response().status == 200);
    assert_eq!(client.send(request(K1)).response().status, 401);
}

#[test]
fn a_request_in_flight_ends_as_it_began() {
    let go = Signal::new();
    let led = go.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
        if exchange.request.second_word() == "/slow" {
            led.wait();
        }
        exchange.write("lf");
    });
    let gate = start(&origin);
    let mut client = gate.client();
    let slow = request(K1).replace("/x", "/slow");
    assert_eq!(client.send(slow).response_head().status, 200);
    gate.write("keygate.toml", &accepting(&origin, K2));
    gate.signal("HUP");
    wait_until("the old key is refused", || status(&gate, K1) == 401);
    go.give();
    assert_eq!(client.bytes(4), b"half");
}

/// Configurations that must not be taken over.
fn wrong(origin: &Origin) -> [String; 6] {
    let good = accepting(origin, K2);
    [
        "this is no TOML".to_owned(),
        good.replace("plugins = [\"key-auth\"]", "plugins = [\"keyauht\"]"),
        good.replace("plugins = [\"key-auth\"]\n", ""),
        good.replace(&format!("keys = [\"{K2}\"]"), "keys = []"),
        good.replace("hide_credentials", "hide_credential"),
        String::new(),
    ]
}

#[test]
fn a_wrong_configuration_changes_nothing() {
    let origin = Origin::echo();
    let gate = start(&origin);
    for (number, config) in wrong(&origin).iter().enumerate() {
        let said = gate.stderr.lines().len();
        gate.write("keygate.toml", config);
        gate.signal("HUP");
        wait_until("the errors are logged", || gate.stderr.lines().len() > said);
        assert_eq!((status(&gate, K1), status(&gate, K2)), (200, 401), "configuration {number}");
        let nobody = gate.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(nobody.status, 401, "configuration {number}");
    }
    gate.write("keygate.toml", &accepting(&origin, K2));
    gate.signal("HUP");
    wait_until("the good one is taken over", || status(&gate, K2) == 200);
    assert!(!gate.output().contains(K1) && !gate.output().contains(K2), "{}", gate.output());
}

#[test]
fn a_folder_that_is_gone_changes_nothing() {
    let origin = Origin::echo();
    let gate = start(&origin);
    let said = gate.stderr.lines().len();
    fs::remove_dir_all(gate.folder().join("config")).expect("the folder is there");
    gate.signal("HUP");
    wait_until("the error is logged", || gate.stderr.lines().len() > said);
    assert_eq!((status(&gate, K1), status(&gate, K2)), (200, 401));
}

/// A folder as Kubernetes mounts one: every file is a link through `..data` to a folder of its own.
fn mount(config: &Path, version: &str, text: &str) {
    let folder = config.join(version);
    fs::create_dir(&folder).expect("the version is new");
    fs::write(folder.join("keygate.toml"), text).expect("the folder can be written");
    fs::write(folder.join("server.toml"), LISTEN).expect("the folder can be written");
    symlink(version, config.join("..data_tmp")).expect("links can be made");
    fs::rename(config.join("..data_tmp"), config.join("..data")).expect("links can be renamed");
}

#[test]
fn a_kubernetes_swap_is_noticed() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let config = folder.path();
    mount(config, "..2026_1", &accepting(&origin, K1));
    for name in ["keygate.toml", "server.toml"] {
        symlink(Path::new("..data").join(name), config.join(name)).expect("links can be made");
    }
    let path = config.to_str().expect("the path is text");
    let gate = Gate::launch(&[], &["--config", path], &[]);
    assert_eq!((status(&gate, K1), status(&gate, K2)), (200, 401));
    mount(config, "..2026_2", &accepting(&origin, K2));
    fs::remove_dir_all(config.join("..2026_1")).expect("the old version is there");
    wait_until("the new key is accepted", || status(&gate, K2) == 200);
    assert_eq!(status(&gate, K1), 401);
}

/// Threads that send requests with a valid key until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    /// Half of the threads keep their connection, half make a new one for each request.
    pub(crate) fn on(address: std::net::SocketAddr, request: &str) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let threads = (0..4)
            .map(|number| {
                let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
                let request = request.to_owned();
                let keeps = number % 2 == 0;
                thread::spawn(move || drive(address, &request, keeps, &stop, &sent))
            })
            .collect();
        Self { stop, sent, threads }
    }

    /// Waits until so many more requests were answered.
    #[track_caller]
    pub(crate) fn more(&self, count: usize) {
        let goal = self.sent.load(Ordering::SeqCst) + count;
        wait_until("the load goes on", || self.sent.load(Ordering::SeqCst) >= goal);
    }

    /// Stops; every failure there was.
    pub(crate) fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    }
}

fn drive(
    address: std::net::SocketAddr,
    request: &str,
    keeps: bool,
    stop: &AtomicBool,
    sent: &AtomicUsize,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut kept: Option<Client> = None;
    while !stop.load(Ordering::SeqCst) {
        let mut client = match kept.take() {
            Some(client) => client,
            None => match std::net::TcpStream::connect(address) {
                Ok(stream) => Client::over(stream),
                Err(error) => {
                    failures.push(format!("connect: {error}"));
                    pause(std::time::Duration::from_millis(5));
                    continue;
                }
            },
        };
        match client.send(request).answer() {
            Some(response) if response.status == 200 => {
                let closes = response.value("connection").eq_ignore_ascii_case("close");
                kept = (keeps && !closes).then_some(client);
            }
            Some(response) => failures.push(response.status.to_string()),
            None => failures.push("no answer".to_owned()),
        }
        sent.fetch_add(1, Ordering::SeqCst);
    }
    failures
}

#[test]
fn twenty_reloads_under_load_fail_no_request() {
    let origin = Origin::echo();
    let server = LISTEN.replace("workers = 1", "workers = 2");
    let gate = Gate::with(&[("keygate.toml", &accepting(&origin, K1)), ("server.toml", &server)]);
    let both = |second: &str| {
        accepting(&origin, K1)
            .replace(&format!("\"{K1}\""), &format!("\"{K1}\", \"a-key-number-{second}\""))
    };
    let load = Load::on(gate.address, &request(K1));
    for number in 0..20 {
        let key = format!("a-key-number-{number}");
        gate.write("keygate.toml", &both(&number.to_string()));
        gate.signal("HUP");
        wait_until("the new key is accepted", || status(&gate, &key) == 200);
        load.more(10);
    }
    let failures = load.failures();
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn connections_to_an_upstream_that_stays_the_same_outlive_it() {
    let origin = Origin::echo();
    let gate = start(&origin);
    assert_eq!(status(&gate, K1), 200);
    gate.write("keygate.toml", &accepting(&origin, K2));
    gate.signal("HUP");
    wait_until("the new key is accepted", || status(&gate, K2) == 200);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_client_that_failed_too_often_gains_nothing_by_it() {
    let origin = Origin::echo();
    let strict = |key: &str| {
        accepting(&origin, key).replace("hide_cred", "max_failures = \"2/10m\"\nhide_cred")
    };
    let gate = Gate::with(&[("keygate.toml", &strict(K1)), ("server.toml", LISTEN)]);
    assert_eq!([status(&gate, "a"), status(&gate, "b"), status(&gate, "c")], [401, 401, 429]);
    gate.write("keygate.toml", &strict(K2));
    gate.signal("HUP");
    wait_until("the new key is accepted", || status(&gate, K2) == 200);
    assert_eq!(status(&gate, "d"), 429);
}

#[test]
fn an_address_that_changes_is_not_taken_over_and_said_so() {
    let origin = Origin::echo();
    let gate = start(&origin);
    let said = gate.stderr.lines().len();
    gate.write("server.toml", "[server]\nlisten = \"127.0.0.1:1\"\n");
    gate.signal("HUP");
    wait_until("it is said", || gate.stderr.lines().len() > said);
    assert_eq!(status(&gate, K1), 200);
}

#[test]
fn what_only_a_restart_can_change_is_not_said_to_be_reloaded() {
    let rows = [
        ("max_connections", LISTEN.to_owned() + "max_connections = 100\n"),
        ("format", LISTEN.to_owned() + "[log]\nformat = \"json\"\n"),
        ("workers", LISTEN.replace("workers = 1", "workers = 3")),
    ];
    for (setting, server) in rows {
        let origin = Origin::echo();
        let gate = start(&origin);
        gate.write("server.toml", &server);
        gate.signal("HUP");
        gate.stderr.wait_for(setting, |line| line.contains(&format!("{setting} cannot change")));
        assert!(!gate.stderr.text().contains("reloaded the"), "{}", gate.stderr.text());
        assert_eq!(status(&gate, K1), 200);
    }
}

#[test]
fn a_configuration_of_one_file_is_watched_too() {
    let origin = Origin::echo();
    let config = |key: &str| LISTEN.to_owned() + &accepting(&origin, key);
    let files = [("keygate.toml", config(K1)), ("other.toml", "no TOML".to_owned())];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let gate = Gate::launch(&files, &["--config", "config/keygate.toml"], &[]);
    assert_eq!((status(&gate, K1), status(&gate, K2)), (200, 401));
    gate.write("keygate.toml", &config(K2));
    wait_until("the new key is accepted", || status(&gate, K2) == 200);
    assert_eq!(status(&gate, K1), 401);
}

#[test]
fn a_limit_of_files_that_changes_keeps_nothing_from_being_reloaded() {
    let origin = Origin::echo();
    let gate = start(&origin);
    gate.limit_files(500);
    gate.write("keygate.toml", &accepting(&origin, K2));
    wait_until("the new key is accepted", || status(&gate, K2) == 200);
}
