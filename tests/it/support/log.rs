//! What a process writes to one of its streams, collected line by line while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{DEADLINE, holds_within};

/// Clones share the lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Stream>);

#[derive(Debug, Default)]
struct Stream {
    lines: Mutex<Vec<String>>,
    ended: AtomicBool,
}

impl Stream {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Collects what comes until the stream ends.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let Self(read) = log.clone();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                read.lines().push(text);
                line.clear();
            }
            read.ended.store(true, Ordering::Release);
        });
        log
    }

    /// Stops reading the stream for as long as the guard lives; what comes fills its pipe. Until
    /// then nothing else can be asked of the log.
    pub(crate) fn hold(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lines()
    }

    /// Waits until the stream has ended, so that nothing more comes.
    pub(crate) fn ends(&self) -> bool {
        holds_within(DEADLINE, || self.has_ended())
    }

    /// Whether nothing more comes.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lines().clone()
    }

    /// All lines so far, as one text.
    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Waits for a line that the condition accepts, and returns the first such.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut found = None;
        let _ = holds_within(DEADLINE, || {
            found = self.lines().into_iter().find(|line| wanted(line));
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no line with {what} in:\n{}", self.text()))
    }
}
