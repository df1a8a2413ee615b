//! What is decided about a request from what is in memory. The gate acts on it, and `keygate
//! explain` tells it: there is no second code that could say something else.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::{Instant, SystemTime};

use http::Method;

use crate::forward::headers;
use crate::head::RequestHead;
use crate::plan::{Destination, Location, Plan};
use crate::plugin::Cx;
use crate::reply::{Cause, Reply};
use crate::route::Choice;
use crate::screen::{self, Host};

/// A request that may go on.
pub(crate) struct Admitted {
    /// Whether the peer's `X-Forwarded-*` are believed.
    pub(crate) trusted: bool,
    /// Whom the request is for.
    pub(crate) host: Host,
    /// Index of the upstream that it goes to.
    pub(crate) upstream: usize,
    /// What the steps told one another.
    pub(crate) cx: Cx,
}

/// How a request came.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    /// Who connected; none on a unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// When the head was complete.
    pub(crate) now: Instant,
    /// The same by the calendar.
    pub(crate) wall: SystemTime,
}

/// Who is told what becomes of a request, step by step, as soon as it is known.
pub(crate) trait Witness {
    /// The client is not the peer: a trusted proxy says so.
    fn comes_from(&mut self, client: Option<IpAddr>);

    /// The request is whole and for this host, and the path leads here.
    fn routed(&mut self, _host: &Host, _choice: &Choice) {}

    /// It is this location's.
    fn located(&mut self, location: usize);

    /// A plugin has decided.
    fn asked(&mut self, _head: &RequestHead, _cx: &Cx, _verdict: &ControlFlow<Reply>) {}

    /// All plugins have, or one has answered.
    fn decided(&mut self, cx: &mut Cx);
}

/// Screens, routes and authenticates: whatever is not admitted here reaches no upstream.
pub(crate) fn decide(
    plan: &Plan,
    arrival: Arrival,
    head: &mut RequestHead,
    witness: &mut impl Witness,
) -> Result<Admitted, Reply> {
    let trusted = plan.trusted.trusts(arrival.peer);
    let host = screen::check(head).map_err(Reply::closing)?;
    screen::disown(&mut head.headers, trusted);
    let client = headers::client_address(&head.headers, arrival.peer, &plan.trusted);
    if client != arrival.peer {
        witness.comes_from(client);
    }

    let (name, path) = (host.name(), head.uri.path());
    let choice = plan.router.choose(&head.method, name, path);
    witness.routed(&host, &choice);
    let (location, mut also) = match choice {
        Choice::Location { index, also } => (index, also),
        Choice::Nowhere => return Err(Reply::from(Cause::NotFound)),
        Choice::Ambiguous => return Err(Reply::closing(Cause::BadRequest)),
    };
    let mut alike = |other: Option<Method>| {
        let other = other.map(|method| plan.router.choose(&method, name, path));
        plan.router.guards_alike(location, &mut also, other)
    };
    if plan.router.has_methods() && !screen::other_methods(&head.headers).all(&mut alike) {
        return Err(Reply::closing(Cause::BadRequest));
    }
    witness.located(location);
    if let Destination::Verdict(Some(asker)) = plan.locations[location].leads_to {
        asker.restore(head, trusted).map_err(Reply::from)?;
    }

    let mut cx = Cx { location, also, ..Cx::new(client, arrival.now, arrival.wall) };
    let decided = ask(&plan.locations[location], head, &mut cx, witness);
    witness.decided(&mut cx);
    match decided {
        ControlFlow::Break(reply) => Err(reply),
        ControlFlow::Continue(()) => match plan.locations[location].leads_to {
            Destination::Upstream(upstream) => Ok(Admitted { trusted, host, upstream, cx }),
            Destination::Verdict(asker) => Err(Reply::leave(asker, cx.limit)),
        },
    }
}

/// Asks the plugins, one after the other.
fn ask(
    location: &Location,
    head: &mut RequestHead,
    cx: &mut Cx,
    witness: &mut impl Witness,
) -> ControlFlow<Reply> {
    location.plugins.iter().enumerate().try_for_each(|(step, plugin)| {
        cx.step = step;
        let verdict = plugin.request(head, cx);
        witness.asked(head, cx, &verdict);
        verdict
    })
}
