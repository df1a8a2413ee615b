//! What the operator wrote: one struct a table, with its defaults.

pub mod address;
mod describe;
mod dotenv;
pub mod environment;
mod excerpt;
pub(crate) mod files;
mod interpolate;
mod kind;
pub mod load;
mod mask;
pub mod options;
pub mod problem;
mod section;
pub(crate) mod source;
pub mod suggest;
pub(crate) mod syntax;
mod tls;
pub mod types;
mod unit;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use self::address::{Addresses, HostHeader, Listen, ListenAt, Trusted, literal};
use self::source::{Findings, Origin, Sources};
use self::types::{Count, HeadSize, Hosts, MethodName, Path, Period, Size};
use crate::plan::{Balance, LogFormat, Protocol};
use crate::plugin::Settings;
use crate::verdict::Asker;

pub(crate) use self::describe::unknown_field;
pub use self::environment::Environment;
pub(crate) use self::files::is_part;
pub use self::load::load;
pub(crate) use self::mask::looks_random;
pub use self::tls::{CertificatePair, ClientCertificates, ServerTls, UpstreamTls};

/// The files of a configuration as they are now; none when they cannot be listed.
pub(crate) fn files(path: &std::path::Path) -> Option<Vec<std::path::PathBuf>> {
    files::list(path).ok()
}

/// A whole configuration, as it was written. [`compile`](crate::plan::compile) is what it is for.
#[derive(Debug)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[admin]`
    pub admin: Option<Admin>,
    /// `[log]`
    pub log: Log,
    /// `[upstreams.NAME]`
    pub upstreams: Vec<Table<Upstream>>,
    /// `[plugins.NAME]`
    pub plugins: Vec<Table<Plugin>>,
    /// `[locations.NAME]`, in the order of the files.
    pub locations: Vec<Table<Location>>,
    pub(crate) server_origin: Origin,
    pub(crate) admin_origin: Origin,
    pub(crate) sources: Sources,
    /// What was found to be wrong inside the tables.
    pub(crate) findings: Findings,
}

impl Config {
    fn empty(sources: Sources) -> Self {
        Self {
            server: Server::default(),
            admin: None,
            log: Log::default(),
            upstreams: Vec::new(),
            plugins: Vec::new(),
            locations: Vec::new(),
            server_origin: Origin::default(),
            admin_origin: Origin::default(),
            sources,
            findings: Findings::default(),
        }
    }

    /// The keys files that plugins name.
    pub(crate) fn keys_files(&self) -> impl Iterator<Item = PathBuf> {
        self.plugins.iter().filter_map(|table| {
            let file = table.written.as_ref()?.settings.keys_file()?;
            Some(self.sources.folder(&table.origin).join(file))
        })
    }

    /// Warns of variables that are there by mistake.
    fn warn_of(&mut self, environment: &Environment) {
        for fault in environment.misspelt() {
            let source = self.sources.add("the environment");
            self.findings.warn(source, fault);
        }
    }
}

/// A table with a name.
#[derive(Debug)]
pub struct Table<T> {
    /// Its name.
    pub name: String,
    pub(crate) origin: Origin,
    /// What could be read of it; absent: nothing.
    pub(crate) written: Option<T>,
    /// The fields that could not be read.
    pub(crate) bad_fields: Vec<String>,
}

impl<T> Table<T> {
    pub(crate) fn new(name: &str, origin: Origin, written: T) -> Self {
        Self { name: name.to_owned(), origin, written: Some(written), bad_fields: Vec::new() }
    }

    /// Whether a field is there but could not be read, or was perhaps meant by an unknown one.
    pub(crate) fn has_fault(&self, field: &str) -> bool {
        self.bad_fields.iter().any(|bad| suggest::closest(bad, [field]).is_some())
    }
}

/// A plugin's kind and what its own file has read.
#[derive(Debug)]
pub struct Plugin {
    /// The name of the kind.
    pub kind: &'static str,
    /// The settings.
    pub settings: Box<dyn Settings>,
}

/// `[server]`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where to listen: an address or a list of them.
    pub listen: Listen<ListenAt>,
    /// How many threads serve; 0: one per core.
    pub workers: Count<0, 1024>,
    /// Whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<Spanned<Trusted>>,
    /// How many client connections there may be; 0: as the file-descriptor limit allows.
    pub max_connections: Spanned<Count<0, 10_000_000>>,
    /// How long a whole request head may take.
    pub client_header_timeout: Period,
    /// How long a client may take between two pieces of a body.
    pub client_body_timeout: Period,
    /// How many bytes a second of a body a client must send, or take; 0: any number.
    pub client_min_rate: Count<0, 1_000_000>,
    /// How many requests a client may send at a time over one connection of HTTP/2.
    pub http2_max_concurrent_streams: Count<1, 1000>,
    /// How long a connection may wait for its next request.
    pub keepalive_timeout: Period,
    /// The longest request head.
    pub max_header_size: HeadSize,
    /// How long requests in flight may go on after a stop.
    pub shutdown_timeout: Period,
    /// What clients are shown and asked for where TLS is spoken.
    pub tls: Option<Spanned<ServerTls>>,
}

/// Loopback: what is reachable from outside was written down as such.
const LISTEN: &str = "127.0.0.1:8080";

/// A head fits into one packet or a few; who takes longer holds a connection for its own sake.
const CLIENT_HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A phone in a tunnel is silent for some seconds, and seldom for half a minute.
const CLIENT_BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What Kestrel and IIS ask for: slower than any modem, faster than whoever only wants to hold a
/// connection.
const CLIENT_MIN_RATE: u32 = 240;

/// What RFC 9113, section 6.5.2, recommends at least, and browsers open at most.
const HTTP2_MAX_CONCURRENT_STREAMS: u32 = 100;

/// Longer than the 60 s of common load balancers, so that they close first and no request of
/// theirs meets a closed connection; also the default of nginx.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(75);

/// What nginx accepts (4 buffers of 8 KiB); the largest cookies and tokens in use fit.
const MAX_HEADER_SIZE: usize = 32 << 10;

/// What Kubernetes grants between SIGTERM and SIGKILL.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: literal(LISTEN),
            workers: Count::new(0),
            trusted_proxies: Vec::new(),
            max_connections: Spanned::new(0..0, Count::new(0)),
            client_header_timeout: Period(CLIENT_HEADER_TIMEOUT),
            client_body_timeout: Period(CLIENT_BODY_TIMEOUT),
            client_min_rate: Count::new(CLIENT_MIN_RATE),
            http2_max_concurrent_streams: Count::new(HTTP2_MAX_CONCURRENT_STREAMS),
            keepalive_timeout: Period(KEEPALIVE_TIMEOUT),
            max_header_size: HeadSize(MAX_HEADER_SIZE),
            shutdown_timeout: Period(SHUTDOWN_TIMEOUT),
            tls: None,
        }
    }
}

/// `[admin]`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Where health and metrics are told: an address or a list of them.
    pub listen: Listen,
    /// How many keys have their requests counted by their names; 0: none.
    pub counted_keys: Count<0, 10_000>,
}

/// Prometheus's own port; loopback, because nobody is asked for a key there.
const ADMIN_LISTEN: &str = "127.0.0.1:9090";

/// As many series as a scraper does not notice; who has more keys says so.
const COUNTED_KEYS: u32 = 100;

impl Default for Admin {
    fn default() -> Self {
        Self { listen: literal(ADMIN_LISTEN), counted_keys: Count::new(COUNTED_KEYS) }
    }
}

/// `[log]`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The form of every line.
    pub format: LogFormat,
    /// Whether there is an access log.
    pub access: bool,
}

impl Default for Log {
    fn default() -> Self {
        // Who asks what happened last night has no use for a log that begins now.
        Self { format: LogFormat::Text, access: true }
    }
}

/// `[upstreams.NAME]`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// Where it can be reached, each with an optional weight.
    pub addrs: Option<Addresses>,
    /// How an address is chosen.
    pub balance: Balance,
    /// The HTTP version spoken with it.
    pub protocol: Protocol,
    /// The `Host` sent upstream.
    pub host: HostHeader,
    /// How long a connection may take to be made.
    pub connect_timeout: Period,
    /// How long the response head may take.
    pub response_timeout: Period,
    /// How long there may be nothing between two pieces of a response body.
    pub read_timeout: Period,
    /// How many idle connections each worker keeps.
    pub max_idle: Count<0, 65_535>,
    /// How many requests it gets at a time, over all workers; absent: any number.
    pub max_connections: Option<Count<1, 1_000_000>>,
    /// How many more may wait, with `max_connections`.
    pub max_queue: Count<0, 1_000_000>,
    /// How long they may.
    pub queue_timeout: Period,
    /// How many failures within `fail_timeout` are too many; 0: no number is.
    pub max_fails: Count<0, 1000>,
    /// How long an address that has failed too often is passed over.
    pub fail_timeout: Period,
    /// How its addresses are checked.
    pub health: Option<types::Health>,
    /// How addresses that speak TLS are met.
    pub tls: Option<Spanned<UpstreamTls>>,
}

/// One lost SYN is sent again after 1 s, a second one after 3 s: the first repeat may succeed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Models think long: a minute, as elsewhere, would cut off paid answers.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(600);

/// Between two tokens a model may call a tool; servers of event streams send a comment every 15 s.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// More requests at once than that from one core are bound by the upstream, not by connecting.
const MAX_IDLE: u32 = 256;

/// What waits costs some KiB and a client's connection each; Envoy lets 1024 wait.
const MAX_QUEUE: u32 = 1000;

/// About what a person waits for an answer; HAProxy's manual has it in its examples.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);

/// One request that an address does not serve is enough to ask others first: nginx's `max_fails`.
const MAX_FAILS: u32 = 1;

/// How long a restart takes, about: nginx's `fail_timeout`.
const FAIL_TIMEOUT: Duration = Duration::from_secs(10);

impl Default for Upstream {
    fn default() -> Self {
        Self {
            addrs: None,
            balance: Balance::RoundRobin,
            protocol: Protocol::Http1,
            host: HostHeader::default(),
            connect_timeout: Period(CONNECT_TIMEOUT),
            response_timeout: Period(RESPONSE_TIMEOUT),
            read_timeout: Period(READ_TIMEOUT),
            max_idle: Count::new(MAX_IDLE),
            max_connections: None,
            max_queue: Count::new(MAX_QUEUE),
            queue_timeout: Period(QUEUE_TIMEOUT),
            max_fails: Count::new(MAX_FAILS),
            fail_timeout: Period(FAIL_TIMEOUT),
            health: None,
            tls: None,
        }
    }
}

/// `[locations.NAME]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Location {
    /// Which paths: a prefix, `=/exact` or `~regex`.
    pub path: Option<Spanned<Path>>,
    /// Which hosts, separated by commas; absent: any.
    pub host: Option<Hosts>,
    /// Which methods; absent: any.
    pub methods: Option<Spanned<Vec<MethodName>>>,
    /// The name of the upstream; absent: the location says itself whether a request may go on.
    pub upstream: Option<Spanned<String>>,
    /// Which proxy it says so to.
    pub forward_auth: Option<Spanned<Asker>>,
    /// The names of the plugins, in the order in which they decide.
    pub plugins: Vec<Spanned<String>>,
    /// The longest request body.
    pub client_max_body_size: Option<Size>,
    /// How many requests may be processed at once.
    pub max_processing: Option<Count<1, 1_000_000>>,
    /// Whether the location is open to everybody.
    pub public: Option<Spanned<bool>>,
}
