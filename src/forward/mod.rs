//! Sending a request upstream and its response back.

pub(crate) mod body;
pub(crate) mod headers;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use http::header::UPGRADE;
use http::{Method, StatusCode, Version};
use http_body::Body;

use self::body::{BodyError, RequestBody, UpstreamBody};
use self::headers::{Framing, Outgoing, Passage, Sender};
use crate::decide::Admitted;
use crate::head::{RequestHead, ResponseHead};
use crate::headers::lists;
use crate::observe::record::Record;
use crate::reply::{Cause, Reply};
use crate::server::body::ClientBody;
use crate::server::client::Client;
use crate::server::clock::Wait;
use crate::server::worker::Served;
use crate::upstream::connection::{Broken, Said};
use crate::upstream::lease::Lease;
use crate::upstream::pool::{NoLease, Wanted};

/// Over how many connections made for it a request is sent at most, if nothing can have been done
/// about it: the first may be lost by chance.
const MAX_CONNECTIONS: u32 = 2;

/// What follows the head of a response.
pub(crate) enum Rest {
    /// A body that streams.
    Body(UpstreamBody),
    /// Another protocol: the connection goes on as a tunnel.
    Tunnel(Lease),
}

/// Sends a request that was let through, and waits for the head of the response.
pub(crate) async fn send(
    client: &Rc<Client>,
    served: &Rc<Served>,
    head: &RequestHead,
    body: ClientBody,
    admitted: &Admitted,
    record: &mut Record,
) -> Result<(ResponseHead, Rest), Reply> {
    let location = &served.plan.locations[admitted.cx.location];
    let framing = body::framing(&head.headers, body.size_hint().exact());
    fits(location.max_body, framing)?;
    record.sent = Some(Instant::now());
    let record = &*record;
    let sender = Sender {
        peer: client.peer.text.as_deref(),
        scheme: client.peer.scheme,
        client: record.client.as_deref(),
        names: record.names(),
        request_id: record.request_id().as_bytes(),
    };
    let passage = Passage::of(head, admitted, sender, framing);
    let expects_continue = passage.expects_continue;
    let mut body = if framing.is_empty() {
        RequestBody::none()
    } else {
        let (client, served) = (Rc::clone(client), Rc::clone(served));
        RequestBody::streaming(body, location.max_body, expects_continue, client, served)
    };
    let (mut wanted, mut connections) = (Wanted::default(), 0);
    loop {
        let mut lease = {
            let mut leased = pin!(served.lease(admitted.upstream, &wanted));
            poll_fn(|cx| {
                // Others may be served first, and the key be revoked meanwhile.
                client.check_grant()?;
                leased.as_mut().poll(cx).map_err(|why| no_lease(&why))
            })
            .await?
        };
        connections += u32::from(!lease.is_reused());
        if let Some(span) = record.span() {
            span.asks(lease.own_host());
        }
        {
            // In a block, so that the future does not hold it while the response is awaited.
            let host = headers::host_sent(&lease.upstream().host, lease.own_host(), passage.host);
            let host = host.cloned();
            let credentials = &served.plan.credential_headers;
            let outgoing = Outgoing { head, host: host.as_ref(), passage: &passage, credentials };
            lease.send(&outgoing, body);
        }
        match exchange(client, &mut lease, head.version).await {
            Ok(response) => {
                let asked = (head.version, passage.websocket);
                return accept(client, served, response, lease, asked);
            }
            Err(failure) => {
                wanted = Wanted { fresh: true, elsewhere: Some(Rc::clone(lease.address())) };
                body = again(failure, lease, connections, head, framing)?;
            }
        }
    }
}

/// Refuses a body that says that it is longer than its location allows.
pub(crate) fn fits(max_body: Option<u64>, framing: Framing) -> Result<(), Reply> {
    match (framing, max_body) {
        (Framing::Length(length), Some(limit)) if length > limit => {
            Err(Reply::closing(Cause::PayloadTooLarge))
        }
        _ => Ok(()),
    }
}

/// Why there is no response.
enum Failure {
    /// The connection, or the request's body, came to nothing.
    Broken(Broken),
    /// The upstream took too long.
    TimedOut,
    /// What the request was let through with is over.
    Revoked(Reply),
}

/// Drives the connection until the head of the response is there.
async fn exchange(
    client: &Client,
    lease: &mut Lease,
    version: Version,
) -> Result<ResponseHead, Failure> {
    let answered = poll_fn(|cx| {
        while let Poll::Ready(said) = lease.poll_said(cx, &client.worker.stock) {
            match said {
                Ok(Said::Response(head)) => return Poll::Ready(Ok(head)),
                Err(broken) => return Poll::Ready(Err(Failure::Broken(broken))),
                // HTTP/1.0 has none of these.
                Ok(_) if version == Version::HTTP_10 => {}
                Ok(Said::Continue) => client.body_is_wanted.set(true),
                Ok(Said::Hints(hints)) => client.hint(&hints),
            }
        }
        if let Err(reply) = client.check_grant() {
            return Poll::Ready(Err(Failure::Revoked(reply)));
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

/// Decides whether a request may be sent once more, over a new connection: only if nothing can have
/// been done about it. Either none of it was sent, or the upstream says that it has not looked at
/// it (RFC 9113, section 8.7), or it asks for nothing to be done (RFC 9110, section 9.2.2) and its
/// connection ended before the upstream had said anything whole.
fn again(
    failure: Failure,
    mut lease: Lease,
    connections: u32,
    head: &RequestHead,
    framing: Framing,
) -> Result<RequestBody, Reply> {
    let broken = match failure {
        Failure::TimedOut => {
            lease.failed();
            lease.complain("timed out");
            return Err(Reply::from(Cause::UpstreamTimeout));
        }
        Failure::Revoked(reply) => return Err(Reply { close: true, ..reply }),
        Failure::Broken(Broken::Body(reason)) => return Err(Reply::closing(cause(reason))),
        Failure::Broken(broken) => broken,
    };
    let unprocessed = matches!(broken, Broken::Unprocessed);
    let ended = (unprocessed || matches!(broken, Broken::Closed(_))) && !lease.has_said();
    // That a kept connection was closed meanwhile is no failure of the upstream.
    if !(ended && (unprocessed || lease.is_reused())) {
        lease.failed();
    }
    if ended && connections < MAX_CONNECTIONS {
        let asks_for_nothing = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let unsent = lease.take_back();
        if unsent.is_some() || asks_for_nothing && framing.is_empty() {
            return Ok(unsent.unwrap_or_else(RequestBody::none));
        }
    }
    lease.complain(&broken.to_string());
    Err(Reply::from(Cause::BadGateway))
}

/// What a client is told whose body broke off.
fn cause(reason: BodyError) -> Cause {
    match reason {
        BodyError::TooLarge => Cause::PayloadTooLarge,
        BodyError::ClientStalled => Cause::RequestTimeout,
        _ => Cause::BadRequest,
    }
}

/// What a client is told when there is no connection for its request.
fn no_lease(why: &NoLease) -> Reply {
    Reply::from(match why {
        NoLease::Unreachable(error) if error.kind() == ErrorKind::TimedOut => {
            Cause::UpstreamTimeout
        }
        NoLease::Unreachable(error) if error.kind() == ErrorKind::ResourceBusy => Cause::Overloaded,
        NoLease::Unreachable(_) => Cause::BadGateway,
        NoLease::Unhealthy(wait) => Cause::NoHealthyUpstream(*wait),
        NoLease::Busy => Cause::Overloaded,
    })
}

/// Takes a response that can be passed on, to a request of this version that asks for a WebSocket,
/// or not.
fn accept(
    client: &Rc<Client>,
    served: &Rc<Served>,
    mut head: ResponseHead,
    lease: Lease,
    (version, websocket): (Version, bool),
) -> Result<(ResponseHead, Rest), Reply> {
    let switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
    if switching && !(websocket && lists(&head.headers, &UPGRADE, "websocket")) {
        lease.complain("the upstream switches to a protocol that nobody asked for");
        return Err(Reply::from(Cause::BadGateway));
    }
    headers::client_head(&mut head, websocket);
    if switching {
        return Ok((head, Rest::Tunnel(lease)));
    }
    let body = UpstreamBody::new(lease, version, Rc::clone(client), Rc::clone(served));
    Ok((head, Rest::Body(body)))
}
