//! One request and its response.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http::header::DATE;
use http_body::{Body, Frame};
use http_body_util::Full;

use super::head::{Head, Refusal};
use super::input::ClientBody;
use super::response::{Asked, Encoder, WrongLength};
use crate::answer::Answer;
use crate::fields::Fields;
use crate::head::{RequestHead, ResponseHead};
use crate::observe::record::Record;
use crate::pipeline;
use crate::reply::{self, Cause, ErrorStyle, Reply};
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

/// Has a request answered, and writes the response; or answers what cannot become a head.
///
/// What is large is boxed until there is a response: an idle connection has none of it.
pub(crate) fn exchange(
    client: &Rc<Client>,
    head: Result<Bytes, Cause>,
) -> impl Future<Output = End> + use<'_> {
    client.begin();
    let pace = Pace::new(Wait::Write, &client.worker.served().plan.server);
    let read = head.map_err(Refusal::from).and_then(|head| read(client, &head));
    let begun = read.map(|(mut request, body, asked)| {
        (Box::pin(async move { pipeline::handle(client, &mut request, body).await }), asked)
    });
    async move {
        let end = match begun {
            Ok((handled, asked)) => answer(client, handled, asked, &pace).await,
            Err(refusal) => refuse(client, refusal, &pace).await,
        };
        client.end();
        end
    }
}

fn read(client: &Rc<Client>, head: &Bytes) -> Result<(RequestHead, ClientBody, Asked), Refusal> {
    let head = Head::parse(head, &client.worker.stock)?;
    let asked = Asked::by(&head);
    let body = if head.body.is_at_end() { ClientBody::none() } else { ClientBody::of(client) };
    client.input.borrow_mut().begin(head.body, head.expects_continue);
    Ok((head.request, body, asked))
}

/// Waits for the response, and writes it.
async fn answer(
    client: &Client,
    mut handled: Pin<Box<impl Future<Output = Answered>>>,
    asked: Asked,
    pace: &Pace,
) -> End {
    let mut writing = match poll_fn(|cx| poll_answered(client, handled.as_mut(), pace, cx)).await {
        Some((response, true)) => Writing::begin(client, pace, response, asked),
        Some((response, false)) => Writing::begin(client, pace, response, asked.last()),
        None => return End::Broken,
    };
    drop(handled);
    poll_fn(|cx| writing.poll_end(cx)).await
}

/// A response, and the body behind it.
type Answered = (ResponseHead, Answer);

/// Waits for the response, and says whether more of the request may be read then; none if the
/// client has left before.
fn poll_answered(
    client: &Client,
    handled: Pin<&mut impl Future<Output = Answered>>,
    pace: &Pace,
    cx: &mut Context<'_>,
) -> Poll<Option<(Answered, bool)>> {
    client.deadlines.watch(cx.waker());
    if let Poll::Ready(response) = handled.poll(cx) {
        return Poll::Ready(Some((response, client.drain(cx))));
    }
    // What is said before the response.
    if matches!(client.poll_flush(pace, cx), Poll::Ready(Err(_))) || client.poll_lost(cx) {
        return Poll::Ready(None);
    }
    Poll::Pending
}

/// The response cannot be written to its end.
struct Broken;

impl From<WrongLength> for Broken {
    fn from(_: WrongLength) -> Self {
        Self
    }
}

/// A response whose head is on its way.
struct Writing<'a> {
    client: &'a Client,
    pace: &'a Pace,
    encoder: Encoder,
    /// None once it has ended.
    body: Option<Answer>,
    /// Whether it ended too early.
    broken: bool,
    /// Whether the connection is no longer HTTP's behind it.
    switches: bool,
}

impl<'a> Writing<'a> {
    /// Writes the head.
    fn begin(client: &'a Client, pace: &'a Pace, (head, body): Answered, asked: Asked) -> Self {
        // Whoever waits to be told to send the body has its answer instead.
        client.input.borrow_mut().takes_continue();
        let encoder = Encoder::begin(client.output().bytes(), asked, &head, &body);
        client.worker.stock.give_back(head.headers);
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        Self { client, pace, encoder, body: Some(body), broken: false, switches }
    }

    /// Goes on until all is written, and says what follows.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let client = self.client;
        client.deadlines.watch(cx.waker());
        match self.poll(cx) {
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
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            if self.client.output.borrow().is_full() {
                ready!(self.poll_flush(cx))?;
            }
            let Some(body) = &mut self.body else {
                ready!(self.poll_flush(cx))?;
                return Poll::Ready(if self.broken { Err(Broken) } else { Ok(()) });
            };
            if self.encoder.is_done() {
                self.body = None;
                continue;
            }
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => self.take(frame)?,
                Poll::Pending => {
                    ready!(self.poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.client.poll_flush(self.pace, cx).map_err(|_| Broken)
    }

    fn take(
        &mut self,
        frame: Option<Result<Frame<Bytes>, impl std::error::Error>>,
    ) -> Result<(), Broken> {
        let output = &mut *self.client.output.borrow_mut();
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

/// Answers and records what is no request, which ends the connection.
async fn refuse(client: &Client, refusal: Refusal, pace: &Pace) -> End {
    tracing::debug!(peer = ?client.peer, cause = ?refusal.cause, "the connection broke");
    client.input.borrow_mut().give_up();
    write_refusal(client, refusal);
    let written = poll_fn(|cx| {
        client.deadlines.watch(cx.waker());
        match client.poll_flush(pace, cx) {
            Poll::Pending if client.deadlines.passed(Wait::Write) => Poll::Ready(false),
            polled => polled.map(|written| written.is_ok()),
        }
    });
    if written.await { End::Last } else { End::Broken }
}

fn write_refusal(client: &Client, refusal: Refusal) {
    let worker = Rc::clone(&client.worker);
    let request_id = worker.request_id();
    let asked = reply::Asked {
        style: &ErrorStyle::default(),
        headers: &Fields::new(),
        request_id: &request_id.value(),
    };
    let (mut head, body) = Reply::closing(refusal.cause).response(asked, worker.stock.empty());
    head.headers.append(DATE, worker.date());
    let served = worker.served();
    let request = refusal.asked.map(|asked| *asked);
    let peer = client.peer_value.clone();
    let mut record = Record::begin(worker, served, request, request_id, peer);
    record.status = Some(head.status);
    record.add_bytes(body.len() as u64);
    let mut output = client.output();
    let whole = Full::new(body.clone());
    Encoder::begin(output.bytes(), Asked::by_nobody(), &head, &whole);
    output.push(body, b"");
}
