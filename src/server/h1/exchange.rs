//! One request and its response.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};

use super::connection::Connection;
use super::head::{Head, Refusal};
use super::input::Incoming;
use super::output::Output;
use super::response::{Asked, Encoder, WrongLength};
use crate::answer::Answer;
use crate::head::RequestHead;
use crate::pipeline::{self, Answered, Outcome};
use crate::reply::Cause;
use crate::server::body::ClientBody;
use crate::server::clock::Wait;
use crate::server::pace::Pace;

/// What follows an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Another request may come.
    Next,
    /// Everything was written, and nothing more may come.
    Last,
    /// The client left or took too long, or the response broke off.
    Broken,
    /// The `101` was written; what follows is no HTTP.
    Switched,
}

/// One request and its response, as far as they have come.
///
/// What is large is boxed until there is a response: an idle connection has none of it.
pub(crate) struct Exchange<'a, F> {
    connection: &'a Connection,
    pace: Pace,
    at: At<F>,
}

enum At<F> {
    /// The response is waited for.
    Waiting(Pin<Box<F>>, Asked),
    /// The response is being written.
    Writing(Writing),
}

/// Has a request answered; or answers what cannot become a head.
pub(crate) fn begin<'a>(
    connection: &'a Connection,
    head: Result<Bytes, Cause>,
    cx: &mut Context<'_>,
) -> Exchange<'a, impl Future<Output = Answered> + use<'a>> {
    connection.begin();
    let client = &connection.client;
    let at = match head.map_err(Refusal::from).and_then(|head| read(connection, &head)) {
        Ok((request, body, asked)) => match pipeline::handle(client, request, body) {
            Outcome::Decided(answered) => At::Writing(write(connection, answered, asked, cx)),
            Outcome::Waits(future) => At::Waiting(future, asked),
        },
        Err(refusal) => {
            tracing::debug!(peer = ?client.peer.address, cause = ?refusal.cause, "the connection broke");
            connection.wire.input.borrow_mut().give_up();
            let answered = pipeline::refuse(client, refusal);
            At::Writing(Writing::begin(connection, answered, Asked::by_nobody()))
        }
    };
    Exchange { connection, pace: Pace::new(Wait::Write, &client.worker.served().plan.server), at }
}

fn read(
    Connection { client, wire }: &Connection,
    head: &Bytes,
) -> Result<(RequestHead, ClientBody, Asked), Refusal> {
    let head = Head::parse(head, &client.worker.stock)?;
    let asked = Asked::by(&head);
    let body = match head.body.is_at_end() {
        true => ClientBody::None,
        false => ClientBody::H1(Incoming::of(wire)),
    };
    wire.input.borrow_mut().begin(head.body, head.expects_continue);
    Ok((head.request, body, asked))
}

/// Begins to write a response, after which another request may come if all of this one has.
fn write(
    connection: &Connection,
    answered: Answered,
    asked: Asked,
    cx: &mut Context<'_>,
) -> Writing {
    let asked = if connection.wire.drain(cx) { asked } else { asked.last() };
    Writing::begin(connection, answered, asked)
}

impl<F: Future<Output = Answered>> Exchange<'_, F> {
    /// Goes on until all is written, and says what follows.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let client = &self.connection.client;
        client.deadlines.watch(cx.waker());
        let end = loop {
            match &mut self.at {
                At::Waiting(future, asked) => match future.as_mut().poll(cx) {
                    Poll::Ready(answered) => {
                        self.at = At::Writing(write(self.connection, answered, *asked, cx));
                    }
                    Poll::Pending if self.is_lost(cx) => break End::Broken,
                    Poll::Pending => return Poll::Pending,
                },
                At::Writing(writing) => match writing.poll_end(self.connection, &self.pace, cx) {
                    Poll::Ready(end) => break end,
                    // What is complete goes out; what goes on ends with its key.
                    Poll::Pending if client.check_grant().is_err() => {
                        tracing::debug!("a response ends with the key that it was asked for with");
                        // Not every client could tell otherwise that this was not all.
                        client.reset_when_closed();
                        break End::Broken;
                    }
                    Poll::Pending => return Poll::Pending,
                },
            }
        };
        self.connection.end();
        Poll::Ready(end)
    }

    /// Writes what is said before the response, and says whether there is nobody to read on.
    fn is_lost(&self, cx: &mut Context<'_>) -> bool {
        let Connection { client, wire } = self.connection;
        let flushed = wire.poll_flush(&client.deadlines, &self.pace, cx);
        matches!(flushed, Poll::Ready(Err(_))) || self.connection.poll_lost(cx)
    }
}

/// The response cannot be written to its end.
struct Broken;

impl From<WrongLength> for Broken {
    fn from(_: WrongLength) -> Self {
        Self
    }
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// A response whose head is on its way.
struct Writing {
    encoder: Encoder,
    /// None once it has ended.
    body: Option<Answer>,
    /// Whether it ended too early.
    broken: bool,
    /// Whether the connection is no longer HTTP's behind it.
    switches: bool,
}

impl Writing {
    /// Writes the head.
    fn begin(
        Connection { client, wire }: &Connection,
        (head, body): Answered,
        asked: Asked,
    ) -> Self {
        // Whoever waits to be told to send the body has its answer instead.
        wire.input.borrow_mut().takes_continue();
        let encoder = Encoder::begin(wire.output().bytes(), asked, &head, &body);
        client.worker.stock.give_back(head.headers);
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        Self { encoder, body: Some(body), broken: false, switches }
    }

    /// Goes on until all is written, and says what follows.
    fn poll_end(
        &mut self,
        connection: &Connection,
        pace: &Pace,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        let wire = &connection.wire;
        match self.poll(connection, pace, cx) {
            Poll::Ready(Err(Broken)) => Poll::Ready(End::Broken),
            Poll::Ready(Ok(())) if self.switches => Poll::Ready(End::Switched),
            Poll::Ready(Ok(())) => {
                wire.drain(cx);
                let goes_on = self.encoder.keeps_open && wire.input.borrow().is_done();
                Poll::Ready(if goes_on { End::Next } else { End::Last })
            }
            Poll::Pending => {
                connection.client.drive_upload(cx);
                if connection.poll_lost(cx) { Poll::Ready(End::Broken) } else { Poll::Pending }
            }
        }
    }

    /// Writes as much as there is, and as the client takes. Small pieces that come together go out
    /// together, and nothing waits for more to come.
    fn poll(
        &mut self,
        Connection { client, wire }: &Connection,
        pace: &Pace,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        let deadlines = &client.deadlines;
        loop {
            if wire.output.borrow().is_full() {
                ready!(wire.poll_flush(deadlines, pace, cx))?;
            }
            let Some(body) = &mut self.body else {
                ready!(wire.poll_flush(deadlines, pace, cx))?;
                return Poll::Ready(if self.broken { Err(Broken) } else { Ok(()) });
            };
            if self.encoder.is_done() {
                self.body = None;
                continue;
            }
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => self.take(&mut wire.output.borrow_mut(), frame)?,
                Poll::Pending => {
                    ready!(wire.poll_flush(deadlines, pace, cx))?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn take(
        &mut self,
        output: &mut Output,
        frame: Option<Result<Frame<Bytes>, impl std::error::Error>>,
    ) -> Result<(), Broken> {
        let frame = match frame {
            Some(Ok(frame)) => frame,
            // What came before goes out, and then the connection ends in the middle of the body.
            Some(Err(_)) => {
                self.broken = true;
                self.body = None;
                return Ok(());
            }
            None => {
                self.body = None;
                return Ok(self.encoder.end(output)?);
            }
        };
        match frame.into_data() {
            Ok(data) => {
                self.encoder.piece(output, data)?;
                if self.body.as_ref().is_some_and(Body::is_end_stream) {
                    self.body = None;
                    self.encoder.end(output)?;
                }
            }
            Err(frame) => {
                self.body = None;
                self.encoder.end_with(output, frame.trailers_ref())?;
            }
        }
        Ok(())
    }
}
