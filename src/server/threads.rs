//! The workers' threads, and how they end.

use std::io;
use std::thread;

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};

/// A worker's thread: how it ended, once it has. A thread that panics says nothing.
pub(crate) type Thread = oneshot::Receiver<io::Result<()>>;

/// Starts a thread. Nobody joins it: that would take a second thread for each, or leave the others
/// unobserved meanwhile.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn start(
    name: String,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<Thread> {
    let (ended, thread) = oneshot::channel();
    thread::Builder::new().name(name).spawn(move || {
        // Whoever no longer listens has ended as well.
        let _ = ended.send(run());
    })?;
    Ok(thread)
}

/// All workers' threads, each waited for by itself: one that breaks is noticed while the others go
/// on, because connections would still be given to it.
pub(crate) struct Threads(JoinSet<Result<(), String>>);

impl Threads {
    /// Begins to wait; must be called within a runtime.
    pub(crate) fn watch(threads: Vec<Thread>) -> Self {
        let mut watched = JoinSet::new();
        for thread in threads {
            watched.spawn(wait(thread));
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

async fn wait(thread: Thread) -> Result<(), String> {
    match thread.await {
        Ok(ended) => ended.map_err(|error| format!("a worker failed: {error}")),
        // What it said is logged already.
        Err(_panicked) => Err("a worker panicked".to_owned()),
    }
}

fn flatten(ended: Result<Result<(), String>, JoinError>) -> Result<(), String> {
    ended.unwrap_or_else(|error| Err(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
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
        let first = start("first".into(), move || told.recv().map_err(io::Error::other)).unwrap();
        let second = start("second".into(), || Err(io::Error::other("no clock"))).unwrap();
        let reason = run(async { Threads::watch(vec![first, second]).broken().await });
        assert_eq!(reason, "a worker failed: no clock");
    }

    #[test]
    fn a_worker_that_panics_is_noticed() {
        let thread = start("one".into(), || panic!("on purpose")).unwrap();
        assert_eq!(
            run(async { Threads::watch(vec![thread]).finish().await }),
            Err("a worker panicked".into())
        );
    }

    #[test]
    fn all_that_end_as_told_are_no_failure() {
        let threads = (0..3).map(|_| start("one".into(), || Ok(())).unwrap()).collect();
        assert_eq!(run(async { Threads::watch(threads).finish().await }), Ok(()));
    }
}
