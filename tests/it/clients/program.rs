//! The programs in `tests/clients`: each uses one client library as its documentation shows.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Gate, Program, holds_within};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// How long a program may take for anything; to load a library on a busy machine is part of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program with nothing in its environment that could lead a library elsewhere. What it needs,
/// scripts/test-deps.sh has installed.
pub(super) fn command(file: &str) -> Command {
    let python = [FOLDER, "/.venv/bin/python"].concat();
    let mut command = Command::new(if file.ends_with(".py") { &python } else { "node" });
    command.arg(file).current_dir(FOLDER).stdin(Stdio::null()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Starts a program that is to do this at this gate, with this key. It finds both where the
/// libraries look for them.
#[track_caller]
pub(super) fn start(file: &str, tasks: &[&str], gate: &Gate, key: &str) -> Program {
    let url = format!("http://{}", gate.address);
    let mut command = command(file);
    command.args(tasks);
    command.envs([("OPENAI_BASE_URL", &*format!("{url}/v1")), ("OPENAI_API_KEY", key)]);
    command.envs([("ANTHROPIC_BASE_URL", &*url), ("ANTHROPIC_API_KEY", key)]);
    command.envs([("BASE_URL", &*url), ("API_KEY", key)]);
    Program::start(&mut command)
}

/// What such a program prints until it ends well.
#[track_caller]
pub(super) fn run(file: &str, tasks: &[&str], gate: &Gate, key: &str) -> String {
    start(file, tasks, gate, key).prints()
}

impl Program {
    /// Waits until it has printed so many lines, and returns the last of them.
    #[track_caller]
    pub(super) fn line(&self, number: usize) -> String {
        let _ = holds_within(PATIENCE, || {
            self.stdout.lines().len() >= number || self.stdout.has_ended()
        });
        let line = self.stdout.lines().into_iter().nth(number - 1);
        line.unwrap_or_else(|| panic!("no line {number}:\n{}", self.wrote()))
    }

    /// Waits until it ends well, and returns what it has printed.
    #[track_caller]
    pub(super) fn prints(mut self) -> String {
        let mut status = None;
        let ended = holds_within(PATIENCE, || {
            status = self.exit_status();
            status.is_some() && self.stdout.has_ended() && self.stderr.has_ended()
        });
        let well = ended && status.is_some_and(|status| status.success());
        assert!(well, "{status:?}\n{}", self.wrote());
        self.stdout.text()
    }
}
