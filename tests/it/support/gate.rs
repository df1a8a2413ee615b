//! The real binary, started with configuration files in a folder of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use super::canary;
use super::client::Received;
use super::reference::KEYS;
use super::run::command_under;
use super::{Canaries, Client, Log, Place, Response, holds_within, pause};

/// How long keygate may take to listen; a start that takes longer is a failure of its own.
const START: Duration = Duration::from_secs(10);

/// Becomes a command that is passed sockets.
pub(crate) const PASSING: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/passing.py");

/// A running keygate that logs all it can. It is killed when it is dropped, and the test fails if a
/// key has come out of it anywhere.
pub(crate) struct Gate {
    child: Mutex<Child>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The access log.
    pub(crate) stdout: Log,
    /// Everything else it says.
    pub(crate) stderr: Log,
    folder: TempDir,
    /// What its clients received.
    received: Received,
    /// The keys that must come out nowhere.
    secrets: Vec<Vec<u8>>,
    /// Where a key comes out nevertheless, as the test says.
    shown: Vec<Place>,
}

impl Gate {
    /// Starts keygate on a folder that holds these files: each with its name and its text. A
    /// `[server]` table that does not say where to listen cannot be used; see [`Gate::on`].
    #[track_caller]
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        Self::launch(files, &["--config", "config"], &[])
    }

    /// Starts keygate on one file whose `[server]` table only says to listen on a free port.
    #[track_caller]
    pub(crate) fn on(config: &str) -> Self {
        Self::with(&[("keygate.toml", config), ("server.toml", LISTEN)])
    }

    /// Starts keygate with these files in the folder `config` and these arguments and variables;
    /// the working directory is the folder above.
    #[track_caller]
    pub(crate) fn launch(files: &[(&str, &str)], arguments: &[&str], env: &[(&str, &str)]) -> Self {
        Self::launch_under(&[], files, arguments, env)
    }

    /// The same, started by another program that becomes keygate in the end, such as `prlimit`.
    #[track_caller]
    pub(crate) fn launch_under(
        starter: &[&str],
        files: &[(&str, &str)],
        arguments: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let command = |folder: &Path| command_under(starter, arguments, folder, env);
        Self::spawn(files, env, command)
    }

    /// Starts keygate on a folder that holds these files, and passes it a socket of this name,
    /// which stays open here (sd_listen_fds(3)).
    #[track_caller]
    pub(crate) fn passed(
        socket: (&str, &TcpListener),
        files: &[(&str, &str)],
        env: &[(&str, &str)],
    ) -> Self {
        let (name, listener) = socket;
        let listener = listener.try_clone().expect("there is a descriptor");
        Self::spawn(files, env, |folder| {
            let starter = [PASSING, &format!("{name}=stdin"), "--"];
            let mut command = command_under(&starter, &["--config", "config"], folder, env);
            command.stdin(OwnedFd::from(listener));
            command
        })
    }

    #[track_caller]
    fn spawn(
        files: &[(&str, &str)],
        env: &[(&str, &str)],
        command: impl FnOnce(&Path) -> Command,
    ) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let config = folder.path().join("config");
        fs::create_dir(&config).expect("the folder is new");
        for (name, text) in files {
            fs::write(config.join(name), text).expect("the folder can be written");
        }
        let (child, stdout, stderr) = spawn(command(folder.path()));
        let child = Mutex::new(child);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut gate = Self {
            child,
            address,
            stdout,
            stderr,
            folder,
            received: Received::default(),
            secrets: KEYS.iter().map(|key| key.as_bytes().to_vec()).collect(),
            shown: Vec::new(),
        };
        if env.iter().any(|(name, _)| *name == "API_KEY") {
            gate.shows(&[Place::Process]);
        }
        gate.address = gate.listening();
        gate.settle();
        gate
    }

    /// Waits for the line that says where it listens; where nothing can be said, asks the kernel.
    #[track_caller]
    fn listening(&self) -> SocketAddr {
        let mut address = None;
        let known = holds_within(START, || {
            address = self.stderr.lines().iter().find_map(|line| address_in(line));
            if address.is_none() && self.stderr.has_ended() {
                address = listens_at(self.pid());
            }
            address.is_some() || self.exit_status().is_some()
        });
        match address {
            Some(address) => address,
            None if known => {
                // What it said last may still be on its way here.
                pause(Duration::from_millis(100));
                panic!("keygate ended before it listened:\n{}", self.stderr.text())
            }
            None => panic!("keygate does not listen in time:\n{}", self.stderr.text()),
        }
    }

    /// A new connection.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        self.connect(self.address)
    }

    /// A new connection to one of its addresses.
    #[track_caller]
    pub(super) fn connect(&self, address: SocketAddr) -> Client {
        Client::connect(address).keep(&self.received)
    }

    /// Has one more key that may come out nowhere.
    pub(crate) fn secret(&mut self, key: impl AsRef<[u8]>) {
        self.secrets.push(key.as_ref().to_vec());
    }

    /// States that a key comes out here, and that it should.
    pub(crate) fn shows(&mut self, places: &[Place]) {
        self.shown.extend(places);
    }

    /// Everything that came out of it: what it wrote, what its clients received, and what the
    /// system shows of the process.
    fn outputs(&self) -> [(Place, Vec<u8>); 4] {
        let answers = self.received.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of_process = |name: &str| {
            let path = format!("/proc/{}/{name}", self.pid());
            fs::read(path).unwrap_or_default()
        };
        [
            (Place::Answers, canary::without_ids(answers)),
            (Place::Logs, canary::without_ids(self.output().into_bytes())),
            (Place::Process, of_process("cmdline")),
            (Place::Process, of_process("environ")),
        ]
    }

    /// Where a key, or a piece of one, has come out.
    pub(crate) fn leak(&self) -> Option<String> {
        let secret = |place: &Place| !self.shown.contains(place);
        let canaries = Canaries::of(&self.secrets);
        self.outputs().into_iter().filter(|(place, _)| secret(place)).find_map(|(place, bytes)| {
            Some(format!("a key came out in {place:?}: {}", canaries.found_in(&bytes)?))
        })
    }

    /// Sends bytes on a new connection and reads one response.
    #[track_caller]
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) -> Response {
        self.client().send(bytes).response()
    }

    /// A file of its configuration folder, written anew in one step.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let config = self.folder.path().join("config");
        let new = self.folder.path().join("new");
        fs::write(&new, text).expect("the folder can be written");
        fs::rename(new, config.join(name)).expect("the folder can be written");
    }

    /// The folder above `config`; it is the working directory.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a signal by its name, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let arguments = ["-c".to_owned(), format!("kill -{name} {}", self.pid())];
        let status = Command::new("sh").args(arguments).status().expect("there is a shell");
        assert!(status.success(), "kill -{name} fails");
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    /// How it ended, if it has.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().ok().flatten()
    }

    /// How it ended, if it does in time.
    pub(crate) fn ends_within(&self, deadline: Duration) -> Option<ExitStatus> {
        let _ = holds_within(deadline, || self.exit_status().is_some());
        self.exit_status()
    }

    /// What it said last.
    pub(crate) fn last_words(&self) -> String {
        const SHOWN: usize = 20;
        const WIDE: usize = 400;
        let last = [("stdout", &self.stdout), ("stderr", &self.stderr)].map(|(name, log)| {
            let lines = log.lines();
            let last = &lines[lines.len().saturating_sub(SHOWN)..];
            let last = last.iter().map(|line| line.chars().take(WIDE).chain(['\n']));
            format!("keygate's {name}:\n{}", last.flatten().collect::<String>())
        });
        last.join("\n")
    }

    /// Whether it has said that a part of it panicked: in its log, or before there is one.
    pub(crate) fn has_panicked(&self) -> bool {
        let output = self.output();
        output.contains("a panic: please report it") || output.contains("panicked at")
    }

    /// Everything it has written anywhere.
    pub(crate) fn output(&self) -> String {
        format!("{}\n{}", self.stdout.text(), self.stderr.text())
    }
}

/// The `[server]` table of [`Gate::on`].
const LISTEN: &str = "[server]\nlisten = \"127.0.0.1:0\"\n";

impl Drop for Gate {
    fn drop(&mut self) {
        let of_process = self.leak();
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
        if std::thread::panicking() {
            show(&self.last_words());
            return;
        }
        assert!(self.stdout.ends() && self.stderr.ends(), "keygate's outputs do not end");
        canary::count(self.outputs().iter().map(|(_, bytes)| bytes.len()).sum());
        let leak = of_process.or_else(|| self.leak());
        assert!(leak.is_none(), "{}", leak.unwrap_or_default());
    }
}

/// Shows what keygate said; the test harness shows it for failing tests only.
#[expect(clippy::print_stderr, reason = "a failing test shows what keygate said")]
fn show(text: &str) {
    eprintln!("{text}");
}

fn spawn(mut command: Command) -> (Child, Log, Log) {
    let mut child = command.spawn().expect("the binary starts");
    let stdout = Log::of(child.stdout.take().expect("its stdout is a pipe"));
    let stderr = Log::of(child.stderr.take().expect("its stderr is a pipe"));
    (child, stdout, stderr)
}

/// Where a process listens on IPv4 loopback, as the kernel knows it (proc_net(5)).
fn listens_at(pid: u32) -> Option<SocketAddr> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let open: Vec<_> = files.filter_map(|file| fs::read_link(file.path()).ok()).collect();
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (state, inode) = (words.get(3)?, words.get(9)?);
        let is_its = *state == "0A" && open.contains(&format!("socket:[{inode}]").into());
        let port = words[1].rsplit(':').next().filter(|_| is_its)?;
        Some(SocketAddr::from(([127, 0, 0, 1], u16::from_str_radix(port, 16).ok()?)))
    })
}

/// The address in a line that says `listening on ADDRESS`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    let end = rest.find(|c: char| !matches!(c, '0'..='9' | '.' | ':')).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':']).parse().ok()
}
