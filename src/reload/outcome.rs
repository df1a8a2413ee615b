//! What came of reloads, for whoever asks.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch::Sender;

use super::Wanted;
use crate::plan::Plan;

/// Where plans go, and what came of making them.
pub(crate) struct Target {
    /// What serves.
    pub(crate) plans: Sender<Arc<Plan>>,
    /// What came of the latest reload.
    pub(crate) outcome: Sender<Outcome>,
}

/// What came of the latest reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// When what serves was loaded: the whole of it, or its keys.
    pub(crate) loaded: SystemTime,
    /// Whether a whole configuration was refused, and none loaded since.
    refused: bool,
    /// Whether keys that were read by themselves were refused, and none read since.
    keys_refused: bool,
    /// Whether a command that prints keys has failed, and not succeeded since.
    keys_stale: bool,
}

impl Outcome {
    /// Of the start, which is over when everything is right.
    pub(crate) fn of_start() -> Self {
        let loaded = SystemTime::now();
        Self { loaded, refused: false, keys_refused: false, keys_stale: false }
    }

    /// Whether everything that is there now serves.
    pub(crate) fn is_success(&self) -> bool {
        !self.refused && !self.keys_refused && !self.keys_stale
    }

    /// A reload has ended well, or not. Keys that are read by themselves say nothing about the
    /// rest.
    pub(super) fn note(&mut self, wanted: Wanted, whole: bool, stale: bool) {
        self.keys_stale = stale;
        match wanted {
            Wanted::All => (self.refused, self.keys_refused) = (!whole, false),
            Wanted::News => self.keys_refused = !whole,
        }
        if self.is_success() {
            self.loaded = SystemTime::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_right_do_not_make_up_for_a_configuration_that_is_wrong() {
        let mut outcome = Outcome::of_start();
        let mut success_after = |wanted, whole| {
            outcome.note(wanted, whole, false);
            outcome.is_success()
        };
        assert!(!success_after(Wanted::News, false));
        assert!(success_after(Wanted::News, true));
        assert!(!success_after(Wanted::All, false));
        assert!(!success_after(Wanted::News, true));
        assert!(success_after(Wanted::All, true));
        assert!(!success_after(Wanted::News, false));
        assert!(success_after(Wanted::All, true));
        outcome.note(Wanted::All, true, true);
        assert!(!outcome.is_success(), "a command goes on failing");
    }
}
