//! Faults as data: what the origin says, how it ends the connection, and what the client sees.

use std::fmt::Display;

use crate::catalogue::Stand;
use crate::support::fault::End;
use crate::support::reference::{LOCATIONS, keyed};
use crate::support::{Client, Exchange};

/// What a client must see.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen {
    /// An answer of the gate with this status.
    Status(u16),
    /// An answer with this status and body, whole.
    Whole(u16, &'static str),
    /// That the answer broke off, or an error in its place.
    Cut,
}

pub(super) const BAD_GATEWAY: Seen = Seen::Status(502);

/// What the origin says to a request that it has read, how it ends the connection then, and what
/// the client must see of it.
pub(super) type Fault = (&'static str, &'static [u8], End, Seen);

/// A fault that is no answer: the client gets one of the gate's.
pub(super) const fn bad(name: &'static str, says: &'static [u8]) -> Fault {
    (name, says, End::Stays, BAD_GATEWAY)
}

/// A fault in the middle of an answer.
pub(super) const fn cut(name: &'static str, says: &'static [u8], end: End) -> Fault {
    (name, says, end, Seen::Cut)
}

/// Plays each fault, behind what all of them begin with, with a `GET` and with a `POST`, each over
/// a connection of its own.
pub(super) fn play(stand: &mut Stand, begin: &'static str, faults: &'static [Fault]) {
    upstream(stand, "max_idle = 0\nread_timeout = \"2s\"").script(move |exchange| {
        exchange.read_body();
        let (_, says, end, _) = faults[number(exchange)];
        exchange.write([begin.as_bytes(), says].concat());
        finish(exchange, end);
    });
    for (index, (name, .., seen)) in faults.iter().enumerate() {
        sees(stand, name, &format!("/api/v1/{index}"), *seen);
    }
}

/// Asks for a target with a `GET` and with a `POST`, each over a connection of its own, and holds
/// what the client sees to what it must.
pub(super) fn sees(stand: &Stand, name: &str, target: &str, seen: Seen) {
    for request in both(target) {
        stand.allow(target, &request);
        let wrong = wrong(&mut stand.connect(), &request, seen);
        stand.holds(wrong.is_none(), || {
            let method = request.split(' ').next().unwrap_or_default();
            format!("{name}, {method}: {}", wrong.unwrap_or_default())
        });
    }
}

/// What is wrong with what a client sees of a request.
fn wrong(client: &mut Client, request: &str, seen: Seen) -> Option<String> {
    let answer = client.send(request).answer();
    let right = match (seen, &answer) {
        (Seen::Status(status), Some(answer)) => answer.status == status,
        (Seen::Whole(status, body), Some(answer)) => {
            answer.status == status && answer.text() == body
        }
        (Seen::Cut, answer) => answer.as_ref().is_none_or(|answer| answer.status == 502),
        (_, None) => false,
    };
    let told = answer.map(|answer| (answer.status, answer.text()));
    (!right).then(|| format!("{told:?} instead of {seen:?}"))
}

/// The number that a target ends with.
pub(super) fn number(exchange: &Exchange) -> usize {
    let target = exchange.request.second_word();
    target.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Ends a connection in this way when the script ends.
pub(super) fn finish(exchange: &mut Exchange, end: End) {
    match end {
        End::Stays => {}
        End::Closes => exchange.close(),
        End::Resets => exchange.reset(),
    }
}

/// Takes the reference configuration, on one worker, so that one pool serves every connection, and
/// with these lines in the upstream's table.
pub(super) fn upstream<'a>(stand: &'a mut Stand, lines: &str) -> &'a mut Stand {
    let config = format!("[upstreams.rec]\naddrs = [\"{{origin}}\"]\n{lines}\n{LOCATIONS}");
    stand.server("workers = 1\n").config(&config)
}

/// Takes a configuration whose `/api/v1` leads to these addresses, and whose `/good/` leads to the
/// origin, as does the oracle's own request.
pub(super) fn beside(stand: &mut Stand, addresses: &[impl Display], lines: &str) {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    stand.server("workers = 1\n").probe(&get("/good/x")).config(&beside_config(&addresses, lines));
}

/// The text of [`beside`]'s configuration.
pub(super) fn beside_config(addresses: &[String], lines: &str) -> String {
    format!(
        "[upstreams.rec]\naddrs = {addresses:?}\n{lines}\n\
         [upstreams.good]\naddrs = [\"{{origin}}\"]\n\
         [plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\nhide_credentials = true\n\
         [locations.bad]\npath = \"/api/v1/\"\nupstream = \"rec\"\nplugins = [\"key-auth\"]\n\
         [locations.good]\npath = \"/good/\"\nupstream = \"good\"\nplugins = [\"key-auth\"]\n"
    )
}

/// A `GET` with the key.
pub(super) fn get(target: &str) -> String {
    with("GET", target, "\r\n")
}

/// A `POST` with the key and a body.
pub(super) fn post(target: &str) -> String {
    with("POST", target, "Content-Length: 5\r\n\r\nhello")
}

/// A request with the key; `rest` is what comes after it.
pub(super) fn with(method: &str, target: &str, rest: &str) -> String {
    keyed(&format!("{method} {target} HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n{rest}"))
}

/// Both kinds of request.
pub(super) fn both(target: &str) -> [String; 2] {
    [get(target), post(target)]
}
