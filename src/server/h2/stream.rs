//! One request over HTTP/2, and its response.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::Method;
use http_body::{Body, Frame};

use super::response;
use super::wire::Wire;
use crate::answer::Answer;
use crate::head::RequestHead;
use crate::pipeline::{self, Answered, Outcome};
use crate::server::body::ClientBody;
use crate::server::client::Client;
use crate::server::clock::Wait;
use crate::server::h1::head::Refusal;
use crate::server::pace::Pace;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With all of a response.
    Answered,
    /// The client did not wait for it.
    Left,
    /// The response broke off, or the client took too long.
    Broken,
}

/// Answers one request; or what cannot become one.
pub(super) async fn serve(
    client: Rc<Client>,
    wire: Rc<Wire>,
    request: Result<(RequestHead, ClientBody), Refusal>,
) -> End {
    let (asked, answered) = match request {
        Ok((head, body)) => (head.method.clone(), answer(&client, &wire, head, body).await),
        Err(refusal) => (Method::GET, Some(pipeline::refuse(&client, refusal))),
    };
    match answered {
        None => End::Left,
        Some(answered) => write(&client, &wire, answered, &asked).await,
    }
}

/// Waits for the answer; none: the client has left meanwhile.
async fn answer(
    client: &Rc<Client>,
    wire: &Wire,
    head: RequestHead,
    body: ClientBody,
) -> Option<Answered> {
    let mut future = match pipeline::handle(client, head, body) {
        Outcome::Decided(answered) => return Some(answered),
        Outcome::Waits(future) => future,
    };
    poll_fn(|cx| {
        client.deadlines.watch(cx.waker());
        match future.as_mut().poll(cx) {
            Poll::Ready(answered) => Poll::Ready(Some(answered)),
            Poll::Pending if wire.poll_gone(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn write(client: &Client, wire: &Wire, (head, body): Answered, asked: &Method) -> End {
    let (response, is_all) = response::write(&head, asked, &body);
    client.worker.stock.give_back(head.headers);
    let Ok(stream) = wire.respond(response, is_all) else { return End::Left };
    if is_all {
        return End::Answered;
    }
    let pace = Pace::new(Wait::Write, &client.worker.served().plan.server);
    let mut writing =
        Writing { client, wire, stream, body, piece: Bytes::new(), pace, broken: None };
    poll_fn(|cx| writing.poll(cx)).await
}

/// A response whose head is on its way.
struct Writing<'a> {
    client: &'a Client,
    wire: &'a Wire,
    stream: SendStream<Bytes>,
    body: Answer,
    /// What was taken of the body, and for which there is no window yet.
    piece: Bytes,
    pace: Pace,
    /// The round of the connection in which the body broke off.
    broken: Option<u64>,
}

impl Writing<'_> {
    /// Goes on until all is sent. One piece is taken ahead, so that the end is seen with the last.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.client.deadlines.watch(cx.waker());
        if let Some(round) = self.broken {
            return self.poll_break_off(round, cx);
        }
        loop {
            let step = match self.piece.is_empty() {
                true => self.poll_take(cx),
                false => self.poll_send(cx),
            };
            match step {
                Poll::Ready(None) => {}
                Poll::Ready(Some(end)) => return Poll::Ready(end),
                Poll::Pending if self.client.check_grant().is_err() => {
                    tracing::debug!("a response ends with the key that it was asked for with");
                    return Poll::Ready(self.break_off(Reason::CANCEL));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes the next piece of the body, or ends the stream with it.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => self.take(frame),
            Poll::Ready(None) => {
                let sent = self.stream.send_data(Bytes::new(), true);
                Poll::Ready(Some(ended(&sent)))
            }
            Poll::Ready(Some(Err(_))) => {
                let round = self.wire.rounds();
                self.broken = Some(round);
                self.poll_break_off(round, cx).map(Some)
            }
            Poll::Pending if self.stream.poll_reset(cx).is_ready() => Poll::Ready(Some(End::Left)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Poll<Option<End>> {
        match frame.into_data() {
            Ok(data) => {
                self.stream.reserve_capacity(data.len());
                self.piece = data;
                Poll::Ready(None)
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                let sent = self.stream.send_trailers(trailers);
                Poll::Ready(Some(ended(&sent)))
            }
        }
    }

    /// Sends as much as the client takes. Bounds how long it may take nothing.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        let (client, deadlines) = (self.client, &self.client.deadlines);
        let room = self.stream.capacity();
        if room > 0 {
            self.pace.moved(deadlines, room.min(self.piece.len()));
            self.wire.earn();
            let part = self.piece.split_to(room.min(self.piece.len()));
            let is_last = self.piece.is_empty() && self.body.is_end_stream();
            let sent = self.stream.send_data(part, is_last);
            return match sent {
                Ok(()) if !is_last => Poll::Ready(None),
                sent => Poll::Ready(Some(ended(&sent))),
            };
        }
        match self.stream.poll_capacity(cx) {
            Poll::Ready(Some(Ok(_))) => Poll::Ready(None),
            Poll::Ready(_) => Poll::Ready(Some(End::Left)),
            Poll::Pending if deadlines.passed(Wait::Write) => {
                Poll::Ready(Some(self.break_off(Reason::CANCEL)))
            }
            Poll::Pending => {
                self.pace.waits(deadlines);
                client.drive_upload(cx);
                Poll::Pending
            }
        }
    }
    /// Breaks off when what came before has been sent: a reset takes along what waits to be.
    fn poll_break_off(&mut self, round: u64, cx: &mut Context<'_>) -> Poll<End> {
        if self.wire.rounds() > round {
            return Poll::Ready(self.break_off(Reason::INTERNAL_ERROR));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ends the stream so that the client sees that this was not all.
    fn break_off(&mut self, reason: Reason) -> End {
        self.stream.send_reset(reason);
        End::Broken
    }
}

/// How a stream ended whose end was sent, or could not be.
fn ended(sent: &Result<(), h2::Error>) -> End {
    if sent.is_ok() { End::Answered } else { End::Left }
}
