//! A stream of HTTP/2, as whoever answers its request knows it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Context;

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::{Response, StatusCode};

use super::meter::Meter;
use super::response;
use crate::fields::Fields;
use crate::forward;
use crate::server::MAX_HINTS;

/// A stream, shared by who reads the request's body and who writes the response.
pub(crate) struct Wire {
    respond: RefCell<SendResponse<Bytes>>,
    meter: Rc<Meter>,
    /// Whether the client waits to be told to send the body.
    waits_to_continue: Cell<bool>,
    /// How many bytes of informational responses were sent.
    hinted: Cell<usize>,
}

impl Wire {
    /// A stream on which a request has come.
    pub(super) fn new(respond: SendResponse<Bytes>, meter: &Rc<Meter>) -> Rc<Self> {
        Rc::new(Self {
            respond: RefCell::new(respond),
            meter: Rc::clone(meter),
            waits_to_continue: Cell::default(),
            hinted: Cell::default(),
        })
    }

    /// The client waits to be told to send the body.
    pub(super) fn await_continue(&self) {
        self.waits_to_continue.set(true);
    }

    /// Tells a client to send the body that waits for that.
    pub(super) fn say_continue(&self) {
        if self.waits_to_continue.take() {
            self.inform(StatusCode::CONTINUE, &Fields::new());
        }
    }

    /// Passes a `103 Early Hints` on, before the response.
    pub(in crate::server) fn hint(&self, headers: &Fields) {
        let hints: Fields = forward::headers::hints(headers)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let size = hints.iter().map(|(name, value)| name.as_str().len() + value.len());
        let hinted = self.hinted.get() + size.sum::<usize>();
        if hinted <= MAX_HINTS {
            self.hinted.set(hinted);
            self.inform(StatusCode::EARLY_HINTS, &hints);
        }
    }

    fn inform(&self, status: StatusCode, fields: &Fields) {
        let response = response::bare(status, response::map_of(fields));
        // Whoever reads the stream is told that it has ended.
        let _ = self.respond.borrow_mut().send_informational(response);
    }

    /// Begins the response.
    ///
    /// # Errors
    /// The stream has ended.
    pub(super) fn respond(
        &self,
        response: Response<()>,
        is_all: bool,
    ) -> Result<SendStream<Bytes>, h2::Error> {
        self.waits_to_continue.set(false);
        self.respond.borrow_mut().send_response(response, is_all)
    }

    /// Whether nobody waits for the response any more.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> bool {
        self.respond.borrow_mut().poll_reset(cx).is_ready()
    }

    /// How often what streams had to say was sent.
    pub(super) fn rounds(&self) -> u64 {
        self.meter.rounds()
    }

    /// A piece of the response goes out.
    pub(super) fn earn(&self) {
        self.meter.earn();
    }
}
