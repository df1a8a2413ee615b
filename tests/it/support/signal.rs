//! A count that one thread raises and another waits for: how a test leads an origin step by step.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::DEADLINE;

/// Clones share one count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signal(Arc<(Mutex<usize>, Condvar)>);

impl Signal {
    /// A signal that has not been given.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lets one [`wait`](Self::wait) pass.
    pub(crate) fn give(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.1.notify_all();
    }

    /// Waits for one [`give`](Self::give), past or to come, and takes it.
    #[track_caller]
    pub(crate) fn wait(&self) {
        assert!(self.given_within(DEADLINE), "waited {DEADLINE:?} in vain for a signal");
    }

    /// Whether it is given in time; takes it if so.
    #[must_use]
    pub(crate) fn given_within(&self, span: Duration) -> bool {
        let count = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(count, span, |count| *count == 0);
        let mut count = waited.unwrap_or_else(PoisonError::into_inner).0;
        let given = *count > 0;
        *count -= usize::from(given);
        given
    }
}
