//! Cases as data: bytes in, and what must come of them at the client and at the origin.

use super::message::visible;
use super::{Gate, Origin, Response};

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    name: String,
    request: Vec<u8>,
    expected: Expected,
}

#[derive(Clone, Debug)]
enum Expected {
    /// The request line with this target reaches the origin, and its answer the client.
    Forwarded(String),
    /// One of these statuses, nothing at the origin, and the connection ends if so said.
    Refused { statuses: Vec<u16>, body: Option<String>, closes: bool },
}

/// The request reaches the origin with this target.
pub(crate) fn forwards(name: &str, request: impl AsRef<[u8]>, target: &str) -> Case {
    let expected = Expected::Forwarded(target.to_owned());
    Case { name: name.to_owned(), request: request.as_ref().to_vec(), expected }
}

/// The gate answers by itself, with this status and, unless empty, this body.
pub(crate) fn refuses(name: &str, request: impl AsRef<[u8]>, status: u16, body: &str) -> Case {
    let body = (!body.is_empty()).then(|| body.to_owned());
    let expected = Expected::Refused { statuses: vec![status], body, closes: false };
    Case { name: name.to_owned(), request: request.as_ref().to_vec(), expected }
}

/// The gate answers with one of these statuses, or not at all, and ends the connection.
pub(crate) fn close_on(name: &str, request: impl AsRef<[u8]>, statuses: &[u16]) -> Case {
    let expected = Expected::Refused { statuses: statuses.to_vec(), body: None, closes: true };
    Case { name: name.to_owned(), request: request.as_ref().to_vec(), expected }
}

impl Case {
    /// Sends the request on a connection of its own, and says what is wrong with what came of it.
    fn failure(&self, gate: &Gate, origin: &Origin) -> Option<String> {
        let before = origin.count();
        let mut client = gate.client();
        client.send(&self.request);
        if let Expected::Refused { statuses, closes: true, .. } = &self.expected {
            return self.closing(statuses, &client.rest(), origin.count() - before);
        }
        let response = client.response();
        let arrived = origin.requests().split_off(before);
        match &self.expected {
            Expected::Forwarded(target) => match arrived.as_slice() {
                [one] if response.status == 200 && one.target() == target => None,
                [one] => Some(format!("got {} for {}", response.status, one.target())),
                others => Some(format!("got {} and {} upstream", told(&response), others.len())),
            },
            Expected::Refused { statuses, body, .. } => {
                let as_said = body.as_ref().is_none_or(|body| response.text() == *body);
                let right = statuses.contains(&response.status) && as_said && arrived.is_empty();
                (!right).then(|| format!("got {} and {} upstream", told(&response), arrived.len()))
            }
        }
    }

    /// What is wrong with everything that came before the connection ended.
    fn closing(&self, statuses: &[u16], received: &[u8], arrived: usize) -> Option<String> {
        let text = String::from_utf8_lossy(received);
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let right = arrived == 0
            && text.matches("HTTP/1.1 ").count() <= 1
            && status.is_none_or(|status: u16| statuses.contains(&status));
        (!right).then(|| format!("got {} and {arrived} upstream", visible(received)))
    }
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

    /// Plays cases against a gate; the origin may see nothing that no case expects, not even late.
    pub(crate) fn play(&mut self, gate: &Gate, origin: &Origin, cases: &[Case]) -> &mut Self {
        let before = origin.count();
        let forwarded = cases.iter().filter(|case| matches!(case.expected, Expected::Forwarded(_)));
        let expected = before + forwarded.count();
        for case in cases {
            let failure = case.failure(gate, origin);
            self.row(failure.is_none(), || {
                let failure = failure.unwrap_or_default();
                format!("{}: {failure}\n    {}", case.name, visible(&case.request))
            });
        }
        let count = origin.count();
        self.row(count == expected, || format!("{count} requests upstream, expected {expected}"));
        self
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
