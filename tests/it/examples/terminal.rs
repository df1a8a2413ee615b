//! The terminals of a reader: one to paste commands in, and one for each program that goes on.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::support::{Client, Program, holds_within};

/// How long a block may run; an interpreter's start on a busy machine is part of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A shell in this folder that knows `keygate`, and nothing that could configure it.
fn shell(folder: &Path) -> Command {
    const KEPT: [&str; 4] = ["HOME", "TMPDIR", "PYENV_VERSION", "LLVM_PROFILE_FILE"];
    let keygate = Path::new(env!("CARGO_BIN_EXE_keygate")).parent().expect("it is in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.env_clear().envs(std::env::vars().filter(|(name, _)| KEPT.contains(&name.as_str())));
    // What is in no Debian package, scripts/test-deps.sh has installed there.
    let others = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/.venv/bin");
    shell.env("PATH", format!("{}:{path}:/usr/sbin:{others}", keygate.display()));
    shell.env("LC_ALL", "C.UTF-8").current_dir(folder).stdin(Stdio::null());
    shell
}

/// Starts a command in a terminal of its own; it may still be starting when this returns.
#[track_caller]
pub(crate) fn open(folder: &Path, command: &str) -> Program {
    Program::start(shell(folder).args(["-c", command]))
}

impl Program {
    /// Waits until something serves every place.
    #[track_caller]
    pub(super) fn wait_until_it_serves(&mut self, places: &[String]) {
        let mut ended = None;
        for place in places {
            let served = holds_within(PATIENCE, || {
                ended = self.exit_status();
                ended.is_some() || is_served(place)
            });
            let said = self.wrote();
            assert!(served && ended.is_none(), "nothing on {place} ({ended:?}): {said}");
        }
    }
}

/// Whether something listens on an address, and knows the path behind it if there is one.
fn is_served(place: &str) -> bool {
    let (address, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let Ok(stream) = TcpStream::connect(address) else { return false };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    path.is_empty() || Client::over(stream).send(request).response().status != 404
}

/// A shell that commands are pasted in, one block after another.
pub(crate) struct Terminal {
    shell: Program,
    input: ChildStdin,
    /// How many lines of it belong to earlier blocks.
    seen: usize,
}

impl Terminal {
    /// Opens a shell in this folder.
    pub(crate) fn open(folder: &Path) -> Self {
        let mut shell = Program::start(shell(folder).stdin(Stdio::piped()));
        let input = shell.stdin();
        Self { shell, input, seen: 0 }
    }

    /// Pastes commands, waits until they have run, and returns what they showed.
    #[track_caller]
    pub(crate) fn paste(&mut self, commands: &str) -> String {
        const END: &str = "--- end of the block: ";
        let block = format!("{{\n{commands}\n}} </dev/null 2>&1\nprintf '\\n{END}%s\\n' $?\n");
        self.input.write_all(block.as_bytes()).expect("the shell reads");
        let mut end = None;
        let ended = holds_within(PATIENCE, || {
            let lines = self.shell.stdout.lines();
            let found = lines.iter().skip(self.seen).position(|line| line.starts_with(END));
            end = found.map(|place| self.seen + place);
            end.is_some()
        });
        let lines = self.shell.stdout.lines();
        let end = end.unwrap_or(lines.len());
        let shown = lines[self.seen..end].join("\n");
        let status = lines.get(end).and_then(|line| line.strip_prefix(END));
        assert!(ended && status == Some("0"), "{status:?} of:\n{commands}\n{shown}");
        self.seen = end + 1;
        shown
    }
}
