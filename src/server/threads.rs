//! The workers' threads, and how they end.

use std::io;
use std::thread::JoinHandle;

use tokio::task::{JoinError, JoinSet};

/// A worker's thread.
pub(crate) type Thread = JoinHandle<io::Result<()>>;

/// All workers' threads, each waited for by itself: one that breaks is noticed while the others go
/// on, because connections would still be given to it.
pub(crate) struct Threads(JoinSet<Result<(), String>>);

impl Threads {
    /// Begins to wait; must be called within a runtime.
    pub(crate) fn watch(threads: Vec<Thread>) -> Self {
        let mut watched = JoinSet::new();
        for thread in threads {
            watched.spawn_blocking(move || join(thread));
        }
        Self(watched)
    }

    /// Waits for the first that ends, which none should before it is told to, and says why it did.
    pub(crate) async fn broken(&mut self) -> String {
        match self.0.join_next().await.map(flatten) {
            Some(Err(reason)) => reason,
            Some(Ok(())) | None => "a worker ended".to_owned(),
        }
    }

    /// Waits for all of them.
    ///
    /// # Errors
    /// Why one of them ended otherwise than it was told to.
    pub(crate) async fn finish(&mut self) -> Result<(), String> {
        while let Some(ended) = self.0.join_next().await {
            flatten(ended)?;
        }
        Ok(())
    }
}

fn join(thread: Thread) -> Result<(), String> {
    match thread.join() {
        Ok(ended) => ended.map_err(|error| format!("a worker failed: {error}")),
        // What it said is on the standard error already.
        Err(_panic) => Err("a worker panicked".to_owned()),
    }
}

fn flatten(ended: Result<Result<(), String>, JoinError>) -> Result<(), String> {
    ended.unwrap_or_else(|error| Err(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn run<T>(waiting: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it is noticed")
        });
        runtime.shutdown_background();
        result
    }

    #[test]
    fn a_worker_that_breaks_is_noticed_while_the_others_go_on() {
        let (_goes_on, told) = mpsc::channel::<()>();
        let first = thread::spawn(move || told.recv().map_err(io::Error::other));
        let second = thread::spawn(|| Err(io::Error::other("no clock")));
        let reason = run(async { Threads::watch(vec![first, second]).broken().await });
        assert_eq!(reason, "a worker failed: no clock");
    }

    #[test]
    fn all_that_end_as_told_are_no_failure() {
        let threads = (0..3).map(|_| thread::spawn(|| Ok(()))).collect();
        assert_eq!(run(async { Threads::watch(threads).finish().await }), Ok(()));
    }
}
