//! The programs in `tests/clients`: each uses one client library as its documentation shows.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Gate, Log, holds_within};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// How long a program may take for anything; to load a library on a busy machine is part of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program; it is killed when it is dropped.
pub(super) struct Program {
    child: Child,
    stdout: Log,
    stderr: Log,
}

impl Program {
    /// Starts a program that is to do this at this gate, with this key. It finds both where the
    /// libraries look for them.
    #[track_caller]
    pub(super) fn start(file: &str, tasks: &[&str], gate: &Gate, key: &str) -> Self {
        let url = format!("http://{}", gate.address);
        let mut command = command(file);
        command.args(tasks);
        command.envs([("OPENAI_BASE_URL", &*format!("{url}/v1")), ("OPENAI_API_KEY", key)]);
        command.envs([("ANTHROPIC_BASE_URL", &*url), ("ANTHROPIC_API_KEY", key)]);
        command.envs([("BASE_URL", &*url), ("API_KEY", key)]);
        Self::of(command)
    }

    /// Starts a program that knows of no gate.
    #[track_caller]
    pub(super) fn alone(file: &str) -> Self {
        Self::of(command(file))
    }

    /// Starts any command.
    #[track_caller]
    pub(super) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.expect("scripts/test-deps.sh has installed the client libraries");
        let stdout = Log::of(child.stdout.take().expect("its stdout is a pipe"));
        let stderr = Log::of(child.stderr.take().expect("its stderr is a pipe"));
        Self { child, stdout, stderr }
    }

    /// Waits until it has printed so many lines, and returns the last of them.
    #[track_caller]
    pub(super) fn line(&self, number: usize) -> String {
        let printed = holds_within(PATIENCE, || {
            self.stdout.lines().len() >= number || self.stdout.has_ended()
        });
        let line = self.stdout.lines().into_iter().nth(number - 1).filter(|_| printed);
        line.unwrap_or_else(|| panic!("no line {number}:\n{}", self.said()))
    }

    /// Waits until it ends well, and returns what it has printed.
    #[track_caller]
    pub(super) fn prints(mut self) -> String {
        let mut status = None;
        let ended = holds_within(PATIENCE, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some() && self.stdout.has_ended() && self.stderr.has_ended()
        });
        let well = ended && status.is_some_and(|status| status.success());
        assert!(well, "{status:?}\n{}", self.said());
        self.stdout.text()
    }

    fn said(&self) -> String {
        [self.stdout.text(), self.stderr.text()].join("\n")
    }
}

/// A command with nothing in its environment that could lead a library elsewhere.
fn command(file: &str) -> Command {
    let python = [FOLDER, "/.venv/bin/python"].concat();
    let mut command = Command::new(if file.ends_with(".py") { &python } else { "node" });
    command.arg(file).current_dir(FOLDER).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
