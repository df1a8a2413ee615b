//! Whom a connection wakes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// A waker that stays the same for the life of a connection, while the connection goes from task to
/// task.
///
/// hyper keeps wakers in its channels. If they were the tasks' own, a request that is put on an
/// idle connection would wake the task that used the connection before, and one that drives the
/// connection itself would wake itself for nothing: two needless rounds through the connection for
/// each request.
#[derive(Debug, Default)]
pub(super) struct LinkWaker {
    task: Mutex<Option<Waker>>,
    muted: AtomicBool,
}

impl LinkWaker {
    /// The task that is woken from now on.
    pub(super) fn follow(&self, task: &Waker) {
        let mut followed = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *followed {
            Some(followed) => followed.clone_from(task),
            None => *followed = Some(task.clone()),
        }
    }

    /// Nobody is woken while `act` runs, because the connection is driven right after it.
    pub(super) fn muted<T>(&self, act: impl FnOnce() -> T) -> T {
        self.muted.store(true, Ordering::Relaxed);
        let result = act();
        self.muted.store(false, Ordering::Relaxed);
        result
    }
}

impl Wake for LinkWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.muted.load(Ordering::Relaxed) {
            return;
        }
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }
}
