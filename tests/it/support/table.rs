//! Cases as data: bytes in, and what must come of them at the client and at the origin.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::message::visible;
use super::reference::{keyed, with_keys};
use super::{Gate, Origin, Response};

/// What must come of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// One request with this target reaches the origin, and its 200 the client.
    Forwarded(&'static str),
    /// The gate itself answers with this status and body; nothing reaches the origin.
    Says(u16, &'static str),
    /// The gate itself answers with one of these; nothing reaches the origin.
    Refused(&'static [u16]),
    /// The gate answers with one of these or not at all, and ends the connection; nothing reaches
    /// the origin.
    Ends(&'static [u16]),
    /// As [`Then::Forwarded`], and then the gate ends the connection.
    Last(&'static str),
    /// What is wrong comes after the head, which may have gone upstream by then: the gate answers
    /// with 400 or 502 or not at all, and ends both connections; nothing whole reaches the origin.
    Breaks,
}

/// 401 for a request without a key.
pub(crate) const MISSING: Then = Then::Says(401, "Key missing");
/// 401 for a request with a wrong key, or with several.
pub(crate) const INVALID: Then = Then::Says(401, "Key auth fail");
/// 400 and the end of the connection.
pub(crate) const BAD: Then = Then::Ends(&[400]);

/// A row: what it is called, the bytes that it sends (or a part of them), what must come of them.
pub(crate) type Row = (&'static str, &'static [u8], Then);

/// How long a row may take; a row that does not end must not hold up all others.
const PATIENCE: Duration = Duration::from_secs(4);

/// Sends the request on a connection of its own, and says what is wrong with what came of it.
fn failure(gate: &Gate, origin: &Origin, request: &[u8], then: Then) -> Option<String> {
    let before = origin.count();
    let mut client = gate.client();
    client.patience(PATIENCE).send(request);
    if let Then::Ends(statuses) = then {
        return not_ended(statuses, &client.rest(), origin.count() - before);
    }
    if then == Then::Breaks {
        let received = client.rest();
        let arrived = origin.requests().split_off(before);
        let whole = arrived.iter().filter(|one| one.whole).count();
        return not_ended(&[400, 502], &received, whole);
    }
    let response = client.response();
    let rest = if matches!(then, Then::Last(_)) { client.rest() } else { Vec::new() };
    let arrived = origin.requests().split_off(before);
    let right = match then {
        Then::Forwarded(target) | Then::Last(target) => {
            arrived.len() == 1
                && response.status == 200
                && arrived[0].target() == keyed(target)
                && rest.is_empty()
        }
        Then::Says(status, body) => {
            arrived.is_empty() && response.status == status && response.text() == body
        }
        Then::Refused(statuses) => arrived.is_empty() && statuses.contains(&response.status),
        Then::Ends(_) | Then::Breaks => false,
    };
    let targets: Vec<_> = arrived.iter().map(|one| one.head.start.clone()).collect();
    (!right)
        .then(|| format!("got {} and {:?}; upstream {targets:?}", told(&response), visible(&rest)))
}

/// What is wrong with everything that came before the connection ended.
fn not_ended(statuses: &[u16], received: &[u8], arrived: usize) -> Option<String> {
    let text = String::from_utf8_lossy(received);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let right = arrived == 0
        && text.matches("HTTP/1.").count() <= 1
        && status.is_none_or(|status: u16| statuses.contains(&status));
    (!right).then(|| format!("got {}; {arrived} upstream", visible(received)))
}

fn told(response: &Response) -> String {
    format!("{} {:?}", response.status, response.text())
}

/// Every row that failed; all of them are shown, not only the first.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    rows: usize,
    failed: Vec<String>,
}

impl Failures {
    /// Nothing has failed.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Plays rows against a gate, each with its own bytes between `before` and `after`. `K1` and
    /// `K2` stand for the keys.
    pub(crate) fn play(
        &mut self,
        gate: &Gate,
        origin: &Origin,
        (before, rows, after): (&str, &[Row], &str),
    ) -> &mut Self {
        for (name, bytes, then) in rows {
            let request = [before.as_bytes(), bytes, after.as_bytes()].concat();
            self.one(gate, origin, name, &with_keys(&request), *then);
        }
        self
    }

    /// Plays one row.
    pub(crate) fn one(
        &mut self,
        gate: &Gate,
        origin: &Origin,
        name: &str,
        request: &[u8],
        then: Then,
    ) {
        let outcome = catch_unwind(AssertUnwindSafe(|| failure(gate, origin, request, then)));
        let failure = outcome.unwrap_or_else(|_| Some("no answer in time".to_owned()));
        self.row(failure.is_none(), || {
            let failure = failure.unwrap_or_default();
            format!("{name}: expected {then:?}, {failure}\n    {}", visible(request))
        });
    }

    /// Takes over what others noted.
    pub(crate) fn join(&mut self, others: Self) {
        self.rows += others.rows;
        self.failed.extend(others.failed);
    }

    /// Notes one row.
    pub(crate) fn row(&mut self, right: bool, told: impl FnOnce() -> String) {
        self.rows += 1;
        if !right {
            self.failed.push(told());
        }
    }

    /// Fails the test if any row failed.
    #[track_caller]
    pub(crate) fn report(&self) {
        let failed = self.failed.len();
        assert!(self.rows > 0, "the table is empty");
        assert!(failed == 0, "{failed} of {} failed:\n- {}", self.rows, self.failed.join("\n- "));
    }
}
