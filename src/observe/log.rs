//! The process's own log, on the standard error. Who logs never waits for it.

use std::any::Any;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::sink::{Lines, Sink};
use crate::plan::LogFormat;

/// The environment variable that says how much is logged, as in `debug` or `keygate=trace`.
pub const LEVEL: &str = "KEYGATE_LOG";

/// How many messages may wait to be written.
const MESSAGES: usize = 1024;

/// The running log, to be finished when nothing more will be logged.
pub struct Log {
    sink: Sink,
    shared: Arc<Shared>,
    lost: Arc<AtomicU64>,
}

impl Log {
    /// Starts the log. What is logged before is lost; a second one logs nothing.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(format: LogFormat, level: Option<&str>) -> io::Result<Self> {
        // Nobody can be told that the place where it would be told is broken.
        let sink = Sink::start("log", MESSAGES, io::stderr(), |_| {})?;
        let state = State { lines: Some(sink.lines()), lost: 0 };
        let lost = Arc::<AtomicU64>::default();
        let shared = Shared { format, state: Mutex::new(state), lost: Arc::clone(&lost) };
        let shared = Arc::new(shared);
        // The last word: the crate for HTTP/2 tells targets and values, which may hold a key.
        let level = level.filter(|level| !level.trim().is_empty()).unwrap_or("info");
        let filter = EnvFilter::builder()
            .with_default_directive(LevelFilter::INFO.into())
            .parse_lossy(format!("{level},h2=off"));
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            // By default a line that cannot be written is told with `eprintln!`, which panics.
            .log_internal_errors(false)
            .with_writer(Arc::clone(&shared))
            .with_ansi(io::stderr().is_terminal());
        // Fails only when a log was started before, which is then as good.
        let _ = match format {
            LogFormat::Text => subscriber.try_init(),
            LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        };
        panic::set_hook(Box::new(log_panic));
        Ok(Self { sink, shared, lost })
    }

    /// How many messages could not be handed over, ever.
    pub(crate) fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// Waits until everything that was logged is written, for a while.
    pub fn finish(self) {
        self.shared.state().lines = None;
        self.sink.finish();
    }
}

/// Logs a panic, with its message only if that is part of the program: a message that was put
/// together may hold what a client sent.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, message = told(info.payload()), "keygate panicked: please report it");
}

fn told(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("[not shown]")
}

/// Where messages are put together.
struct Shared {
    format: LogFormat,
    state: Mutex<State>,
    lost: Arc<AtomicU64>,
}

struct State {
    /// None when nobody reads them any more.
    lines: Option<Lines>,
    /// How many messages could not be handed over of late.
    lost: u64,
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The message that others are missing.
    fn loss(&self, lost: u64) -> String {
        let time = humantime::format_rfc3339_micros(SystemTime::now());
        let message = "the log could not keep up; messages are lost";
        match self.format {
            LogFormat::Text => format!("{time}  WARN {message} messages={lost}\n"),
            LogFormat::Json => format!(
                "{{\"timestamp\":\"{time}\",\"level\":\"WARN\",\"message\":\"{message}\",\
                 \"messages\":{lost}}}\n"
            ),
        }
    }
}

impl Write for &Shared {
    /// Takes one message, as the subscriber writes them.
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        let Some(lines) = &state.lines else {
            // The last words of a process that ends.
            return io::stderr().write(message);
        };
        let mut batch = Vec::new();
        if state.lost > 0 {
            batch.extend_from_slice(self.loss(state.lost).as_bytes());
        }
        batch.extend_from_slice(message);
        state.lost = match lines.offer(batch) {
            Ok(()) => 0,
            Err(_) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                state.lost + 1
            }
        };
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[track_caller]
    fn check_told(panics: fn(), expected: &str) {
        let panic = panic::catch_unwind(panics).expect_err("it panics");
        assert_eq!(told(&*panic), expected);
    }

    #[test]
    fn a_panic_is_told_without_what_was_put_together_at_run_time() {
        check_told(|| panic!("a lock was poisoned"), "a lock was poisoned");
        check_told(|| panic!("{} is no key", "k1_9f86".to_owned()), "[not shown]");
        // The text that is cut stands in the message of the standard library.
        check_told(|| drop("schlüssel"[..5].to_owned()), "[not shown]");
        check_told(|| panic::panic_any(5), "[not shown]");
    }

    /// Takes nothing until whoever holds the other end lets go.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn messages_that_nobody_takes_are_counted() {
        let (go, stuck) = mpsc::channel();
        let sink = Sink::start("stuck", 2, Stuck(stuck), |_| {}).unwrap();
        let lost = Arc::<AtomicU64>::default();
        let state = State { lines: Some(sink.lines()), lost: 0 };
        let state = Mutex::new(state);
        let shared = Shared { format: LogFormat::Text, state, lost: Arc::clone(&lost) };
        for _ in 0..10 {
            (&shared).write_all(b"a message\n").unwrap();
        }
        // Two wait, and perhaps one is being written.
        assert!((7..=8).contains(&lost.load(Ordering::Relaxed)), "{lost:?}");
        drop(go);
    }
}
