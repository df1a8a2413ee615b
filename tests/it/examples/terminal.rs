//! The terminals of a reader: one to paste commands in, and one for each program that goes on.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::support::{Log, holds_within};

/// How long a block may run; an interpreter's start on a busy machine is part of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A shell in this folder that knows `keygate`, and nothing that could configure it.
fn shell(folder: &Path) -> Command {
    const KEPT: [&str; 4] = ["HOME", "TMPDIR", "PYENV_VERSION", "LLVM_PROFILE_FILE"];
    let keygate = Path::new(env!("CARGO_BIN_EXE_keygate")).parent().expect("it is in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.env_clear().envs(std::env::vars().filter(|(name, _)| KEPT.contains(&name.as_str())));
    shell.env("PATH", format!("{}:{path}:/usr/sbin", keygate.display()));
    shell.env("LC_ALL", "C.UTF-8").current_dir(folder).process_group(0);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// A process and all that it started; they are killed when it is dropped.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let kill = format!("kill -KILL -{}", self.0.id());
        let _ = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

/// A program that goes on while its terminal is open.
pub(super) struct Server {
    process: Group,
    /// What it prints.
    pub(super) stdout: Log,
    /// What it says.
    pub(super) stderr: Log,
}

impl Server {
    /// Starts the command; it may still be starting when this returns.
    #[track_caller]
    pub(super) fn start(folder: &Path, command: &str) -> Self {
        let mut child = shell(folder).args(["-c", command]).spawn().expect("there is a shell");
        let stdout = Log::of(child.stdout.take().expect("its stdout is a pipe"));
        let stderr = Log::of(child.stderr.take().expect("its stderr is a pipe"));
        Self { process: Group(child), stdout, stderr }
    }

    /// Waits until something listens on every address.
    #[track_caller]
    pub(super) fn wait_until_it_listens_on(&mut self, addresses: &[String]) {
        let mut ended = None;
        for address in addresses {
            let listens = holds_within(PATIENCE, || {
                ended = self.process.0.try_wait().ok().flatten();
                ended.is_some() || TcpStream::connect(address).is_ok()
            });
            let said = [self.stdout.text(), self.stderr.text()].concat();
            assert!(listens && ended.is_none(), "nothing on {address} ({ended:?}): {said}");
        }
    }
}

/// A shell that commands are pasted in, one block after another.
pub(super) struct Terminal {
    _process: Group,
    input: ChildStdin,
    shown: Log,
    /// How many lines of it belong to earlier blocks.
    seen: usize,
}

impl Terminal {
    /// Opens a shell in this folder.
    pub(super) fn open(folder: &Path) -> Self {
        let mut child = shell(folder).stdin(Stdio::piped()).spawn().expect("there is a shell");
        let input = child.stdin.take().expect("its stdin is a pipe");
        let shown = Log::of(child.stdout.take().expect("its stdout is a pipe"));
        Self { _process: Group(child), input, shown, seen: 0 }
    }

    /// Pastes commands, waits until they have run, and returns what they showed.
    #[track_caller]
    pub(super) fn paste(&mut self, commands: &str) -> String {
        const END: &str = "--- end of the block: ";
        let block = format!("{{\n{commands}\n}} </dev/null 2>&1\nprintf '\\n{END}%s\\n' $?\n");
        self.input.write_all(block.as_bytes()).expect("the shell reads");
        let mut end = None;
        let ended = holds_within(PATIENCE, || {
            let lines = self.shown.lines();
            let found = lines.iter().skip(self.seen).position(|line| line.starts_with(END));
            end = found.map(|place| self.seen + place);
            end.is_some()
        });
        let lines = self.shown.lines();
        let end = end.unwrap_or(lines.len());
        let shown = lines[self.seen..end].join("\n");
        let status = lines.get(end).and_then(|line| line.strip_prefix(END));
        assert!(ended && status == Some("0"), "{status:?} of:\n{commands}\n{shown}");
        self.seen = end + 1;
        shown
    }
}
