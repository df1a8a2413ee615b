//! Any program that runs beside a test, and what it prints.

use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use super::Log;

/// A process and all that it started: the programs that it is made of are often started by a
/// script. They are killed when it is dropped.
pub(crate) struct Program {
    first: Child,
    /// What it prints.
    pub(crate) stdout: Log,
    /// What it says.
    pub(crate) stderr: Log,
}

impl Program {
    /// Starts a command; it may still be starting when this returns.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let started = command.spawn();
        let name = command.get_program().display();
        let mut first = started.unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout = Log::of(first.stdout.take().expect("its stdout is a pipe"));
        let stderr = Log::of(first.stderr.take().expect("its stderr is a pipe"));
        Self { first, stdout, stderr }
    }

    /// Its standard input, if the command had that piped.
    #[track_caller]
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.first.stdin.take().expect("its stdin is a pipe")
    }

    /// How it ended, if it has.
    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.first.try_wait().ok().flatten()
    }

    /// Everything that it wrote so far.
    pub(crate) fn wrote(&self) -> String {
        [self.stdout.text(), self.stderr.text()].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let kill = format!("kill -KILL -{}", self.first.id());
        let _ = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        let _ = self.first.wait();
    }
}
