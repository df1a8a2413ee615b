//! A connection that belongs to one request, or its place on one that many share.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderValue;
use http_body::Frame;

use super::address::Address;
use super::connection::{Broken, Connection, Said};
use super::h2::{self, stream::Stream};
use super::limit::Place;
use crate::forward::body::RequestBody;
use crate::forward::headers::{Outgoing, write_head};
use crate::http1::stock::Stock;
use crate::plan::Upstream;
use crate::socket::Socket;

/// A connection that belongs to one request, or a stream on one that many share. One that is
/// dropped half-way is closed, or reset.
pub(crate) struct Lease {
    way: Way,
    slot: Slot,
    is_reused: bool,
}

/// How a request reaches its upstream. Both are boxed, so that they are not copied when they change
/// hands.
pub(super) enum Way {
    /// Over HTTP/1, alone.
    Connection(Box<Connection>),
    /// Over HTTP/2, beside others.
    Stream(Box<Stream>),
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
    /// A way for the request that has this place; a connection may have been kept for it.
    pub(super) fn new(way: Way, slot: Slot, was_kept: bool) -> Self {
        // What becomes of a shared connection is said to each of its streams.
        let is_reused = was_kept && matches!(way, Way::Connection(_));
        Self { way, slot, is_reused }
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
    pub(crate) fn send(&mut self, outgoing: &Outgoing<'_>, body: RequestBody) {
        let Outgoing { head, host, passage, .. } = *outgoing;
        let framing = passage.framing;
        match &mut self.way {
            Way::Connection(connection) => {
                let write = |out: &mut Vec<u8>| write_head(out, head, host, passage);
                connection.send(head.method.clone(), write, body, framing);
            }
            Way::Stream(stream) => {
                let request = h2::head::request(outgoing, self.slot.address.scheme());
                stream.send(request.map_err(Broken::Malformed), body, framing);
            }
        }
    }

    /// Goes on with the request.
    ///
    /// # Errors
    /// It cannot be sent to its end.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        match &mut self.way {
            Way::Connection(connection) => connection.drive(cx),
            Way::Stream(stream) => stream.drive(cx),
        }
    }

    /// Goes on with the request, and takes what the upstream says to it.
    pub(crate) fn poll_said(
        &mut self,
        cx: &mut Context<'_>,
        stock: &Stock,
    ) -> Poll<Result<Said, Broken>> {
        match &mut self.way {
            Way::Connection(connection) => connection.poll_said(cx, stock),
            Way::Stream(stream) => stream.poll_said(cx, stock),
        }
    }

    /// Goes on with the request, and takes the next piece of the response's body.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.way {
            Way::Connection(connection) => connection.poll_frame(cx),
            Way::Stream(stream) => stream.poll_frame(cx),
        }
    }

    /// How much of the response's body is left, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match &self.way {
            Way::Connection(connection) => connection.left(),
            Way::Stream(stream) => stream.left(),
        }
    }

    /// Whether the upstream has said anything to the request.
    pub(crate) fn has_said(&self) -> bool {
        match &self.way {
            Way::Connection(connection) => connection.has_said(),
            Way::Stream(stream) => stream.has_said(),
        }
    }

    /// The request's body, if the upstream cannot have done anything about the request: nothing of
    /// it has gone out, or the upstream says so.
    pub(crate) fn take_back(&mut self) -> Option<RequestBody> {
        match &mut self.way {
            Way::Connection(connection) => connection.take_back(),
            Way::Stream(stream) => stream.take_back(),
        }
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
        let Self { way, slot, .. } = self;
        if let Way::Connection(mut connection) = way
            && connection.is_free()
        {
            connection.shrink();
            slot.address.put_back(connection);
        }
    }

    /// Takes the stream out of a connection that has switched protocols, with the bytes that came
    /// after the response's head, and the place that it goes on taking; a stream of HTTP/2 switches
    /// to nothing.
    pub(crate) fn into_stream(self) -> Option<(Socket, Bytes, Slot)> {
        let Way::Connection(connection) = self.way else { return None };
        let (socket, early) = connection.into_stream();
        Some((socket, early, self.slot))
    }
}
