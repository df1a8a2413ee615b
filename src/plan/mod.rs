//! What the gate does: immutable, compiled from a [`Config`](crate::config::Config). Names become
//! references here, and nowhere later.

mod admin;
mod compile;
pub(crate) mod connections;
mod destination;
mod listen;
mod location;
mod order;
mod renew;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod warnings;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use serde::Deserialize;

use crate::config::problem::Problem;
use crate::plugin::{Authenticated, Names, Plugin};
use crate::reply::ErrorStyle;
use crate::route::Router;
use crate::tls::acceptor::Acceptor;
use crate::tls::connector::Connector;
use crate::upstream::endpoint::Tolerance;
use crate::upstream::health::Health;
use crate::upstream::limit::Bounds;
use crate::upstream::live::Live;
use crate::verdict::Asker;

pub use self::compile::compile;
pub use self::listen::{ListenAddr, ListenOn};
pub use self::renew::Renewed;

/// A compiled configuration. `compile` is the only way to one, for start, `check` and reload.
#[derive(Clone)]
pub struct Plan {
    /// Where to listen; a reload cannot change it.
    pub listen: Vec<ListenOn>,
    /// What clients are met with where TLS is spoken.
    pub tls: Option<Arc<Acceptor>>,
    /// How many worker threads; a reload cannot change it.
    pub workers: usize,
    /// Limits and timeouts of client connections.
    pub server: ServerLimits,
    /// Where health and metrics are told, and what is counted; a reload cannot change it.
    pub admin: Option<Admin>,
    /// Whose `X-Forwarded-*` are believed.
    pub trusted: TrustedProxies,
    /// What is logged, and how.
    pub log: Log,
    /// Chooses a location; what it returns are indices into `locations`.
    pub router: Router,
    /// Every location, in the order of the files.
    pub locations: Vec<Location>,
    /// How errors are answered where there is no location.
    pub unrouted: ErrorStyle,
    /// Every upstream; a location holds an index into this list.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Every plugin by its name, for the plan that replaces this one.
    pub plugins: Vec<NamedPlugin>,
    /// Names of the headers and query parameters that may carry a credential on any location, in
    /// lower case: a parameter of such a name is not logged.
    pub credential_names: Vec<Vec<u8>>,
    /// Header fields that may carry a credential on any location.
    pub credential_headers: Vec<HeaderName>,
    /// What `check` and start should say although it is no error.
    pub warnings: Vec<Problem>,
}

impl Plan {
    /// The plugin of this name.
    pub fn plugin(&self, name: &str) -> Option<&dyn Plugin> {
        self.plugins.iter().find(|plugin| *plugin.name == *name).map(|plugin| &*plugin.plugin)
    }

    /// The operator's name for one of a location's plugins.
    pub fn plugin_name(&self, location: usize, step: usize) -> Option<&str> {
        let plugin = self.locations.get(location)?.plugins.get(step)?;
        let named = self.plugins.iter().find(|named| Arc::ptr_eq(&named.plugin, plugin));
        named.map(|named| &*named.name)
    }

    /// The names of a key that was found to be valid on a location, if it has any.
    pub fn names(&self, location: usize, key: Authenticated) -> Option<Names<'_>> {
        self.locations.get(location)?.plugins.get(key.step)?.names(key.position)
    }

    /// Which settings differ from another plan that only a restart can change, as they are written.
    pub fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        let mut fields = Vec::new();
        let addresses = |plan: &Self| -> Vec<ListenAddr> {
            plan.listen.iter().map(|on| on.address.clone()).collect()
        };
        if addresses(self) != addresses(other) {
            fields.push("listen");
        } else if self.listen != other.listen {
            fields.push("tls");
        }
        if self.workers != other.workers {
            fields.push("workers");
        }
        if self.server.written_max_connections != other.server.written_max_connections {
            fields.push("max_connections");
        }
        if self.admin != other.admin {
            fields.push("[admin]");
        }
        if self.log.format != other.log.format {
            fields.push("format");
        }
        fields
    }
}

/// A plugin and the operator's name for it.
#[derive(Clone)]
pub struct NamedPlugin {
    /// The name.
    pub name: Box<str>,
    /// The plugin.
    pub plugin: Arc<dyn Plugin>,
}

/// Limits and timeouts of client connections; all are finite.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// How many connections there may be at a time.
    pub max_connections: usize,
    /// The same as it is written; 0: what the file-descriptor limit allowed.
    pub written_max_connections: usize,
    /// How long a whole request head may take.
    pub client_header_timeout: Duration,
    /// How long a client may take between two pieces of its body, or to take a piece of the
    /// response.
    pub client_body_timeout: Duration,
    /// How many requests a client may send at a time over one connection of HTTP/2.
    pub http2_max_concurrent_streams: u32,
    /// How many bytes a second of a body a client must send, or take, while it is waited for;
    /// 0: any number.
    pub client_min_rate: u32,
    /// How long a connection may wait for its next request.
    pub keepalive_timeout: Duration,
    /// The longest request head, in bytes.
    pub max_header_size: usize,
    /// How long requests in flight may go on after a stop.
    pub shutdown_timeout: Duration,
}

/// What is told of the gate itself, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it is told; nobody is asked for a key there.
    pub listen: Vec<ListenAddr>,
    /// How many keys have their requests counted by their names.
    pub counted_keys: usize,
}

/// Whose `X-Forwarded-*` are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    /// Networks of trusted peers.
    pub networks: Vec<IpNet>,
    /// Whether every peer on a unix socket is trusted.
    pub unix: bool,
}

impl TrustedProxies {
    /// Whether a peer (none: one on a unix socket) is believed.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(address) => self.networks.iter().any(|network| network.contains(&address)),
            None => self.unix,
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The form of every line.
    pub format: LogFormat,
    /// Whether there is an access log.
    pub access: bool,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What a route leads to.
#[derive(Clone)]
pub struct Location {
    /// The operator's name for it, in logs.
    pub name: Box<str>,
    /// The steps, in order.
    pub plugins: Vec<Arc<dyn Plugin>>,
    /// What becomes of a request that the plugins let go on.
    pub leads_to: Destination,
    /// The longest request body, in bytes.
    pub max_body: Option<u64>,
    /// The limit of concurrent requests.
    pub max_processing: Option<Arc<InFlight>>,
    /// How errors are answered.
    pub errors: ErrorStyle,
}

/// What becomes of a request that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// It is forwarded to one of [`Plan::upstreams`], by its index.
    Upstream(usize),
    /// Whoever asked is told that it may.
    Verdict(Option<Asker>),
}

/// A count of concurrent requests with its limit, shared by all workers.
#[derive(Debug)]
pub struct InFlight {
    /// Requests that are being processed.
    pub now: AtomicUsize,
    /// How many there may be.
    pub max: usize,
}

/// A named set of addresses that serve the same.
#[derive(Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The operator's name for it, in logs.
    pub name: Box<str>,
    /// Where it can be reached, with weights; never empty.
    pub addrs: Vec<UpstreamAddr>,
    /// How an address is chosen.
    pub balance: Balance,
    /// Which HTTP is spoken with it.
    pub protocol: Protocol,
    /// The `Host` sent upstream.
    pub host: HostPolicy,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long the response head may take after the request was sent.
    pub response_timeout: Duration,
    /// How long there may be nothing between two pieces of a response body.
    pub read_timeout: Duration,
    /// How many idle connections each worker keeps.
    pub max_idle: usize,
    /// How many failures are too many.
    pub tolerance: Tolerance,
    /// How its addresses are checked; none: not at all.
    pub health: Option<Health>,
    /// How many requests it gets at a time; none: any number.
    pub bounds: Option<Bounds>,
    /// What is known of it while the gate runs.
    pub live: Live,
    /// What the addresses that speak TLS are met with; there if any of them does.
    pub tls: Option<Arc<Connector>>,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAddr {
    /// Where to connect.
    pub target: Target,
    /// How large a share of the requests it gets; at least 1.
    pub weight: u32,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A host (name or address, without brackets) and a port.
    Tcp {
        /// The name or address.
        host: Box<str>,
        /// The port.
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// How an address is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// One after the other, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastConn,
}

/// Which HTTP is spoken with an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1: a connection carries one request at a time.
    #[default]
    #[serde(rename = "h1")]
    Http1,
    /// HTTP/2: many at a time.
    #[serde(rename = "h2")]
    Http2,
}

/// The `Host` sent upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// The client's.
    Client,
    /// The upstream's own address.
    Upstream,
    /// This one.
    Literal(HeaderValue),
}
