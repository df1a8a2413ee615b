//! Runs `keygate` to its end, in a folder and an environment of its own.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use super::canary;
use super::reference::KEYS;
use super::{Canaries, DEADLINE, holds_within};

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// The standard output.
    pub(crate) stdout: String,
    /// The standard error.
    pub(crate) stderr: String,
}

/// A command that inherits nothing that could configure keygate, and logs all there is to log;
/// `starter` is another program that becomes keygate in the end, such as `prlimit`.
pub(crate) fn command_under(
    starter: &[&str],
    arguments: &[&str],
    dir: &Path,
    env: &[(&str, &str)],
) -> Command {
    let words = [starter, &[env!("CARGO_BIN_EXE_keygate")], arguments].concat();
    let mut command = Command::new(words[0]);
    let configures = |name: &str| {
        name.starts_with("KEYGATE_")
            || name.starts_with("API_KEY")
            || name.starts_with("OTEL_")
            || matches!(name, "ENVIRONMENT" | "NO_COLOR" | "COLUMNS")
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(configures)) {
        command.env_remove(name);
    }
    command.env("KEYGATE_LOG", "trace").envs(env.iter().copied());
    command.args(&words[1..]).current_dir(dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs keygate to its end.
#[track_caller]
pub(crate) fn run(arguments: &[&str], dir: &Path, env: &[(&str, &str)]) -> Output {
    run_under(&[], arguments, dir, env)
}

/// The same, started by another program that becomes keygate in the end.
#[track_caller]
pub(crate) fn run_under(
    starter: &[&str],
    arguments: &[&str],
    dir: &Path,
    env: &[(&str, &str)],
) -> Output {
    finish(command_under(starter, arguments, dir, env), b"")
}

/// The same, with this on its standard input.
#[track_caller]
pub(crate) fn run_fed(input: &[u8], arguments: &[&str], dir: &Path) -> Output {
    let mut command = command_under(&[], arguments, dir, &[]);
    command.stdin(Stdio::piped());
    finish(command, input)
}

#[track_caller]
fn finish(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.spawn().expect("the binary starts");
    if let Some(mut stdin) = child.stdin.take() {
        // It may end without having read all of it.
        let _ = stdin.write_all(input);
    }
    let stdout = whole(child.stdout.take().expect("its stdout is a pipe"));
    let stderr = whole(child.stderr.take().expect("its stderr is a pipe"));
    let ended = holds_within(DEADLINE, || matches!(child.try_wait(), Ok(Some(_))));
    let _ = child.kill();
    let status = child.wait().expect("a child can be waited for");
    let text = |stream: JoinHandle<String>| stream.join().expect("reading does not panic");
    let output = Output { code: status.code(), stdout: text(stdout), stderr: text(stderr) };
    assert!(ended, "{command:?} does not end: {output:?}");
    canary::count(output.stdout.len() + output.stderr.len());
    let canaries = Canaries::of(&KEYS);
    for text in [&output.stdout, &output.stderr] {
        assert!(canaries.found_in(text.as_bytes()).is_none(), "a key came out: {output:?}");
    }
    output
}

/// Reads a stream to its end while the process runs, so that no pipe fills up.
fn whole(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
