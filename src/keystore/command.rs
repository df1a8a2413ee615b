//! A command that prints keys.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command as Process, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use zeroize::Zeroizing;

use crate::systemd::notify;

/// The most that is read of what a command prints.
const OUTPUT_LIMIT: usize = 64 << 20;

/// A command, and how long it may take. What it prints on its standard error goes to keygate's.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    program: String,
    arguments: Vec<String>,
    timeout: Duration,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[command]")
    }
}

impl Command {
    /// A program with its arguments; it is not given to a shell.
    pub fn new(program: String, arguments: Vec<String>, timeout: Duration) -> Self {
        Self { program, arguments, timeout }
    }

    /// The program; an argument may be a secret.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// What it prints. Whatever it started is killed when its time is over, or when it has ended.
    ///
    /// # Errors
    ///
    /// When it cannot be started, takes too long, ends with another status than 0, or prints too
    /// much or what is no UTF-8: a sentence with nothing of what it printed.
    pub fn output(&self) -> Result<Zeroizing<String>, String> {
        if cfg!(fuzzing) {
            return Err("it is not started: chance has written it".to_owned());
        }
        let end = Instant::now() + self.timeout;
        let mut child = Process::new(&self.program)
            .args(&self.arguments)
            // It has nothing to say of keygate.
            .env_remove(notify::SOCKET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("it cannot be started: {error}"))?;
        let printed = self.collect(&mut child, end);
        // Before it is waited for: its number is its own until then.
        kill(&child);
        let status = child.wait().map_err(|error| format!("it cannot be waited for: {error}"));
        let (bytes, status) = (printed?, status?);
        if !status.success() {
            return Err(format!("it ended with {status}"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| "it prints what is no UTF-8")?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Takes what it prints until it ends.
    fn collect(&self, child: &mut Child, end: Instant) -> Result<Zeroizing<Vec<u8>>, String> {
        let Some(mut out) = child.stdout.take() else { return Err("it has no output".to_owned()) };
        let bytes = self.read(&mut out, end)?;
        if let Some(pid) = pid(child) {
            let ended = pidfd_open(pid, PidfdFlags::empty());
            let ended = ended.map_err(|error| format!("it cannot be waited for: {error}"))?;
            self.wait(&ended, end)?;
        }
        Ok(bytes)
    }

    fn read(&self, out: &mut ChildStdout, end: Instant) -> Result<Zeroizing<Vec<u8>>, String> {
        let broken = |error: std::io::Error| format!("what it prints cannot be read: {error}");
        let mut bytes = Zeroizing::new(Vec::new());
        let mut piece = Zeroizing::new([0; 16 * 1024]);
        loop {
            self.wait(&*out, end)?;
            match out.read(&mut *piece) {
                Ok(0) => return Ok(bytes),
                Ok(count) if bytes.len() + count > OUTPUT_LIMIT => {
                    return Err(format!("it prints more than {} MiB", OUTPUT_LIMIT >> 20));
                }
                Ok(count) => append(&mut bytes, &piece[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(error)),
            }
        }
    }

    /// Waits until there is something to read, or the end of it.
    fn wait(&self, source: impl AsFd, end: Instant) -> Result<(), String> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| self.too_long())?;
            match poll(&mut [PollFd::new(&source, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Err(self.too_long()),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(format!("it cannot be waited for: {error}")),
            }
        }
    }

    fn too_long(&self) -> String {
        format!("it takes longer than {}", humantime::format_duration(self.timeout))
    }
}

/// Grows by hand: memory that a vector leaves behind is not wiped.
fn append(bytes: &mut Zeroizing<Vec<u8>>, piece: &[u8]) {
    if bytes.capacity() - bytes.len() < piece.len() {
        let mut larger = Vec::with_capacity(2 * (bytes.len() + piece.len()));
        larger.extend_from_slice(bytes);
        *bytes = Zeroizing::new(larger);
    }
    bytes.extend_from_slice(piece);
}

/// Kills a command with everything that it started.
fn kill(child: &Child) {
    if let Some(group) = pid(child) {
        // Nothing may be left of it.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Duration) -> Command {
        Command::new("sh".to_owned(), vec!["-c".to_owned(), script.to_owned()], timeout)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_command_prints_as_much_as_it_likes_up_to_a_limit() {
        let output = |script: &str| shell(script, LONG).output();
        assert_eq!(output("printf 'a b\\n'").map(|text| text.to_string()), Ok("a b\n".to_owned()));
        assert_eq!(output("head -c 1000000 /dev/zero").map(|text| text.len()), Ok(1_000_000));
        let message = output("head -c 70000000 /dev/zero").expect_err("it is too much");
        assert!(message.contains("64 MiB"), "{message}");
    }

    #[test]
    fn what_fails_is_said_and_nothing_of_what_was_printed() {
        for (script, expected) in [
            ("echo hunter2; exit 3", "exit status: 3"),
            ("echo hunter2; kill -9 $$", "signal: 9"),
            ("printf 'hunter2 \\377'", "no UTF-8"),
        ] {
            let message = shell(script, LONG).output().expect_err(script);
            assert!(message.contains(expected) && !message.contains("hunter2"), "{message}");
        }
        let missing = Command::new("/nowhere/tool".to_owned(), Vec::new(), LONG);
        assert!(missing.output().expect_err("there is none").contains("cannot be started"));
    }

    #[test]
    fn what_takes_too_long_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().expect("there is room");
        let pid = folder.path().join("pid");
        for script in
            ["sleep 1000 & echo $! > PID; wait", "sleep 1000 & echo $! > PID; exec >&-; wait"]
        {
            let script = script.replace("PID", &pid.display().to_string());
            let message =
                shell(&script, Duration::from_millis(500)).output().expect_err("it is slow");
            assert!(message.contains("longer than 500ms"), "{message}");
            let pid = std::fs::read_to_string(&pid).expect("it began");
            let stat = format!("/proc/{}/stat", pid.trim());
            // Whoever adopted it may not have looked after it yet.
            let lives = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
            while lives() {
                std::thread::yield_now();
            }
        }
    }
}
