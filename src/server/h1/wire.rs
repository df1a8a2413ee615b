//! A connection of HTTP/1: its socket, what came over it, and what is to go out.

use std::cell::{RefCell, RefMut};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::input::Input;
use super::output::Output;
use crate::fields::Fields;
use crate::forward;
use crate::http1::field_line;
use crate::server::MAX_HINTS;
use crate::server::clock::{Deadlines, Wait};
use crate::server::pace::Pace;
use crate::server::tunnel::Tunnel;
use crate::server::worker::Worker;
use crate::socket::Socket;

/// A connection of HTTP/1, shared by who reads a request's body and who writes the response.
pub(crate) struct Wire {
    worker: Rc<Worker>,
    /// The connection itself.
    pub(super) socket: RefCell<Socket>,
    /// What came over it.
    pub(super) input: RefCell<Input>,
    /// What is to go out over it.
    pub(super) output: RefCell<Output>,
    /// What takes the place of HTTP after a `101`; large, and seldom there.
    pub(super) tunnel: RefCell<Option<Box<Tunnel>>>,
}

impl Wire {
    /// A connection over which nothing has come.
    pub(super) fn new(worker: Rc<Worker>, socket: Socket) -> Rc<Self> {
        Rc::new(Self {
            worker,
            socket: RefCell::new(socket),
            input: RefCell::new(Input::new()),
            output: RefCell::default(),
            tunnel: RefCell::default(),
        })
    }

    /// Where to append what goes out.
    pub(super) fn output(&self) -> RefMut<'_, Output> {
        let mut output = self.output.borrow_mut();
        output.reuse(|| self.worker.empty_room());
        output
    }

    /// Keeps no memory that only a request needed.
    pub(super) fn rest(&self) {
        self.input.borrow_mut().rest();
        self.output.borrow_mut().give_back(|room| self.worker.recycle_room(room));
    }

    /// Writes everything that is to go out. Bounds how long the client may leave no room for it:
    /// only bytes that it takes end the wait.
    pub(super) fn poll_flush(
        &self,
        deadlines: &Deadlines,
        pace: &Pace,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut output = self.output.borrow_mut();
        while !output.is_empty() {
            match output.poll_write(&mut self.socket.borrow_mut(), cx)? {
                Poll::Ready(count) => pace.moved(deadlines, count),
                Poll::Pending => {
                    pace.waits(deadlines);
                    return Poll::Pending;
                }
            }
        }
        let flushed = Pin::new(&mut *self.socket.borrow_mut()).poll_flush(cx);
        match &flushed {
            Poll::Pending => pace.waits(deadlines),
            // What was held back was counted when it was taken.
            Poll::Ready(_) if deadlines.is_set(Wait::Write) => pace.moved(deadlines, 0),
            Poll::Ready(_) => {}
        }
        flushed
    }

    /// Reads what has come of a body that nobody wants; says whether to read on.
    pub(super) fn drain(&self, cx: &mut Context<'_>) -> bool {
        let mut input = self.input.borrow_mut();
        input.is_whole() || input.drain(&mut self.socket.borrow_mut(), cx)
    }

    /// Tells the client to send the body.
    pub(super) fn say_continue(&self) {
        self.output().bytes().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Passes a `103 Early Hints` on, before the response.
    pub(in crate::server) fn hint(&self, headers: &Fields) {
        let mut output = self.output();
        let out = output.bytes();
        let start = out.len();
        out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
        field_line::write_all(out, forward::headers::hints(headers));
        out.extend_from_slice(b"\r\n");
        if out.len() > MAX_HINTS {
            out.truncate(start);
        }
    }

    /// Ends the connection with a reset.
    pub(in crate::server) fn reset_when_closed(&self) {
        self.socket.borrow_mut().reset_when_closed();
    }

    /// Lets a tunnel take the connection over once the `101` is written.
    pub(in crate::server) fn switch_to(&self, tunnel: Tunnel) {
        *self.tunnel.borrow_mut() = Some(Box::new(tunnel));
    }
}
