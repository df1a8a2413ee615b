//! One request from start to finish. Every request comes through here, upgrades included, and the
//! order of the lines is the order of the world.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{CONNECTION, DATE};
use http::{HeaderValue, Method, StatusCode};

use crate::answer::Answer;
use crate::fields::Fields;
use crate::forward::{self, Forwarded, headers};
use crate::head::{RequestHead, ResponseHead};
use crate::headers::X_REQUEST_ID;
use crate::observe::record::Record;
use crate::plan::InFlight;
use crate::plugin::Cx;
use crate::reply::{Asked, Cause, ErrorStyle, Reply};
use crate::route::Choice;
use crate::screen::{self, Host};
use crate::server::connection::Client;
use crate::server::h1::input::ClientBody;
use crate::server::tunnel::Tunnel;
use crate::server::worker::{Served, Worker};

/// A request that may go on.
pub(crate) struct Admitted {
    /// Index of the location.
    pub(crate) location: usize,
    /// Whether the peer's `X-Forwarded-*` are believed.
    pub(crate) trusted: bool,
    /// Whom the request is for.
    pub(crate) host: Host,
    /// What the steps told one another.
    pub(crate) cx: Cx,
}

/// Answers one request.
pub(crate) async fn handle(
    client: Rc<Client>,
    mut head: RequestHead,
    body: ClientBody,
) -> (ResponseHead, Answer) {
    let served = client.worker.served();
    let trusted = served.plan.trusted.trusts(client.peer);
    // Boxed, because it goes through many hands.
    let mut record = Box::new(Record::begin(
        Rc::clone(&client.worker),
        Rc::clone(&served),
        Some((head.method.clone(), head.uri.clone())),
        request_id(&client.worker, &head.headers, trusted),
        client.peer_value.clone(),
    ));
    let sent = match admit(&client, &served, &mut head, trusted, &mut record) {
        Ok(admitted) => forward::send(&client, &served, &head, body, &admitted, &mut record)
            .await
            .map(|forwarded| (forwarded, admitted)),
        Err(reply) => Err(reply),
    };
    let worker = Rc::clone(&client.worker);
    let (mut response, answer) = match sent {
        Ok((Forwarded::Response(mut response, body), admitted)) => {
            finish(&served, &admitted, &mut response, &mut record);
            (response, Answer::streaming(body, record))
        }
        Ok((Forwarded::Switched(mut head, lease), admitted)) => {
            finish(&served, &admitted, &mut head, &mut record);
            client.switch_to(Tunnel::new(lease, record));
            (head, Answer::empty())
        }
        Err(reply) => answer(reply, &served, &head.headers, record, &worker).await,
    };
    worker.recycle_headers(head.headers);
    if worker.is_stopping() && response.status != StatusCode::SWITCHING_PROTOCOLS {
        response.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // An origin's own date stays (RFC 9110, section 6.6.1).
    if !response.headers.contains(&DATE) {
        response.headers.append(DATE, worker.date());
    }
    (response, answer)
}

/// Screens, routes and authenticates: whatever is not let through here reaches no upstream.
fn admit(
    client: &Client,
    served: &Served,
    head: &mut RequestHead,
    trusted: bool,
    record: &mut Record,
) -> Result<Admitted, Reply> {
    let plan = &served.plan;
    let host = screen::check(head).map_err(Reply::closing)?;
    screen::disown(&mut head.headers, trusted);
    let address = headers::client_address(&head.headers, client.peer, &plan.trusted);
    if address != client.peer {
        record.client = address.and_then(|address| HeaderValue::try_from(address.to_string()).ok());
    }

    let (name, path) = (host.name(), head.uri.path());
    let location = match plan.router.choose(&head.method, name, path) {
        Choice::Location { index, .. } => index,
        Choice::Nowhere => return Err(Reply::from(Cause::NotFound)),
        Choice::Ambiguous => return Err(Reply::closing(Cause::BadRequest)),
    };
    let alike =
        |other: Option<Method>| plan.router.guards_alike(location, other.as_ref(), name, path);
    if plan.router.has_methods() && !screen::other_methods(&head.headers).all(alike) {
        return Err(Reply::closing(Cause::BadRequest));
    }
    record.location = Some(location);

    let mut cx = Cx { client: address, now: record.begun(), consumer: None, key_id: None };
    for plugin in &plan.locations[location].plugins {
        if let ControlFlow::Break(reply) = plugin.request(head, &mut cx) {
            return Err(reply);
        }
    }
    record.consumer.clone_from(&cx.consumer);
    record.key_id.clone_from(&cx.key_id);
    record.processing = match &plan.locations[location].max_processing {
        Some(in_flight) => {
            Some(Processing::enter(in_flight).ok_or(Reply::from(Cause::Overloaded))?)
        }
        None => None,
    };
    Ok(Admitted { location, trusted, host, cx })
}

/// Lets the plugins that let the request go on see the response, the last one first.
fn finish(served: &Served, admitted: &Admitted, head: &mut ResponseHead, record: &mut Record) {
    for plugin in served.plan.locations[admitted.location].plugins.iter().rev() {
        plugin.response(head, &admitted.cx);
    }
    record.status = Some(head.status);
}

/// Writes a reply, after its pause.
async fn answer(
    mut reply: Reply,
    served: &Served,
    asked: &Fields,
    mut record: Box<Record>,
    worker: &Worker,
) -> (ResponseHead, Answer) {
    if let Some(pause) = reply.pause {
        match worker.delays.enter() {
            Some(_place) => tokio::time::sleep(pause).await,
            None => reply = Reply::from(Cause::RateLimited(pause)),
        }
    }
    let style = match record.location {
        Some(index) => &served.plan.locations[index].errors,
        None => &ErrorStyle::default(),
    };
    let asked = Asked { style, headers: asked, request_id: record.request_id() };
    let (head, body) = reply.response(asked, worker.empty_headers());
    record.status = Some(head.status);
    record.answered = record.sent.map(|_| std::time::Instant::now());
    (head, Answer::own(body, record))
}

/// The id that a trusted proxy sent, or a new one.
fn request_id(worker: &Worker, headers: &Fields, trusted: bool) -> HeaderValue {
    let sent = if trusted { headers.get(&X_REQUEST_ID) } else { None };
    sent.filter(|id| is_request_id(id.as_bytes())).cloned().unwrap_or_else(|| worker.request_id())
}

/// Whether an id can stand in a log line and in a header field as it is.
fn is_request_id(id: &[u8]) -> bool {
    const MAX_LENGTH: usize = 128;
    (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
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
