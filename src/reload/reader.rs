//! The threads that read the configuration: what they read may keep them waiting for ever, and
//! nobody else.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

use crate::stack::wiping;

type Job = Box<dyn FnOnce() + Send>;

/// One thread for files, and one for commands: none that hangs may hold up what a file revokes.
pub(crate) struct Readers {
    pub(super) files: Reader,
    pub(super) commands: Reader,
}

impl Readers {
    /// Starts the threads.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self { files: Reader::start("config")?, commands: Reader::start("commands")? })
    }
}

/// One thread from start to end: where no more can be started, a reload still can. It ends when
/// this is dropped, unless it waits for a file.
pub(super) struct Reader(mpsc::Sender<Job>);

impl Reader {
    /// Starts the thread.
    ///
    /// # Errors
    /// When no thread can be started.
    fn start(name: &str) -> io::Result<Self> {
        let (jobs, incoming) = mpsc::channel::<Job>();
        thread::Builder::new().name(name.into()).spawn(move || {
            for job in incoming {
                job();
            }
        })?;
        Ok(Self(jobs))
    }

    /// What a job returns that reads keys; none if it panics. Nothing of them stays on the stack.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.run(|| wiping(|| catch_unwind(AssertUnwindSafe(job)))).await?.ok()
    }

    /// What a job returns that reads none; none if it panics. Half a megabyte is not wiped each
    /// time that the files are looked at.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let job = move || {
            // What a panic says is logged; the next file may be a better one.
            let result = catch_unwind(AssertUnwindSafe(job));
            // Whoever gave the job may have gone.
            drop(result.map(|result| done.send(result)));
        };
        self.0.send(Box::new(job)).ok()?;
        result.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_panics_is_not_the_last() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let reader = Reader::start("config").unwrap();
        assert_eq!(runtime.block_on(reader.run(|| 1)), Some(1));
        assert_eq!(runtime.block_on(reader.run(|| -> u8 { panic!("on purpose") })), None);
        assert_eq!(runtime.block_on(reader.run(|| 2)), Some(2));
        assert_eq!(runtime.block_on(reader.read(|| -> u8 { panic!("on purpose") })), None);
        assert_eq!(runtime.block_on(reader.read(|| 3)), Some(3));
    }
}
