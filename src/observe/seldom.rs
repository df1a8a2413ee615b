//! Saying a thing once a minute however often it happens.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long the same thing is not said again: an outage should be seen in a log, not fill it.
const QUIET: Duration = Duration::from_secs(60);

/// One thing that is not said too often.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    said: Cell<Option<Instant>>,
    kept_back: Cell<u64>,
}

impl Seldom {
    /// Says it, unless it was said of late; `say` is told how often it was kept back since then.
    pub(crate) fn say(&self, say: impl FnOnce(u64)) {
        let now = Instant::now();
        match self.said.get() {
            Some(said) if now.duration_since(said) < QUIET => {
                self.kept_back.set(self.kept_back.get() + 1);
            }
            _ => {
                self.said.set(Some(now));
                say(self.kept_back.take());
            }
        }
    }

    /// It is over: the next time is news.
    pub(crate) fn is_over(&self) {
        self.said.set(None);
    }
}
