//! Waits for a time, kept by a thread of their own.
//!
//! A runtime that has timers looks at the clock and at them before and behind each of its rests: of
//! a request, that took 1,100 instructions of 23,500. So the workers' runtimes have none.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, Interval, Sleep, Timeout};

/// What ends the waits of tasks on any thread.
#[derive(Clone, Debug)]
pub(crate) struct Timers(Handle);

impl Timers {
    /// Starts the thread that keeps them, for as long as the process lives.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let timers = Self(runtime.handle().clone());
        let keep = move || runtime.block_on(std::future::pending::<()>());
        thread::Builder::new().name("timers".to_owned()).spawn(keep)?;
        Ok(timers)
    }

    /// Those of the runtime that runs this.
    #[cfg(test)]
    pub(crate) fn of_this_runtime() -> Self {
        Self(Handle::current())
    }

    /// Waits for so long.
    pub(crate) fn sleep(&self, time: Duration) -> Sleep {
        self.kept(|| tokio::time::sleep(time))
    }

    /// Waits until then.
    pub(crate) fn sleep_until(&self, end: Instant) -> Sleep {
        self.kept(|| tokio::time::sleep_until(end))
    }

    /// Waits for something, but no longer than `limit`.
    pub(crate) fn timeout<F: Future>(&self, limit: Duration, awaited: F) -> Timeout<F> {
        self.kept(|| tokio::time::timeout(limit, awaited))
    }

    /// Ends a wait again and again, at once for the first time.
    pub(crate) fn interval(&self, period: Duration) -> Interval {
        self.kept(|| tokio::time::interval(period))
    }

    /// A wait is kept by the runtime in which it was made, whoever waits.
    fn kept<T>(&self, make: impl FnOnce() -> T) -> T {
        let _here = self.0.enter();
        make()
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::LocalOptions;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn a_runtime_without_timers_waits_by_them() {
        let timers = Timers::start().expect("there is a thread");
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default());
        let begun = Instant::now();
        runtime.expect("there is a runtime").block_on(async {
            timers.sleep(SHORT).await;
            timers.sleep_until(Instant::now() + SHORT).await;
            assert!(timers.timeout(SHORT, std::future::pending::<()>()).await.is_err());
            assert_eq!(timers.timeout(SHORT, async { 1 }).await.ok(), Some(1));
            let mut interval = timers.interval(SHORT);
            for _ in 0..2 {
                interval.tick().await;
            }
        });
        assert!(begun.elapsed() >= 4 * SHORT);
    }
}
