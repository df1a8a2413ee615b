//! A collector of traces: what it is sent is decoded with the messages that OpenTelemetry itself
//! publishes (`tests/clients/otlp.py`).

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::support::reference::KEYS;
use crate::support::{Canaries, DEADLINE, Exchange, Gate, Origin, Recorded, holds_within};

/// What listens where spans are sent. Whatever it was sent, no key of the tests was in it.
pub(crate) struct Collector(Origin);

/// A span, as `tests/clients/otlp.py` tells it.
#[derive(Clone, Debug)]
pub(super) struct Span(pub(super) Value);

/// What stands in a test's configuration where it says nothing of its own.
const SERVER: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";

impl Collector {
    /// One that takes everything.
    pub(crate) fn taking() -> Self {
        Self::scripted(|exchange| exchange.reply(200, b""))
    }

    /// One that answers so when it has read a request.
    pub(super) fn scripted(answer: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", answer)
    }

    /// The same on an address that is known beforehand.
    pub(super) fn on(
        address: &str,
        answer: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        Self(Origin::on(address, move |exchange| {
            exchange.read_body();
            answer(exchange);
        }))
    }

    /// What gets its requests.
    pub(super) fn origin(&self) -> &Origin {
        &self.0
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// A gate with one worker that sends its spans here, soon.
    #[track_caller]
    pub(super) fn gate(&self, config: &str) -> Gate {
        self.gate_with(config, &[])
    }

    /// The same with more variables, which win.
    #[track_caller]
    pub(super) fn gate_with(&self, config: &str, more: &[(&str, &str)]) -> Gate {
        gate(config, &self.url(), more)
    }

    /// The requests that came whole so far.
    pub(super) fn requests(&self) -> Vec<Recorded> {
        self.0.requests().into_iter().filter(|request| request.whole).collect()
    }

    /// Waits until what came is what is wanted, and returns all of it.
    #[track_caller]
    fn wait(&self, what: &str, wanted: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let (mut decoded, mut spans) = (0, Vec::new());
        let came = holds_within(DEADLINE, || {
            let requests = self.requests();
            if requests.len() > decoded {
                decoded = requests.len();
                spans = decode(&requests).iter().flat_map(spans_of).collect();
            }
            wanted(&spans)
        });
        assert!(came, "{what} did not come: {spans:#?}");
        spans
    }

    /// Waits for so many spans, and returns all that came.
    #[track_caller]
    pub(super) fn spans(&self, count: usize) -> Vec<Span> {
        self.wait(&format!("{count} spans"), |spans| spans.len() >= count)
    }

    /// Waits for the span of a server for this path, and returns it with that of the request
    /// upstream, if there is one.
    #[track_caller]
    pub(super) fn of(&self, path: &str) -> (Span, Option<Span>) {
        let is_its = |span: &Span| span.text("url.path") == path;
        let spans = self.wait(path, |spans| spans.iter().any(is_its));
        let server = spans.iter().find(|span| is_its(span)).expect("it was waited for");
        // Both are written together.
        let below = spans.iter().find(|span| span.0["parent"] == server.0["id"]);
        (server.clone(), below.cloned())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let canaries = Canaries::of(&KEYS);
            for request in self.0.requests() {
                let leak = canaries.found_in(&request.bytes());
                assert!(leak.is_none(), "a key came out in a span: {leak:?}");
            }
        }
    }
}

/// A gate with one worker that sends its spans there.
#[track_caller]
pub(super) fn gate(config: &str, url: &str, more: &[(&str, &str)]) -> Gate {
    let env = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", url), ("OTEL_BSP_SCHEDULE_DELAY", "50")], more];
    let server = if config.contains("[server]") { "" } else { SERVER };
    let files = [("keygate.toml", config), ("server.toml", server)];
    Gate::launch(&files, &["--config", "config"], &env.concat())
}

/// What the bodies of these requests say.
#[track_caller]
pub(super) fn decode(requests: &[Recorded]) -> Vec<Value> {
    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
    let mut command = Command::new([FOLDER, "/.venv/bin/python"].concat());
    command.arg("otlp.py").current_dir(FOLDER).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut decoder = command.spawn().expect("scripts/test-deps.sh has installed it");
    let mut input = decoder.stdin.take().expect("its stdin is a pipe");
    let output = thread::scope(|scope| {
        // Beside reading: neither pipe holds everything.
        scope.spawn(move || {
            for request in requests {
                let digits = request.body.iter().map(|byte| format!("{byte:02x}"));
                writeln!(input, "{}", digits.collect::<String>()).expect("it reads");
            }
        });
        decoder.wait_with_output().expect("it ends")
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it is text");
    text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

fn spans_of(request: &Value) -> Vec<Span> {
    request["spans"].as_array().into_iter().flatten().cloned().map(Span).collect()
}

impl Span {
    /// An attribute that is a text; empty if it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0["attributes"][name].as_str().unwrap_or_default()
    }

    /// An attribute that is a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0["attributes"][name].as_u64()
    }

    /// One of its own fields that is a text.
    pub(super) fn field(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    /// Its length in nanoseconds.
    pub(super) fn length(&self) -> u64 {
        let time = |name: &str| self.0[name].as_u64().expect("a time is a number");
        time("end").checked_sub(time("start")).expect("it ends when it has begun")
    }
}
