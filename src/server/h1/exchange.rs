//! One request and its response.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};

use super::head::{Head, Refusal};
use super::input::ClientBody;
use super::output::Output;
use super::response::{Asked, Encoder, WrongLength};
use crate::answer::Answer;
use crate::head::RequestHead;
use crate::pipeline::{self, Answered, Outcome};
use crate::reply::Cause;
use crate::server::clock::Wait;
use crate::server::connection::Client;
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
    client: &'a Client,
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
    client: &'a Rc<Client>,
    head: Result<Bytes, Cause>,
    cx: &mut Context<'_>,
) -> Exchange<'a, impl Future<Output = Answered> + use<'a>> {
    client.begin();
    let at = match head.map_err(Refusal::from).and_then(|head| read(client, &head)) {
        Ok((request, body, asked)) => match pipeline::handle(client, request, body) {
            Outcome::Decided(answered) => At::Writing(write(client, answered, asked, cx)),
            Outcome::Waits(future) => At::Waiting(future, asked),
        },
        Err(refusal) => {
            tracing::debug!(peer = ?client.peer, cause = ?refusal.cause, "the connection broke");
            client.input.borrow_mut().give_up();
            let answered = pipeline::refuse(client, refusal);
            At::Writing(Writing::begin(client, answered, Asked::by_nobody()))
        }
    };
    Exchange { client, pace: Pace::new(Wait::Write, &client.worker.served().plan.server), at }
}

fn read(client: &Rc<Client>, head: &Bytes) -> Result<(RequestHead, ClientBody, Asked), Refusal> {
    let head = Head::parse(head, &client.worker.stock)?;
    let asked = Asked::by(&head);
    let body = if head.body.is_at_end() { ClientBody::none() } else { ClientBody::of(client) };
    client.input.borrow_mut().begin(head.body, head.expects_continue);
    Ok((head.request, body, asked))
}

/// Begins to write a response, after which another request may come if all of this one has.
fn write(client: &Client, answered: Answered, asked: Asked, cx: &mut Context<'_>) -> Writing {
    let asked = if client.drain(cx) { asked } else { asked.last() };
    Writing::begin(client, answered, asked)
}

impl<F: Future<Output = Answered>> Exchange<'_, F> {
    /// Goes on until all is written, and says what follows.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.client.deadlines.watch(cx.waker());
        let end = loop {
            match &mut self.at {
                At::Waiting(future, asked) => match future.as_mut().poll(cx) {
                    Poll::Ready(answered) => {
                        self.at = At::Writing(write(self.client, answered, *asked, cx));
                    }
                    Poll::Pending if self.is_lost(cx) => break End::Broken,
                    Poll::Pending => return Poll::Pending,
                },
                At::Writing(writing) => match writing.poll_end(self.client, &self.pace, cx) {
                    Poll::Ready(end) => break end,
                    // What is complete goes out; what goes on ends with its key.
                    Poll::Pending if self.client.check_grant().is_err() => {
                        tracing::debug!("a response ends with the key that it was asked for with");
                        // Not every client could tell otherwise that this was not all.
                        self.client.reset_when_closed();
                        break End::Broken;
                    }
                    Poll::Pending => return Poll::Pending,
                },
            }
        };
        self.client.end();
        Poll::Ready(end)
    }

    /// Writes what is said before the response, and says whether there is nobody to read on.
    fn is_lost(&self, cx: &mut Context<'_>) -> bool {
        let flushed = self.client.poll_flush(&self.pace, cx);
        matches!(flushed, Poll::Ready(Err(_))) || self.client.poll_lost(cx)
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
    fn begin(client: &Client, (head, body): Answered, asked: Asked) -> Self {
        // Whoever waits to be told to send the body has its answer instead.
        client.input.borrow_mut().takes_continue();
        let encoder = Encoder::begin(client.output().bytes(), asked, &head, &body);
        client.worker.stock.give_back(head.headers);
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        Self { encoder, body: Some(body), broken: false, switches }
    }

    /// Goes on until all is written, and says what follows.
    fn poll_end(&mut self, client: &Client, pace: &Pace, cx: &mut Context<'_>) -> Poll<End> {
        match self.poll(client, pace, cx) {
            Poll::Ready(Err(Broken)) => Poll::Ready(End::Broken),
            Poll::Ready(Ok(())) if self.switches => Poll::Ready(End::Switched),
            Poll::Ready(Ok(())) => {
                client.drain(cx);
                let goes_on = self.encoder.keeps_open && client.input.borrow().is_done();
                Poll::Ready(if goes_on { End::Next } else { End::Last })
            }
            Poll::Pending => {
                client.drive_upload(cx);
                if client.poll_lost(cx) { Poll::Ready(End::Broken) } else { Poll::Pending }
            }
        }
    }

    /// Writes as much as there is, and as the client takes. Small pieces that come together go out
    /// together, and nothing waits for more to come.
    fn poll(
        &mut self,
        client: &Client,
        pace: &Pace,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            if client.output.borrow().is_full() {
                ready!(client.poll_flush(pace, cx))?;
            }
            let Some(body) = &mut self.body else {
                ready!(client.poll_flush(pace, cx))?;
                return Poll::Ready(if self.broken { Err(Broken) } else { Ok(()) });
            };
            if self.encoder.is_done() {
                self.body = None;
                continue;
            }
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => self.take(&mut client.output.borrow_mut(), frame)?,
                Poll::Pending => {
                    ready!(client.poll_flush(pace, cx))?;
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
