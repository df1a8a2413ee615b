//! Sending a request upstream and its response back.

pub(crate) mod body;
pub(crate) mod headers;
pub(crate) mod interim;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version, request, response};
use hyper::body::Incoming;

use self::body::{BodyError, RequestBody, UpstreamBody};
use self::headers::{Framing, Passage};
use crate::headers::lists;
use crate::observe::record::Record;
use crate::pipeline::Admitted;
use crate::reply::{Cause, Reply};
use crate::server::clock::Wait;
use crate::server::connection::Client;
use crate::server::worker::Served;
use crate::upstream::pool::Lease;

/// What came of a request that was sent.
pub(crate) enum Forwarded {
    /// A response whose body streams.
    Response(response::Parts, UpstreamBody),
    /// The protocol is switched; the connection goes on as a tunnel.
    Switched(response::Parts, Lease),
}

/// Sends a request that was let through, and waits for the head of the response.
pub(crate) async fn send(
    client: &Rc<Client>,
    served: &Rc<Served>,
    head: &request::Parts,
    body: Incoming,
    admitted: &Admitted,
    record: &mut Record,
) -> Result<Forwarded, Reply> {
    let location = &served.plan.locations[admitted.location];
    let framing = body::framing(&head.headers, &body);
    if let (Framing::Length(length), Some(limit)) = (framing, location.max_body)
        && length > limit
    {
        return Err(Reply::closing(Cause::PayloadTooLarge));
    }
    record.sent = Some(Instant::now());
    let record = &*record;
    let expects_continue = expects_continue(head, framing);
    let passage = Passage {
        trusted: admitted.trusted,
        peer: client.peer_value.as_ref(),
        client: record.client.as_ref(),
        host: admitted.host.value(),
        request_id: record.request_id(),
        framing,
        websocket: headers::asks_for_websocket(head, framing),
        expects_continue,
    };
    let (mut body, body_error) = if framing.is_empty() {
        (RequestBody::none(), Rc::default())
    } else {
        let (client, served) = (Rc::clone(client), Rc::clone(served));
        RequestBody::streaming(body, location.max_body, expects_continue, client, served)
    };
    let mut fresh = false;
    loop {
        let leased = served.lease(location.upstream, fresh).await;
        let mut lease = leased.map_err(|error| unreachable(&error))?;
        let host = headers::host_sent(&lease.upstream().host, lease.own_host(), passage.host);
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = origin_form(&head.uri);
        let empty = client.worker.empty_headers();
        *request.headers_mut() =
            headers::upstream_headers(empty, head, host, &passage, &admitted.cx);
        if head.version == Version::HTTP_11 {
            client.interim.listen(&mut request);
        }
        match exchange(client, &mut lease, request).await {
            Ok(response) => {
                let asked = (head.version, passage.websocket);
                return accept(client, served, response, lease, asked);
            }
            Err(failure) => body = retry(failure, &lease, head, framing, &body_error)?,
        }
        fresh = true;
    }
}

/// Why there is no response.
enum Failure {
    /// The request was not sent; here is its body.
    Unsent(RequestBody),
    /// The connection ended after some of the request was sent.
    Lost(hyper::Error),
    /// The upstream took too long.
    TimedOut,
}

/// Drives the connection until the head of the response is there.
async fn exchange(
    client: &Client,
    lease: &mut Lease,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, Failure> {
    let mut answer = pin!(lease.send(request));
    let answered = poll_fn(|cx| {
        lease.drive(cx);
        for hint in client.interim.take_hints() {
            client.hint(&hint);
        }
        // The answer comes by driving the connection, here: it has nobody to wake.
        let mut unwoken = Context::from_waker(Waker::noop());
        if let Poll::Ready(answered) = answer.as_mut().poll(&mut unwoken) {
            return Poll::Ready(answered.map_err(|mut error| match error.take_message() {
                Some(request) => Failure::Unsent(request.into_body()),
                None => Failure::Lost(error.into_error()),
            }));
        }
        if client.deadlines.passed(Wait::Upstream) {
            return Poll::Ready(Err(Failure::TimedOut));
        }
        client.deadlines.start(Wait::Upstream, lease.upstream().response_timeout);
        Poll::Pending
    })
    .await;
    client.deadlines.clear(Wait::Upstream);
    answered
}

/// Decides whether a request may be sent once more: only over a connection that the upstream may
/// have closed while it was idle, and only if nothing can have been done about the request yet:
/// none of it was sent, or it asks for nothing to be done (RFC 9110, section 9.2.2).
fn retry(
    failure: Failure,
    lease: &Lease,
    head: &request::Parts,
    framing: Framing,
    body_error: &Cell<Option<BodyError>>,
) -> Result<RequestBody, Reply> {
    let safe = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let (cause, error) = match failure {
        Failure::Unsent(body) if lease.is_reused() => return Ok(body),
        Failure::Lost(error)
            if lease.is_reused() && safe && framing.is_empty() && was_closed(&error) =>
        {
            return Ok(RequestBody::none());
        }
        Failure::Unsent(_) => (Cause::BadGateway, "closed at once".to_owned()),
        Failure::Lost(error) => (Cause::BadGateway, told(&error)),
        Failure::TimedOut => (Cause::UpstreamTimeout, "timed out".to_owned()),
    };
    if let Some(reason) = body_error.get() {
        return Err(Reply::closing(match reason {
            BodyError::TooLarge => Cause::PayloadTooLarge,
            BodyError::ClientStalled => Cause::RequestTimeout,
            _ => Cause::BadRequest,
        }));
    }
    lease.complain(&error);
    Err(Reply::from(cause))
}

/// Whether the upstream ended the connection, rather than said something that is no answer.
fn was_closed(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    !error.is_parse() && source.is_none_or(|error| error.kind() != io::ErrorKind::InvalidData)
}

/// What happened, and why.
fn told(error: &hyper::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn unreachable(error: &io::Error) -> Reply {
    Reply::from(match error.kind() {
        io::ErrorKind::TimedOut => Cause::UpstreamTimeout,
        _ => Cause::BadGateway,
    })
}

/// Takes a response that can be passed on, to a request of this version that asks for a WebSocket,
/// or not.
fn accept(
    client: &Rc<Client>,
    served: &Rc<Served>,
    response: Response<Incoming>,
    mut lease: Lease,
    (version, websocket): (Version, bool),
) -> Result<Forwarded, Reply> {
    let (mut head, body) = response.into_parts();
    let switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let switched = websocket && lists(&head.headers, &UPGRADE, "websocket");
    // A coding but `chunked` would be lost: framing is not relayed (RFC 9112, section 6.1).
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let coded =
        codings.next().is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
            || codings.next().is_some();
    if coded || switching && !switched {
        lease.complain("the response cannot be passed on");
        return Err(Reply::from(Cause::BadGateway));
    }
    // Two framings may be the work of whoever had a hand in one of them: what comes behind is not
    // believed (RFC 9112, section 6.3).
    if head.headers.contains_key(TRANSFER_ENCODING) && head.headers.contains_key(CONTENT_LENGTH) {
        lease.use_no_more();
    }
    headers::client_head(&mut head, websocket);
    if switching {
        return Ok(Forwarded::Switched(head, lease));
    }
    let body = UpstreamBody::new(body, lease, version, Rc::clone(client), Rc::clone(served));
    Ok(Forwarded::Response(head, body))
}

fn expects_continue(head: &request::Parts, framing: Framing) -> bool {
    !framing.is_empty()
        && head.version == Version::HTTP_11
        && head
            .headers
            .get(http::header::EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The target without scheme and authority; what is left stays byte for byte.
fn origin_form(uri: &Uri) -> Uri {
    if uri.scheme().is_none() {
        return uri.clone();
    }
    match uri.path_and_query() {
        Some(target) if target.as_str().starts_with('/') => Uri::from(target.clone()),
        // `http://host?query` has an empty path, which is `/` (RFC 3986, section 6.2.3).
        Some(target) => PathAndQuery::try_from(format!("/{}", target.as_str()))
            .map_or_else(|_| Uri::default(), Uri::from),
        None => Uri::default(),
    }
}
