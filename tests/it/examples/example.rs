//! A copy of one example that listens on ports of its own, and its README step by step.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use regex::{Captures, Regex};
use tempfile::TempDir;

use super::EXAMPLES;
use super::output::is_as_described;
use super::port::Port;
use super::readme::{Block, blocks};
use super::terminal::{Terminal, open};
use crate::support::Program;

/// What a reader who tried the example left behind.
const LEFT_BEHIND: [&str; 7] =
    [".env", "tls", "tmp", "nginx.pid", "__pycache__", "keys.toml.lock", "keys.toml.used"];

/// A copy of the examples, and one of them to run. Whatever it started ends with it.
pub(super) struct Example {
    servers: Vec<Program>,
    terminal: Terminal,
    folder: PathBuf,
    ports: BTreeMap<String, Port>,
    _copy: TempDir,
}

impl Example {
    /// Copies `examples/`; every address `127.0.0.1:PORT` in it gets a free port.
    #[track_caller]
    pub(super) fn of(name: &str) -> Self {
        let copy = tempfile::tempdir().expect("there is room for a temporary folder");
        let mut ports = BTreeMap::new();
        copy_folder(Path::new(EXAMPLES), copy.path(), &mut ports);
        let folder = copy.path().join(name);
        let terminal = Terminal::open(&folder);
        Self { servers: Vec::new(), terminal, folder, ports, _copy: copy }
    }

    /// Where the copy is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts packages of Python beside its programs, where they are found first: what `pip install`
    /// gives a reader, scripts/test-deps.sh has installed for the tests.
    #[track_caller]
    pub(super) fn install(&self, packages: &[&str]) {
        let libraries = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/.venv/lib");
        let mut versions = fs::read_dir(libraries).expect("it is installed").flatten();
        let installed = versions.next().expect("a version of Python").path().join("site-packages");
        for package in packages {
            let place = self.folder.join(package);
            symlink(installed.join(package), place).expect("the folder can be written");
        }
    }

    /// Which address stands in the copy for one in the example.
    #[track_caller]
    pub(super) fn address(&self, written: &str) -> String {
        match self.ports.get(written) {
            Some(port) => port.address.to_string(),
            None => panic!("{written} is not in the example"),
        }
    }

    /// The README's blocks.
    #[track_caller]
    pub(super) fn blocks(&self) -> Vec<Block> {
        let readme = self.folder.join("README.md");
        blocks(&fs::read_to_string(readme).expect("every example has a README"))
    }

    /// Runs every block of the README, and returns what each command showed.
    #[track_caller]
    pub(super) fn follow_readme(&mut self) -> Vec<String> {
        self.follow_where(|_| true)
    }

    /// Runs those blocks of the README whose command is wanted.
    #[track_caller]
    pub(super) fn follow_where(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let blocks = self.blocks().into_iter().filter(|block| wanted(block.command()));
        let mut shown = Vec::new();
        for block in blocks {
            match block {
                Block::Server { command, places } => {
                    let mut server = open(&self.folder, &command);
                    server.wait_until_it_serves(&places);
                    self.servers.push(server);
                }
                Block::Command { command, prints } => {
                    let output = self.paste(&command);
                    if let Some(prints) = prints {
                        let right = is_as_described(&prints, &output);
                        assert!(right, "{command}\nshould print\n{prints}\nbut printed\n{output}");
                    }
                    shown.push(output);
                }
            }
        }
        shown
    }

    /// Pastes commands into the reader's terminal, and returns what they showed.
    #[track_caller]
    pub(super) fn paste(&mut self, commands: &str) -> String {
        self.terminal.paste(commands)
    }

    /// Everything that the programs in the other terminals wrote so far.
    pub(super) fn servers_wrote(&self) -> String {
        let wrote = self.servers.iter().map(Program::wrote);
        wrote.collect::<Vec<_>>().join("\n")
    }
}

#[track_caller]
fn copy_folder(from: &Path, to: &Path, ports: &mut BTreeMap<String, Port>) {
    for entry in fs::read_dir(from).expect("the folder can be read").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if LEFT_BEHIND.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if source.is_dir() {
            fs::create_dir(&target).expect("the copy is new");
            copy_folder(&source, &target, ports);
        } else {
            fs::copy(&source, &target).expect("the file can be copied");
            let text = fs::read_to_string(&target).expect("examples are text");
            fs::write(&target, moved(&text, ports)).expect("the copy can be written");
        }
    }
}

/// The text with every fixed address replaced by one that is this test's own.
#[track_caller]
fn moved(text: &str, ports: &mut BTreeMap<String, Port>) -> String {
    assert!(!text.contains("localhost:"), "write 127.0.0.1, so that a test can move it:\n{text}");
    let address = Regex::new(r"127\.0\.0\.1:\d+").expect("it compiles");
    let replaced = address.replace_all(text, |found: &Captures<'_>| {
        let port = ports.entry(found[0].to_owned()).or_insert_with(Port::claim);
        port.address.to_string()
    });
    // Envoy's way to write one.
    let in_parts = Regex::new(r"127\.0\.0\.1, port_value: (\d+)").expect("it compiles");
    let replaced = in_parts.replace_all(&replaced, |found: &Captures<'_>| {
        let address = format!("127.0.0.1:{}", &found[1]);
        let port = ports.entry(address).or_insert_with(Port::claim);
        format!("127.0.0.1, port_value: {}", port.address.port())
    });
    replaced.into_owned()
}

#[test]
fn every_address_gets_one_free_port() {
    let mut ports = BTreeMap::new();
    let text = moved(
        "to 127.0.0.1:8000, http://127.0.0.1:8080/ and 127.0.0.1, port_value: 8000",
        &mut ports,
    );
    let (origin, gate) = (ports["127.0.0.1:8000"].address, ports["127.0.0.1:8080"].address);
    let port = origin.port();
    assert_eq!(text, format!("to {origin}, http://{gate}/ and 127.0.0.1, port_value: {port}"));
}
