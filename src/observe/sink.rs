//! A thread that writes where writing may take long: nobody waits for it, and what it cannot take
//! is given back.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

/// How long the end waits for a sink that takes nothing: a stop must not hang on a stuck reader.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Where batches of whole lines go; one of many ends.
#[derive(Clone, Debug)]
pub(crate) struct Lines(SyncSender<Vec<u8>>);

impl Lines {
    /// Hands lines over; what cannot be taken now comes back.
    pub(crate) fn offer(&self, lines: Vec<u8>) -> Result<(), Vec<u8>> {
        self.0.try_send(lines).map_err(|error| match error {
            TrySendError::Full(lines) | TrySendError::Disconnected(lines) => lines,
        })
    }
}

/// The thread that writes. It ends when every [`Lines`] of it is gone.
#[derive(Debug)]
pub(crate) struct Sink {
    lines: Lines,
    /// Closed when the thread has written everything.
    done: Receiver<()>,
}

impl Sink {
    /// Starts the thread. At most `batches` wait for it; `broken` is told when writing begins to
    /// fail.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(
        name: &str,
        batches: usize,
        mut sink: impl Write + Send + 'static,
        broken: impl Fn(&io::Error) + Send + 'static,
    ) -> io::Result<Self> {
        let (lines, incoming): (_, Receiver<Vec<u8>>) = mpsc::sync_channel(batches);
        let (finished, done) = mpsc::channel();
        thread::Builder::new().name(name.into()).spawn(move || {
            let mut was_broken = false;
            // Dropped, and so told, when the loop has ended.
            let _finished: Sender<()> = finished;
            for batch in incoming {
                let written = sink.write_all(&batch).and_then(|()| sink.flush());
                if let Err(error) = &written
                    && !was_broken
                {
                    broken(error);
                }
                was_broken = written.is_err();
            }
        })?;
        Ok(Self { lines: Lines(lines), done })
    }

    /// One more end.
    pub(crate) fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// Waits until everything that was handed over is written, for a while; says whether it is.
    pub(crate) fn finish(self) -> bool {
        drop(self.lines);
        self.done.recv_timeout(FINISH_TIMEOUT) != Err(RecvTimeoutError::Timeout)
    }
}
