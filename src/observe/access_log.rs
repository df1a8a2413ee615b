//! The access log: one line a request, formatted by its worker, written by a thread of its own.
//!
//! A worker gathers lines in memory and hands them over now and then. It never waits for the sink:
//! when the thread cannot keep up, lines are dropped and counted.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode, Uri};

use super::sink::{Lines, Sink};
use crate::plan::{Log, LogFormat};
use crate::query;

/// How many bytes of lines a worker gathers before it hands them over without waiting for the tick.
const BATCH_SIZE: usize = 32 * 1024;

/// How many batches may wait for the writer; with [`BATCH_SIZE`], 8 MiB of lines.
const BATCHES: usize = 256;

/// The thread that writes.
pub struct Writer {
    sink: Sink,
    lost: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let broken = |error: &io::Error| {
            tracing::warn!(%error, "cannot write the access log; lines are lost");
        };
        let sink = Sink::start("access-log", BATCHES, sink, broken)?;
        Ok(Self { sink, lost: Arc::default() })
    }

    /// One worker's end.
    pub(crate) fn log(&self, log: Log) -> AccessLog {
        AccessLog {
            batches: self.sink.lines(),
            lost: Arc::clone(&self.lost),
            log: Cell::new(log),
            lines: RefCell::default(),
            dropped: Cell::new(0),
            stamp: RefCell::new(Stamp::default()),
        }
    }

    /// How many lines were lost, ever, of all workers.
    pub(crate) fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// Waits until everything that was handed over is written, for a while.
    pub fn finish(self) {
        if !self.sink.finish() {
            tracing::warn!("the access log takes nothing; its last lines are lost");
        }
    }
}

/// One worker's lines.
pub struct AccessLog {
    batches: Lines,
    log: Cell<Log>,
    lines: RefCell<Vec<u8>>,
    /// Those that were lost since it was last said.
    dropped: Cell<u64>,
    lost: Arc<AtomicU64>,
    stamp: RefCell<Stamp>,
}

/// What a line says.
pub(crate) struct Line<'a> {
    /// The client's address; none on a unix socket.
    pub(crate) client: Option<&'a str>,
    /// The request's method and its target as it came; none if it could not be read.
    pub(crate) request: Option<&'a (Method, Uri)>,
    /// Names of the parameters whose values are masked, in lower case.
    pub(crate) masked: &'a [Vec<u8>],
    /// The status that was answered.
    pub(crate) status: StatusCode,
    /// Bytes of the response's body.
    pub(crate) bytes: u64,
    /// Time spent here.
    pub(crate) keygate: Duration,
    /// Time spent waiting for the upstream.
    pub(crate) upstream: Option<Duration>,
    /// The location's name.
    pub(crate) location: Option<&'a str>,
    /// Whom the key belongs to.
    pub(crate) consumer: Option<&'a str>,
    /// The key's public name.
    pub(crate) key_id: Option<&'a str>,
    /// The request's id.
    pub(crate) request_id: &'a [u8],
    /// The trace that it is part of.
    pub(crate) trace_id: Option<&'a str>,
}

impl AccessLog {
    /// Takes over the settings of another plan.
    pub(crate) fn set_format(&self, log: Log) {
        self.log.set(log);
    }

    /// Whether a line says which trace a request is part of.
    pub(crate) fn tells_traces(&self) -> bool {
        let log = self.log.get();
        log.access && log.format == LogFormat::Json
    }

    /// Writes the line of a request that ended at this time, if there is to be an access log.
    pub(crate) fn write(&self, time: SystemTime, line: &Line<'_>) {
        let log = self.log.get();
        if !log.access {
            return;
        }
        let mut lines = self.lines.borrow_mut();
        let mut stamp = self.stamp.borrow_mut();
        let time = stamp.at(time);
        match log.format {
            LogFormat::Text => line.text(time, &mut lines),
            LogFormat::Json => line.json(time, &mut lines),
        }
        if lines.len() >= BATCH_SIZE {
            self.hand_over(&mut lines);
        }
    }

    /// Hands over what has been gathered.
    pub(crate) fn flush(&self) {
        let mut lines = self.lines.borrow_mut();
        if !lines.is_empty() {
            self.hand_over(&mut lines);
        }
    }

    fn hand_over(&self, lines: &mut Vec<u8>) {
        match self.batches.offer(std::mem::take(lines)) {
            Ok(()) => {
                let dropped = self.dropped.take();
                if dropped > 0 {
                    tracing::warn!(
                        lines = dropped,
                        "the access log could not keep up; lines are lost"
                    );
                }
                lines.reserve(BATCH_SIZE + BATCH_SIZE / 8);
            }
            Err(batch) => {
                let count = batch.iter().filter(|&&byte| byte == b'\n').count() as u64;
                self.dropped.set(self.dropped.get() + count);
                self.lost.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Line<'_> {
    /// Blanks separate; no value can hold one: targets and methods have none by RFC 9112, names are
    /// checked when the configuration is read.
    fn text(&self, time: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(time);
        out.push(b' ');
        self.client(out);
        out.push(b' ');
        match self.request {
            Some((method, uri)) => {
                out.extend_from_slice(method.as_str().as_bytes());
                out.push(b' ');
                self.target(uri, out);
            }
            None => out.extend_from_slice(b"- -"),
        }
        out.push(b' ');
        out.extend_from_slice(self.status.as_str().as_bytes());
        out.extend_from_slice(b" bytes=");
        number(self.bytes, out);
        out.extend_from_slice(b" keygate_ms=");
        milliseconds(self.keygate, out);
        out.extend_from_slice(b" upstream_ms=");
        match self.upstream {
            Some(time) => milliseconds(time, out),
            None => out.push(b'-'),
        }
        for (name, value) in [
            (&b" location="[..], self.location),
            (b" consumer=", self.consumer),
            (b" key=", self.key_id),
        ] {
            out.extend_from_slice(name);
            out.extend_from_slice(value.unwrap_or("-").as_bytes());
        }
        out.extend_from_slice(b" id=");
        out.extend_from_slice(self.request_id);
        out.push(b'\n');
    }

    fn json(&self, time: &[u8], out: &mut Vec<u8>) {
        let mut target = Vec::new();
        if let Some((_, uri)) = self.request {
            self.target(uri, &mut target);
        }
        let target = self.request.map(|_| String::from_utf8_lossy(&target));
        out.extend_from_slice(br#"{"time":""#);
        out.extend_from_slice(time);
        out.extend_from_slice(br#"","client":""#);
        self.client(out);
        out.extend_from_slice(br#"","method":"#);
        quoted(self.request.map(|(method, _)| method.as_str()), out);
        out.extend_from_slice(br#","path":"#);
        quoted(target.as_deref(), out);
        out.extend_from_slice(br#","status":"#);
        out.extend_from_slice(self.status.as_str().as_bytes());
        out.extend_from_slice(br#","bytes":"#);
        number(self.bytes, out);
        out.extend_from_slice(br#","keygate_ms":"#);
        milliseconds(self.keygate, out);
        out.extend_from_slice(br#","upstream_ms":"#);
        match self.upstream {
            Some(time) => milliseconds(time, out),
            None => out.extend_from_slice(b"null"),
        }
        for (name, value) in [
            (&br#","location":"#[..], self.location),
            (br#","consumer":"#, self.consumer),
            (br#","key_id":"#, self.key_id),
            (br#","request_id":"#, str::from_utf8(self.request_id).ok()),
            (br#","trace_id":"#, self.trace_id),
        ] {
            out.extend_from_slice(name);
            quoted(value, out);
        }
        out.extend_from_slice(b"}\n");
    }

    fn client(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.client.unwrap_or("unix").as_bytes());
    }

    /// The path and query, with the credential's value masked.
    fn target(&self, uri: &Uri, out: &mut Vec<u8>) {
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let start = out.len();
        query::mask(target.as_bytes(), self.masked, out);
        if !out[start..].iter().all(u8::is_ascii_graphic) {
            escape(start, out);
        }
    }
}

/// Escapes what could end a line or command a terminal: a target that is refused may hold any
/// character (CWE-117).
fn escape(start: usize, out: &mut Vec<u8>) {
    for byte in out.split_off(start) {
        match byte {
            b'!'..=b'~' => out.push(byte),
            // Writing to a vector cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
}

fn quoted(value: Option<&str>, out: &mut Vec<u8>) {
    // Writing a string to a vector cannot fail.
    drop(serde_json::to_writer(out, &value));
}

fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A duration in milliseconds with three decimals.
fn milliseconds(time: Duration, out: &mut Vec<u8>) {
    // Of 128 bits, as whole microseconds would be, a division takes 40 instructions.
    let micros = time.subsec_micros();
    let whole = time.as_secs().saturating_mul(1000).saturating_add(u64::from(micros / 1000));
    number(whole, out);
    let rest = micros % 1000;
    let [a, b, c] = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8);
    out.extend_from_slice(&[b'.', a, b, c]);
}

/// The time of day as RFC 3339 with milliseconds; all but these is formatted once a second.
#[derive(Default)]
struct Stamp {
    second: u64,
    text: Vec<u8>,
}

impl Stamp {
    fn at(&mut self, time: SystemTime) -> &[u8] {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.text.is_empty() || self.second != since.as_secs() {
            self.second = since.as_secs();
            self.text.clear();
            // Writing to a vector cannot fail.
            drop(write!(self.text, "{}", humantime::format_rfc3339_millis(time)));
        }
        let millis = since.subsec_millis();
        let digits = [millis / 100, millis / 10 % 10, millis % 10].map(|digit| b'0' + digit as u8);
        if let Some(place) = self.text.get_mut(20..23) {
            place.copy_from_slice(&digits);
        }
        &self.text
    }
}
