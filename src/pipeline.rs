//! One request from start to finish. Every request comes through here, upgrades included, and the
//! order of the lines is the order of the world.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{CONNECTION, DATE};
use http::{HeaderValue, Method, StatusCode};

use crate::answer::Answer;
use crate::decide::{Admitted, Arrival, decide};
use crate::fields::Fields;
use crate::forward::headers::identity;
use crate::forward::{self, Rest};
use crate::head::{RequestHead, ResponseHead};
use crate::observe::record::Record;
use crate::observe::request_id::RequestId;
use crate::plan::InFlight;
use crate::plugin::Names;
use crate::reply::{Asked, Cause, Reply};
use crate::server::body::ClientBody;
use crate::server::client::Client;
use crate::server::h1::head::Refusal;
use crate::server::tunnel::Tunnel;
use crate::server::worker::{Served, Worker};

/// What comes of a request.
pub(crate) enum Outcome<F> {
    /// It was decided from what is in memory, and is over but for the writing.
    Decided(Answered),
    /// An upstream is asked, or a pause is held.
    Waits(Pin<Box<F>>),
}

/// A response, and the body behind it.
pub(crate) type Answered = (ResponseHead, Answer);

/// Answers one request; at once, if nothing has to be waited for: a future and its record in
/// memory of their own take 900 instructions, of the 11,600 that a 401 took with them.
///
/// What is large and seldom needed is boxed here and below, and nothing is kept twice: this future
/// is made for every request that goes on, and above a kilobyte the allocator has to search for
/// memory.
pub(crate) fn handle<'a>(
    client: &'a Rc<Client>,
    mut head: RequestHead,
    body: ClientBody,
) -> Outcome<impl Future<Output = Answered> + use<'a>> {
    let worker = &client.worker;
    let served = worker.served();
    let trusted = served.plan.trusted.trusts(client.peer.address);
    let mut record = Record::begin(
        Rc::clone(worker),
        Rc::clone(&served),
        request_id(worker, &head.headers, trusted),
        client.peer.text.clone(),
    );
    record.traced(&mut head, &client.peer, trusted);
    match admit(client, &served, &mut head, &mut record) {
        Err(reply) if reply.pause.is_none() => {
            let answered = answer(reply, worker, &served, &mut head, &mut record);
            record.asked = Some(head.into_asked());
            Outcome::Decided(answered)
        }
        decided => {
            record.asked = Some(head.asked());
            // Boxed, because it goes through many hands.
            let record = Box::new(record);
            Outcome::Waits(Box::pin(wait(client, served, head, body, decided, record)))
        }
    }
}

/// Forwards what was admitted, and holds the pause before a reply.
#[expect(clippy::manual_async_fn, reason = "the future of an async fn holds its arguments twice")]
fn wait<'a>(
    client: &'a Rc<Client>,
    served: Rc<Served>,
    mut head: RequestHead,
    body: ClientBody,
    decided: Result<Admitted, Reply>,
    mut record: Box<Record>,
) -> impl Future<Output = Answered> + use<'a> {
    async move {
        let passed = match decided {
            Ok(ref admitted) => {
                if let Some(span) = record.span() {
                    span.correct(record.key.is_some(), &mut head.headers);
                }
                match forward::send(client, &served, &head, body, admitted, &mut record).await {
                    Ok((response, rest)) => {
                        Ok((pass(&served, &head, admitted, response, &mut record), rest))
                    }
                    Err(reply) => Err(reply),
                }
            }
            Err(reply) => {
                // What strangers wait for must not keep others out. Who leaves meanwhile was
                // refused all the same.
                record.places.clear();
                record.result = reply.cause.code();
                Err(pause(reply, &client.worker).await)
            }
        };
        let worker = &client.worker;
        match passed {
            Ok((response, Rest::Body(body))) => {
                (finish(response, &mut head, worker), Answer::streaming(body, record))
            }
            Ok((response, Rest::Tunnel(lease))) => {
                client.switch_to(Tunnel::new(lease, record));
                (finish(response, &mut head, worker), Answer::empty())
            }
            Err(reply) => answer(reply, worker, &served, &mut head, &mut record),
        }
    }
}

/// Passes the head of a response on, when the plugins that let the request go on have seen it, the
/// last one first.
fn pass(
    served: &Served,
    head: &RequestHead,
    admitted: &Admitted,
    mut response: ResponseHead,
    record: &mut Record,
) -> ResponseHead {
    let location = &served.plan.locations[admitted.cx.location];
    record.answered_by(&location.leads_to);
    for plugin in location.plugins.iter().rev() {
        plugin.response(&mut response, &head.headers, &admitted.cx);
    }
    if let Some(limit) = &admitted.cx.limit {
        limit.write(&mut response.headers);
    }
    record.status = Some(response.status);
    response
}

/// Decides, and takes the request's place among those of its location.
fn admit(
    client: &Client,
    served: &Rc<Served>,
    head: &mut RequestHead,
    record: &mut Record,
) -> Result<Admitted, Reply> {
    let now = record.begun();
    let arrival =
        Arrival { peer: client.peer.address, now, wall: client.worker.clock.wall_at(now) };
    let mut admitted = decide(&served.plan, arrival, head, record)?;
    if !admitted.cx.grants.is_empty() {
        client.granted.hold(&mut admitted.cx, served, &client.worker, &client.deadlines);
    }
    record.processing = match &served.plan.locations[admitted.cx.location].max_processing {
        Some(in_flight) => {
            Some(Processing::enter(in_flight).ok_or(Reply::from(Cause::Overloaded))?)
        }
        None => None,
    };
    Ok(admitted)
}

/// Holds the pause before a reply, and says which reply it is then.
async fn pause(reply: Reply, worker: &Worker) -> Reply {
    let pause = reply.pause.unwrap_or_default();
    match worker.delays.enter() {
        Some(_place) => Box::pin(worker.here.timers.sleep(pause)).await,
        None => return Reply::from(Cause::RateLimited(pause)),
    }
    reply
}

/// Writes a reply, with which the request is over.
fn answer(
    reply: Reply,
    worker: &Worker,
    served: &Served,
    head: &mut RequestHead,
    record: &mut Record,
) -> Answered {
    let style = match record.location {
        Some(index) => &served.plan.locations[index].errors,
        None => &served.plan.unrouted,
    };
    let request_id = record.request_id().value();
    let asked = Asked { style, headers: &head.headers, request_id };
    let cause = reply.cause;
    let (mut response, body) = reply.response(asked, worker.stock.empty());
    let location = record.location.map(|index| &served.plan.locations[index]);
    for plugin in location.into_iter().flat_map(|location| location.plugins.iter().rev()) {
        plugin.reply(&mut response, cause, &head.headers);
    }
    if let Cause::Leave(_) = cause {
        // Empty where there is no name: whoever asks puts it in the place of what the client wrote.
        let names = record.names().unwrap_or(Names { consumer: "", id: "" });
        identity(names).for_each(|(name, value)| response.headers.insert(name, value));
    }
    record.status = Some(response.status);
    record.result = cause.code();
    if head.method != Method::HEAD {
        record.add_bytes(body.len() as u64);
    }
    (finish(response, head, worker), Answer::own(body))
}

/// Adds what stands in every response, and gives back what was asked.
fn finish(mut response: ResponseHead, asked: &mut RequestHead, worker: &Worker) -> ResponseHead {
    worker.stock.give_back(std::mem::take(&mut asked.headers));
    if worker.is_stopping() && response.status != StatusCode::SWITCHING_PROTOCOLS {
        response.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // An origin's own date stays (RFC 9110, section 6.6.1).
    if !response.headers.contains(&DATE) {
        response.headers.append(DATE, worker.date());
    }
    response
}

/// Answers and records what is no request.
pub(crate) fn refuse(client: &Client, refusal: Refusal) -> Answered {
    let worker = &client.worker;
    let (served, request_id) = (worker.served(), worker.request_id());
    let peer = client.peer.text.clone();
    let mut record = Record::begin(Rc::clone(worker), Rc::clone(&served), request_id, peer);
    record.asked = refusal.asked.map(|asked| *asked);
    let mut head = RequestHead::default();
    record.traced(&mut head, &client.peer, false);
    let reply = Reply::closing(refusal.cause);
    answer(reply, worker, &served, &mut head, &mut record)
}

/// The id that a trusted proxy sent, or a new one.
fn request_id(worker: &Worker, headers: &Fields, trusted: bool) -> RequestId {
    RequestId::of(headers, trusted).unwrap_or_else(|| worker.request_id())
}

/// A place among the concurrent requests of a location, left when it is dropped.
pub(crate) struct Processing(Arc<InFlight>);

impl Processing {
    fn enter(in_flight: &Arc<InFlight>) -> Option<Self> {
        let place = Self(Arc::clone(in_flight));
        (in_flight.now.fetch_add(1, Ordering::Relaxed) < in_flight.max).then_some(place)
    }
}

impl Drop for Processing {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}
