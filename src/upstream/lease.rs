//! A connection that belongs to one request.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method};
use http_body::Frame;

use super::address::Address;
use super::connection::{Broken, Connection, Said};
use super::limit::Place;
use crate::forward::body::RequestBody;
use crate::forward::headers::Framing;
use crate::http1::stock::Stock;
use crate::plan::Upstream;
use crate::socket::Socket;

/// A connection that belongs to one request. One that is dropped half-way is closed.
pub(crate) struct Lease {
    connection: Box<Connection>,
    slot: Slot,
    is_reused: bool,
}

/// A request's place in the count of its address, and among those that the upstream has at a time.
pub(crate) struct Slot {
    address: Rc<Address>,
    _place: Option<Place>,
}

impl Slot {
    /// Takes a place in the count.
    pub(super) fn take(address: Rc<Address>, place: Option<Place>) -> Self {
        address.count(1);
        Self { address, _place: place }
    }

    /// Goes on with another address.
    pub(super) fn move_to(&mut self, address: Rc<Address>) {
        address.count(1);
        std::mem::replace(&mut self.address, address).count(-1);
    }

    /// Where the request goes.
    pub(super) fn address(&self) -> &Rc<Address> {
        &self.address
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.address.count(-1);
    }
}

impl Lease {
    /// A connection for the request that has this place.
    pub(super) fn new(connection: Box<Connection>, slot: Slot, is_reused: bool) -> Self {
        Self { connection, slot, is_reused }
    }

    /// What the operator wrote about the upstream.
    pub(crate) fn upstream(&self) -> &Upstream {
        self.slot.address.upstream()
    }

    /// The `Host` of the address itself.
    pub(crate) fn own_host(&self) -> &HeaderValue {
        self.slot.address.own_host()
    }

    /// Whether it has carried a request before: only then can the upstream have closed it
    /// meanwhile.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Begins a request; polling for what the upstream says sends it.
    pub(crate) fn send(
        &mut self,
        asked: Method,
        write_head: impl FnOnce(&mut Vec<u8>),
        body: RequestBody,
        framing: Framing,
    ) {
        self.connection.send(asked, write_head, body, framing);
    }

    /// Goes on with the request.
    ///
    /// # Errors
    /// It cannot be sent to its end.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        self.connection.drive(cx)
    }

    /// Goes on with the request, and takes what the upstream says to it.
    pub(crate) fn poll_said(
        &mut self,
        cx: &mut Context<'_>,
        stock: &Stock,
    ) -> Poll<Result<Said, Broken>> {
        self.connection.poll_said(cx, stock)
    }

    /// Goes on with the request, and takes the next piece of the response's body.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.connection.poll_frame(cx)
    }

    /// How much of the response's body is left, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.connection.left()
    }

    /// Whether the upstream has said anything to the request.
    pub(crate) fn has_said(&self) -> bool {
        self.connection.has_said()
    }

    /// The request's body, if nothing of the request has gone out.
    pub(crate) fn take_back(&mut self) -> Option<RequestBody> {
        self.connection.take_back()
    }

    /// Where the request goes.
    pub(crate) fn address(&self) -> &Rc<Address> {
        &self.slot.address
    }

    /// Counts that the upstream gave no response.
    pub(crate) fn failed(&self) {
        self.slot.address.failed();
    }

    /// Says that a request got no usable response.
    pub(crate) fn complain(&self, error: &str) {
        self.slot.address.complain(error);
    }

    /// Returns the connection for the next request, if it can carry one.
    pub(crate) fn give_back(self) {
        let Self { mut connection, slot, .. } = self;
        if connection.is_free() {
            connection.shrink();
            slot.address.put_back(connection);
        }
    }

    /// Takes the stream out of a connection that has switched protocols, with the bytes that came
    /// after the response's head, and the place that it goes on taking.
    pub(crate) fn into_stream(self) -> (Socket, Bytes, Slot) {
        let (socket, early) = self.connection.into_stream();
        (socket, early, self.slot)
    }
}
