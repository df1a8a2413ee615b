//! Who sent a request, and what lasts as long as that is being answered, whichever version of HTTP
//! carries it.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Context;

use super::clock::{Deadlines, Wait};
use super::grant::Granted;
use super::tunnel::Tunnel;
use super::worker::Worker;
use super::{h1, h2};
use crate::fields::Fields;
use crate::reply::Reply;
use crate::upstream::lease::Lease;

/// Who connected, and how.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The address; none on a unix socket.
    pub(crate) address: Option<IpAddr>,
    /// The same, as it stands in header fields; every request has it.
    pub(crate) text: Option<Rc<str>>,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
}

impl Peer {
    /// Who connected from there.
    pub(super) fn new(address: Option<IpAddr>, scheme: &'static str) -> Self {
        let address = address.map(|address| address.to_canonical());
        Self { address, text: address.map(text_of), scheme }
    }
}

impl Peer {
    /// Whether what it sends comes over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.scheme == "https"
    }
}

/// An address as text. Most are of IPv4, for which `Display` takes ten times as long.
fn text_of(address: IpAddr) -> Rc<str> {
    let IpAddr::V4(address) = address else { return address.to_string().into() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in address.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text.into()
}

/// Who is owed a response: a connection of HTTP/1, for one request after the other, or a stream of
/// HTTP/2.
pub(crate) struct Client {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Its timeouts.
    pub(crate) deadlines: Rc<Deadlines>,
    /// Who it is.
    pub(crate) peer: Peer,
    /// The upstream's connection whose response is being streamed.
    pub(crate) lease: RefCell<Option<Lease>>,
    /// What its request was let through with, if it ends with that.
    pub(crate) granted: Granted,
    /// Whether the upstream has said `100 Continue`.
    pub(crate) body_is_wanted: Cell<bool>,
    wire: Wire,
}

/// What carries a client's messages.
pub(super) enum Wire {
    /// A connection of HTTP/1.
    H1(Rc<h1::wire::Wire>),
    /// A stream of HTTP/2.
    H2(Rc<h2::wire::Wire>),
}

impl Client {
    /// A client without a request.
    pub(super) fn new(worker: Rc<Worker>, peer: Peer, wire: Wire) -> Rc<Self> {
        let deadlines = worker.clock.deadlines();
        Rc::new(Self {
            worker,
            deadlines,
            peer,
            lease: RefCell::default(),
            granted: Granted::default(),
            body_is_wanted: Cell::default(),
            wire,
        })
    }

    /// What goes on when another protocol has its connection.
    pub(super) fn into_parts(self) -> (Rc<Worker>, Rc<Deadlines>, Granted) {
        (self.worker, self.deadlines, self.granted)
    }

    /// Passes a `103 Early Hints` on, before the response.
    pub(crate) fn hint(&self, headers: &Fields) {
        match &self.wire {
            Wire::H1(wire) => wire.hint(headers),
            Wire::H2(wire) => wire.hint(headers),
        }
    }

    /// Goes on with an upload while the client takes nothing of the response: no more of a response
    /// is taken that cannot be written, and the request's body moves only when that is asked for. A
    /// client that sends everything before it reads anything would wait for ever.
    pub(super) fn drive_upload(&self, cx: &mut Context<'_>) {
        if self.deadlines.is_set(Wait::Write)
            && let Some(lease) = &mut *self.lease.borrow_mut()
        {
            // Whoever reads the response is told that it broke off.
            let _ = lease.drive(cx);
        }
    }

    /// Asks whether what the request was let through with still holds.
    ///
    /// # Errors
    ///
    /// It does not; what the request would be answered now.
    pub(crate) fn check_grant(&self) -> Result<(), Reply> {
        self.granted.check(&self.worker, &self.deadlines)
    }

    /// Ends the connection with a reset: for a client that could take a proper end for the end of a
    /// body.
    pub(crate) fn reset_when_closed(&self) {
        match &self.wire {
            Wire::H1(wire) => wire.reset_when_closed(),
            // A stream says where it ends.
            Wire::H2(_) => {}
        }
    }

    /// Lets a tunnel take the connection over once the `101` is written.
    pub(crate) fn switch_to(&self, tunnel: Tunnel) {
        match &self.wire {
            Wire::H1(wire) => wire.switch_to(tunnel),
            // No request over HTTP/2 asks for one (RFC 9113, section 8.6).
            Wire::H2(_) => drop(tunnel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_displayed() {
        for text in ["0.0.0.0", "1.20.255.100", "127.0.0.1", "::1", "2001:db8::ff"] {
            assert_eq!(*text_of(text.parse().expect("an address")), *text);
        }
    }
}
