//! What a case stands on: a gate, an origin that records every byte, and the oracle over both.

use std::cell::OnceCell;
use std::sync::Arc;

use super::oracle::{self, Allowed};
pub(crate) use super::setup::refusal;
use super::setup::{PROBE, Running, Setup};
use crate::support::reference::{keyed, with_keys};
use crate::support::{
    Client, Exchange, Failures, Gate, Head, Origin, Place, Recorded, Response, Then,
};

/// A gate in front of an origin. Both start when the case first needs them; what the case changes
/// about them it says before that, and afterwards it changes them with [`Stand::anew`].
pub(crate) struct Stand {
    setup: Setup,
    running: OnceCell<Running>,
}

/// What the case has said and seen.
#[derive(Default)]
pub(super) struct Notes {
    allowed: Vec<Allowed>,
    /// Targets of requests that break off; their heads may reach the origin, even late.
    broken: Vec<String>,
    /// Targets of requests that may reach the origin or not, in any number.
    free: Vec<String>,
    failures: Failures,
}

impl Stand {
    /// A stand with the reference configuration, and an origin that echoes the target.
    pub(super) fn new() -> Self {
        Self { setup: Setup::new(), running: OnceCell::new() }
    }

    // Setting up, before the first request.

    /// Takes the reference configuration with everything else open: config B.
    pub(crate) fn half_open(&mut self) -> &mut Self {
        self.setup().half_open = true;
        self
    }

    /// Takes another configuration. `K1` and `K2` stand for the keys, `{origin}` for the origin's
    /// address; the upstream `rec` is there unless the text has upstreams of its own, and
    /// `[server]` belongs to [`Stand::server`].
    pub(crate) fn config(&mut self, text: &str) -> &mut Self {
        self.setup().config = Some(keyed(text));
        self
    }

    /// Adds tables to the configuration, written as for [`Stand::config`].
    pub(crate) fn add(&mut self, text: &str) -> &mut Self {
        self.setup().more.push_str(&keyed(text));
        self
    }

    /// Adds lines to the table `[server]`.
    pub(crate) fn server(&mut self, lines: &str) -> &mut Self {
        self.setup().server.push_str(lines);
        self
    }

    /// Adds a file to the configuration folder, such as a keys file.
    pub(crate) fn file(&mut self, name: &str, text: &str) -> &mut Self {
        self.setup().files.push((name.to_owned(), keyed(text)));
        self
    }

    /// Sets a variable of the gate's environment.
    pub(crate) fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.setup().env.push((name.to_owned(), keyed(value)));
        self
    }

    /// Has the standard output, which is the access log, go to this file.
    pub(crate) fn stdout(&mut self, path: &'static str) -> &mut Self {
        self.under(&["sh", "-c", "exec \"$@\" >\"$0\"", path])
    }

    /// Starts keygate with these arguments instead of `--config config`; `{origin}` stands for the
    /// origin's address.
    pub(crate) fn arguments(&mut self, arguments: &[&str]) -> &mut Self {
        self.setup().arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        self
    }

    /// Has keygate started by another program that becomes it in the end, such as `prlimit`.
    pub(crate) fn under(&mut self, starter: &[&str]) -> &mut Self {
        self.setup().starter = starter.iter().map(|text| (*text).to_owned()).collect();
        self
    }

    /// Runs a script for each request that reaches the origin: to be slow, to break off, to say
    /// something odd.
    pub(crate) fn script(
        &mut self,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> &mut Self {
        self.setup().script = Arc::new(script);
        self
    }

    /// Answers each request, once it is read whole, with these bytes.
    pub(crate) fn answer(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref().to_vec();
        self.script(move |exchange| {
            exchange.read_body();
            exchange.write(&bytes);
        })
    }

    /// Ends this gate, with all checks, and goes on with a new one that is set up from scratch.
    #[track_caller]
    pub(crate) fn anew(&mut self) -> &mut Self {
        self.finish();
        *self = Self::new();
        self
    }

    // Saying what this case is held to, where it differs.

    /// Has one more key that may come out nowhere.
    pub(crate) fn secret(&mut self, key: &str) -> &mut Self {
        let key = with_keys(key.as_bytes());
        if let Some(running) = self.running.get_mut() {
            running.gate.secret(&key);
        }
        self.setup.secrets.push(key);
        self
    }

    /// States that a key comes out here, and that it should.
    pub(crate) fn shows(&mut self, places: &[Place]) -> &mut Self {
        if let Some(running) = self.running.get_mut() {
            running.gate.shows(places);
        }
        self.setup.shown.extend(places);
        self
    }

    /// Names another header that is a credential here (besides `X-API-Key`), so that it may be
    /// missing at the origin.
    pub(crate) fn credential(&mut self, name: &str) -> &mut Self {
        self.setup.credentials.push(name.to_ascii_lowercase());
        self
    }

    /// Shows with this request, instead of `GET /api/v1/x` with `X-API-Key: K1`, that the gate
    /// still serves in the end; the answer must be 200. Empty: there is no such request.
    pub(crate) fn probe(&mut self, request: &str) -> &mut Self {
        self.setup.probe = keyed(request);
        self
    }

    /// States that a request may reach the origin twice, because no byte of it was acted on.
    pub(crate) fn repeats(&mut self) -> &mut Self {
        self.setup.repeats = true;
        self
    }

    /// States that the gate has ended when the case ends.
    pub(crate) fn ends(&mut self) -> &mut Self {
        self.setup.ends = true;
        self
    }

    /// States that this request reaches the origin with this target, everything else unchanged.
    /// For what the case sends on connections of its own; it may come at any time before the end.
    pub(crate) fn allow(&self, target: &str, request: impl AsRef<[u8]>) -> &Self {
        let sent = with_keys(request.as_ref());
        self.note(|notes| notes.allowed.push(Allowed { target: keyed(target), sent: Some(sent) }));
        self
    }

    /// States that so many requests reach the origin with this target, whatever else they hold.
    pub(crate) fn allow_any(&self, target: &str, count: usize) -> &Self {
        let allowed = Allowed { target: keyed(target), sent: None };
        self.note(|notes| notes.allowed.extend(std::iter::repeat_n(allowed, count)));
        self
    }

    /// States that requests with this target may begin to reach the origin, and break off there.
    pub(crate) fn breaks(&self, target: &str) {
        self.note(|notes| notes.broken.push(target.to_owned()));
    }

    /// States that requests with this target may reach the origin, in any number.
    pub(crate) fn may_reach(&self, target: &str) {
        self.note(|notes| notes.free.push(target.to_owned()));
    }

    // Sending. `K1` and `K2` stand for the keys everywhere.

    /// `GET /api/v1/x` with these further header lines, each with its CRLF.
    pub(crate) fn get(&self, lines: impl AsRef<[u8]>, then: Then) -> &Self {
        self.send([GET.as_bytes(), lines.as_ref(), b"\r\n"].concat(), then)
    }

    /// `POST /api/v1/x` with these further header lines, the empty line and the body.
    pub(crate) fn post(&self, rest: impl AsRef<[u8]>, then: Then) -> &Self {
        self.send([POST.as_bytes(), rest.as_ref()].concat(), then)
    }

    /// `GET` of this target, without a key in a header.
    pub(crate) fn target(&self, target: impl AsRef<[u8]>, then: Then) -> &Self {
        self.send([b"GET ", target.as_ref(), b" HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat(), then)
    }

    /// A whole request on a connection of its own. What is forwarded is thereby allowed.
    pub(crate) fn send(&self, request: impl AsRef<[u8]>, then: Then) -> &Self {
        let request = with_keys(request.as_ref());
        let Running { gate, origin, .. } = self.running();
        let arrived = origin.count();
        let mut failures = Failures::new();
        failures.one(gate, origin, "sent", &request, then);
        let reached = origin.count() > arrived;
        self.note(|notes| {
            notes.failures.join(failures);
            match then {
                Then::Breaks => notes.broken.push(Head::parse(&request).second_word().to_owned()),
                Then::Forwarded(target) | Then::Last(target) if reached => {
                    notes.allowed.push(Allowed { target: keyed(target), sent: Some(request) });
                }
                _ => {}
            }
        });
        self
    }

    /// A whole request on a connection of its own, whose response the case looks at itself. What
    /// reaches the origin must be allowed by [`Stand::allow`].
    #[track_caller]
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        self.connect().send(with_keys(request.as_ref())).response()
    }

    /// A connection. What is sent on it is sent as it is: see [`keyed`](crate::support::reference).
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        self.running().gate.client()
    }

    /// Notes whether something held; if not, the case fails in the end, after all its rows.
    pub(crate) fn holds(&self, right: bool, told: impl FnOnce() -> String) {
        self.note(|notes| notes.failures.row(right, told));
    }

    // Looking.

    /// The gate.
    #[track_caller]
    pub(crate) fn gate(&self) -> &Gate {
        &self.running().gate
    }

    /// The origin.
    #[track_caller]
    pub(crate) fn origin(&self) -> &Origin {
        &self.running().origin
    }

    /// What has reached the origin so far.
    pub(crate) fn arrived(&self) -> Vec<Recorded> {
        self.origin().requests()
    }

    // The oracle.

    /// Holds what happened to the invariants I1 to I5.
    #[track_caller]
    pub(super) fn finish(&mut self) {
        let Some(running) = self.running.take() else { return };
        let Running { origin, gate, files, notes } = &running;
        let mut failures = std::mem::take(&mut notes.borrow_mut().failures);
        let setup = &self.setup;
        if setup.ends {
            let ended = gate.exit_status().is_some();
            failures.row(ended, || "the gate has not ended".to_owned());
        } else {
            oracle::rests(&mut failures, gate, origin, *files, &setup.probe);
        }
        let arrived: Vec<_> =
            origin.requests().into_iter().filter(|one| !one.head.has(PROBE)).collect();
        let Notes { allowed, broken, free, .. } = &*notes.borrow();
        let kept = |one: &&Recorded| {
            let is_one_of =
                |targets: &[String]| targets.iter().any(|target| target == one.target());
            !is_one_of(free) && (one.whole || !is_one_of(broken))
        };
        let kept: Vec<_> = arrived.iter().filter(kept).collect();
        oracle::only_allowed(&mut failures, &kept, allowed, &setup.credentials);
        if !setup.repeats {
            oracle::once(&mut failures, &arrived);
        }
        let leak = gate.leak().or_else(|| setup.leak_upstream(&arrived));
        failures.row(leak.is_none(), || format!("I3: {}", leak.unwrap_or_default()));
        failures.report();
    }

    /// What the gate said last, for the report of a failure.
    pub(super) fn last_words(&self) -> String {
        self.running.get().map(|running| running.gate.last_words()).unwrap_or_default()
    }

    #[track_caller]
    fn setup(&mut self) -> &mut Setup {
        assert!(self.running.get().is_none(), "the gate runs already; see `Stand::anew`");
        &mut self.setup
    }

    #[track_caller]
    fn running(&self) -> &Running {
        self.running.get_or_init(|| self.setup.start())
    }

    fn note<T>(&self, take: impl FnOnce(&mut Notes) -> T) -> T {
        take(&mut self.running().notes.borrow_mut())
    }
}

/// How [`Stand::get`] begins.
pub(crate) const GET: &str = "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\n";
/// How [`Stand::post`] begins.
pub(crate) const POST: &str = "POST /api/v1/x HTTP/1.1\r\nHost: a.test\r\n";
