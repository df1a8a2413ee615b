//! What the gate would do with one request, told step by step.
//!
//! Everything is decided by the code that serves: the head is parsed, screened, routed and given to
//! the plugins as it is there, and the head that would go upstream is written by what writes it.

mod mask;
mod trace;

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;

use self::trace::Trace;
use crate::decide::{Admitted, Arrival, decide};
use crate::fields::Fields;
use crate::forward::body::framing;
use crate::forward::fits;
use crate::forward::headers::{self, Framing, Passage, Sender};
use crate::head::RequestHead;
use crate::http1::stock::Stock;
use crate::observe::request_id::RequestId;
use crate::plan::{self, Plan};
use crate::plugin::Authenticated;
use crate::reply::{Asked, Cause, ErrorStyle, Reply};
use crate::route::{Choice, Miss};
use crate::screen;
use crate::server::h1::head::{Head, Refusal, Search};
use crate::upstream::address::own_host;

/// What stands for the id that each request gets.
const NEW_ID: &[u8] = b"(a new one)";

/// What would become of a request.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The request's method and target; none if it cannot be read.
    pub request: Option<String>,
    /// The client's address: the peer's, or what a trusted proxy says; none on a unix socket.
    pub client: Option<IpAddr>,
    /// Whether the peer's `X-Forwarded-*` are believed.
    pub trusted: bool,
    /// Whom it is for.
    pub host: Option<String>,
    /// The location that the path leads to.
    pub location: Option<Matched>,
    /// Every way to read the path, and where each leads; none if it does not come to that, or if
    /// there are too many.
    pub readings: Option<Vec<Reading>>,
    /// What the plugins say, in order.
    pub plugins: Vec<Step>,
    /// The key that was found to be valid.
    pub key: Option<Key>,
    /// What comes of it.
    pub outcome: Outcome,
}

/// A location and how the request matches it.
#[derive(Debug, Serialize)]
pub struct Matched {
    /// Its name.
    pub name: String,
    /// Its `path`.
    pub path: String,
    /// Its `host`; empty: any.
    pub host: Vec<String>,
    /// Its `methods`; empty: any.
    pub methods: Vec<String>,
}

/// One way to read the path.
#[derive(Debug, Serialize)]
pub struct Reading {
    /// What the path is taken for.
    pub path: String,
    /// Whether case does not count.
    pub folded: bool,
    /// Whether slashes at the end do not count.
    pub trimmed: bool,
    /// The name of the location that it leads to.
    pub location: Option<String>,
}

/// What one plugin says.
#[derive(Debug, Serialize)]
pub struct Step {
    /// The plugin's name.
    pub plugin: String,
    /// Whether the request goes on.
    pub goes_on: bool,
    /// What it found, did or answers.
    pub why: String,
}

/// A valid key.
#[derive(Debug, Serialize)]
pub struct Key {
    /// Its public name, if it has one.
    pub id: Option<String>,
    /// Whom it belongs to.
    pub consumer: Option<String>,
}

/// What comes of a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is forwarded.
    Forwarded(Forwarded),
    /// It is answered here.
    Answered(Answered),
}

/// A request as it goes on.
#[derive(Debug, Serialize)]
pub struct Forwarded {
    /// The name of the upstream.
    pub upstream: String,
    /// Its addresses, of which one gets the request.
    pub addresses: Vec<String>,
    /// The head that it gets, with every secret as `***`.
    pub head: Vec<String>,
}

/// An answer of the gate's own.
#[derive(Debug, Serialize)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The sentence that usually stands in the body.
    pub says: &'static str,
    /// How long the answer waits.
    pub after_ms: u64,
    /// Why.
    pub why: String,
}

/// Says what a gate with this plan does with a request whose head comes from a peer (none: on a
/// unix socket).
pub fn explain(plan: &Plan, head: &Bytes, peer: Option<IpAddr>) -> Explanation {
    let peer = peer.map(|address| address.to_canonical());
    match read(head, plan.server.max_header_size, &Stock::default()) {
        Ok(head) => follow(plan, head, peer),
        Err(Refusal { cause, asked }) => {
            let why = "the head cannot be read, or two parsers could read it differently";
            let (reply, style) = (Reply::closing(cause), ErrorStyle::default());
            Explanation {
                request: asked.map(|asked| mask::request_line(&asked.0, &asked.1, plan)),
                client: peer,
                trusted: plan.trusted.trusts(peer),
                host: None,
                location: None,
                readings: None,
                plugins: Vec::new(),
                key: None,
                outcome: answered(reply, &style, &Fields::new(), why.to_owned()),
            }
        }
    }
}

/// Finds and parses the head as a connection does.
fn read(bytes: &Bytes, max_size: usize, stock: &Stock) -> Result<Head, Refusal> {
    let found = Search::default().next(bytes, max_size, &stock.empty_line)?;
    let (start, end) = found.ok_or(Cause::BadRequest)?;
    Head::parse(&bytes.slice(start..end), stock)
}

/// Has the request decided, and told.
fn follow(plan: &Plan, head: Head, peer: Option<IpAddr>) -> Explanation {
    let Head { mut request, body, .. } = head;
    let (method, path) = (request.method.clone(), request.uri.path().to_owned());
    let line = mask::request_line(&method, &request.uri, plan);
    let arrival = Arrival { peer, now: Instant::now(), wall: SystemTime::now() };
    let mut trace = Trace::of(plan, &request, peer);
    let decided = decide(plan, arrival, &mut request, &mut trace);
    let framing = framing(&request.headers, body.left());
    let passed = decided.and_then(|admitted| {
        fits(plan.locations[admitted.cx.location].max_body, framing).map(|()| admitted)
    });
    let outcome = match passed {
        Ok(admitted) => {
            Outcome::Forwarded(forwarded(plan, &trace, &admitted, &mut request, framing))
        }
        Err(reply) => {
            let why = why(plan, &trace, &reply, &request, (&method, &path));
            let default = ErrorStyle::default();
            let located = trace.location.map(|index| &plan.locations[index].errors);
            answered(reply, located.unwrap_or(&default), &request.headers, why)
        }
    };
    let asked = trace.choice.as_ref().map(|_| (&method, trace.host.as_deref(), &*path));
    Explanation {
        request: Some(line),
        client: trace.client,
        trusted: plan.trusted.trusts(peer),
        readings: asked.and_then(|asked| readings(plan, asked)),
        location: trace.location.map(|index| matched(plan, index)),
        key: trace.key.map(|key| Key::of(plan, trace.location, key)),
        host: trace.host,
        plugins: trace.steps,
        outcome,
    }
}

impl Key {
    fn of(plan: &Plan, location: Option<usize>, key: Authenticated) -> Self {
        let names = location.and_then(|location| plan.names(location, key));
        let (id, consumer) = names.map(|n| (n.id.to_owned(), n.consumer.to_owned())).unzip();
        Self { id, consumer }
    }
}

fn matched(plan: &Plan, index: usize) -> Matched {
    let route = plan.router.route(index);
    Matched {
        name: plan.locations[index].name.to_string(),
        path: route.path.to_string(),
        host: route.hosts.iter().map(ToString::to_string).collect(),
        methods: route.methods.iter().map(ToString::to_string).collect(),
    }
}

/// Method, host and path, as a router is asked.
type Question<'a> = (&'a Method, Option<&'a str>, &'a str);

fn readings(plan: &Plan, (method, host, path): Question<'_>) -> Option<Vec<Reading>> {
    let name = |index: usize| plan.locations[index].name.to_string();
    let told = |reading: crate::route::Reading| Reading {
        path: reading.path,
        folded: reading.folded,
        trimmed: reading.trimmed,
        location: reading.location.map(name),
    };
    Some(plan.router.readings(method, host, path)?.into_iter().map(told).collect())
}

/// The head that would go upstream, written by the code that writes it.
fn forwarded(
    plan: &Plan,
    trace: &Trace<'_>,
    admitted: &Admitted,
    request: &mut RequestHead,
    framing: Framing,
) -> Forwarded {
    let location = admitted.cx.location;
    let upstream = &plan.upstreams[admitted.upstream];
    let [peer, client] = [trace.peer, trace.client].map(|address| Some(address?.to_string()));
    let id = RequestId::of(&request.headers, admitted.trusted);
    let sender = Sender {
        // As where the gate listens first.
        scheme: plan.listen.first().map_or("http", plan::ListenOn::scheme),
        peer: peer.as_deref(),
        client: client.as_deref(),
        names: trace.key.and_then(|key| plan.names(location, key)),
        request_id: id.as_ref().map_or(NEW_ID, RequestId::as_bytes),
    };
    let passage = Passage::of(request, admitted, sender, framing);
    let own_host = own_host(&upstream.addrs[0]);
    let host = headers::host_sent(&upstream.host, &own_host, passage.host);
    mask::secrets(request, plan, &trace.sent);
    let mut head = Vec::new();
    headers::write_head(&mut head, request, host, &passage);
    let text = String::from_utf8_lossy(&head);
    let addresses = upstream.addrs.iter().map(ToString::to_string);
    Forwarded {
        upstream: upstream.name.to_string(),
        addresses: addresses.collect(),
        head: text.trim_end().lines().map(str::to_owned).collect(),
    }
}

/// What the client would get, by the code that writes it.
fn answered(reply: Reply, style: &ErrorStyle, headers: &Fields, why: String) -> Outcome {
    let asked = Asked { style, headers, request_id: HeaderValue::from_static("-") };
    let says = reply.cause.sentence();
    let after_ms = reply.pause.as_ref().map_or(0, Duration::as_millis) as u64;
    let (response, _) = reply.response(asked, Fields::new());
    Outcome::Answered(Answered { status: response.status.as_u16(), says, after_ms, why })
}

fn why(
    plan: &Plan,
    trace: &Trace<'_>,
    reply: &Reply,
    request: &RequestHead,
    (method, path): (&Method, &str),
) -> String {
    match (&trace.choice, trace.location) {
        (None, _) => screen::refused_part(request).to_owned(),
        (Some(Choice::Nowhere), _) => {
            let missed = plan.router.misses(method, trace.host.as_deref(), path);
            no_location(plan, &missed)
        }
        (Some(Choice::Ambiguous), _) => {
            "who reads the path in another way is led to other plugins, or to no location".into()
        }
        (Some(Choice::Location { index, .. }), None) => format!(
            "the path leads to `{}`, but a field asks for another method, which leads to other \
             plugins",
            plan.locations[*index].name
        ),
        (Some(_), Some(location)) if reply.cause == Cause::PayloadTooLarge => {
            format!("the body is longer than location `{}` allows", plan.locations[location].name)
        }
        (Some(_), Some(_)) => refused(trace, reply.cause),
    }
}

/// Why the plugin that was asked last has answered.
fn refused(trace: &Trace<'_>, cause: Cause) -> String {
    let plugin = trace.steps.last().map_or("", |step| &step.plugin);
    match cause {
        Cause::Leave(_) => "there is no upstream: who asks is told that it may go on".to_owned(),
        Cause::MissingKey => format!("there is no key where `{plugin}` looks, or an empty one"),
        _ => match &trace.refusal {
            Some(reason) => format!("`{plugin}` says: {reason}"),
            None => format!("`{plugin}` says so"),
        },
    }
}

/// Whether a line of a header, or a URL, holds what may be a key: it stands where one would stand.
pub fn may_hold_key(plan: &Plan, text: &str) -> bool {
    let name = text.split(':').next().unwrap_or_default();
    let field = HeaderName::from_bytes(name.trim().as_bytes());
    field.is_ok_and(|name| mask::is_credential(&name, plan)) || mask::hides_in(text, plan)
}

fn no_location(plan: &Plan, missed: &[(usize, Miss)]) -> String {
    let told = missed.iter().map(|(index, miss)| {
        let name = &plan.locations[*index].name;
        match miss {
            Miss::Host => format!("`{name}` is for another host"),
            Miss::Method => format!("`{name}` takes other methods"),
        }
    });
    let told: Vec<_> = told.collect();
    match &told[..] {
        [] => "no location has this path".to_owned(),
        told => format!("no location takes the request: {}", told.join(", ")),
    }
}
