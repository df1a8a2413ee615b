//! From a [`Config`] to a [`Plan`]: names become references here, and nowhere later.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;
use toml::Spanned;

use super::{
    Admin, ListenAddr, Location, Log, NamedPlugin, Plan, ServerLimits, TrustedProxies, Upstream,
};
use crate::config::address::{Listen, Trusted};
use crate::config::problem::{Fault, Problems, Severity};
use crate::config::source::{Findings, Origin};
use crate::config::{self, Config, Table};
use crate::plugin::{Built, CredentialPlaces, Site};
use crate::reply::ErrorStyle;
use crate::route::{Route, Router};
use crate::upstream::endpoint::Tolerance;
use crate::upstream::health::Health;
use crate::upstream::limit::Bounds;
use crate::upstream::live::Live;

/// Compiles a configuration. `previous` is the plan that is being replaced: state that outlives a
/// reload is taken over from it, where name and settings are equal.
///
/// # Errors
///
/// Everything that is wrong with the configuration, at once.
pub fn compile(config: &Config, previous: Option<&Plan>) -> Result<Plan, Problems> {
    let locations = config.locations.iter().map(|table| table.name.as_str()).collect();
    let mut compiler = Compiler { config, previous, locations, findings: config.findings.clone() };
    let plugins: Vec<_> = config.plugins.iter().map(|table| compiler.plugin(table)).collect();
    let upstreams: Vec<_> = config.upstreams.iter().map(|table| compiler.upstream(table)).collect();
    let mut guards = HashMap::new();
    let compiled: Vec<_> = config
        .locations
        .iter()
        .map(|table| compiler.location(table, &plugins, &mut guards))
        .collect();
    compiler.whole(&plugins, &compiled);
    let server = compiler.server();
    let admin = compiler.admin();
    let listen = compiler.listen();
    let tls = compiler.server_tls();
    let problems = config.sources.problems(&compiler.findings);
    if compiler.findings.has_errors() {
        return Err(Problems(problems));
    }
    let warnings = problems.into_iter().filter(|p| p.severity == Severity::Warning).collect();
    let upstreams = upstreams.into_iter().flatten().collect();
    let (routes, locations): (_, Vec<Location>) = compiled.into_iter().flatten().unzip();
    // Whoever asks may be at the wrong place.
    let by_status = locations.iter().any(|location| location.errors.by_status);
    Ok(Plan {
        unrouted: ErrorStyle { by_status, ..ErrorStyle::default() },
        listen,
        tls,
        locations,
        upstreams,
        warnings,
        ..plan(config, (server, admin), Router::new(routes), plugins)
    })
}

/// A plan that listens nowhere and leads nowhere yet.
fn plan(
    config: &Config,
    (server, admin): (ServerLimits, Option<Admin>),
    router: Router,
    plugins: Vec<Option<Built>>,
) -> Plan {
    let mut credential_names = Vec::new();
    let mut credential_headers: Vec<HeaderName> = Vec::new();
    for built in plugins.iter().flatten() {
        let CredentialPlaces { headers, parameters } = &built.credentials;
        let names = headers.iter().map(|name| name.as_str().as_bytes());
        let names = names.chain(parameters.iter().map(Vec::as_slice));
        credential_names.extend(names.map(<[u8]>::to_ascii_lowercase));
        credential_headers.extend(headers.iter().cloned());
    }
    credential_names.sort();
    credential_names.dedup();
    credential_headers.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    credential_headers.dedup();
    let named = config.plugins.iter().zip(plugins);
    let plugins = named.filter_map(|(table, built)| {
        Some(NamedPlugin { name: table.name.as_str().into(), plugin: built?.plugin })
    });
    Plan {
        unrouted: ErrorStyle::default(),
        listen: Vec::new(),
        tls: None,
        workers: workers(config),
        server,
        admin,
        trusted: trusted(config),
        log: Log { format: config.log.format, access: config.log.access },
        router,
        locations: Vec::new(),
        upstreams: Vec::new(),
        plugins: plugins.collect(),
        credential_names,
        credential_headers,
        warnings: Vec::new(),
    }
}

fn workers(config: &Config) -> usize {
    match config.server.workers.number() {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        number => number as usize,
    }
}

fn trusted(config: &Config) -> TrustedProxies {
    let mut trusted = TrustedProxies::default();
    for proxy in &config.server.trusted_proxies {
        match proxy.get_ref() {
            Trusted::Network(network) => trusted.networks.push(*network),
            Trusted::Unix => trusted.unix = true,
        }
    }
    trusted
}

/// Finds what is wrong while it turns tables into parts of the plan.
pub(super) struct Compiler<'c> {
    pub(super) config: &'c Config,
    pub(super) previous: Option<&'c Plan>,
    /// The names of all locations.
    locations: Vec<&'c str>,
    pub(super) findings: Findings,
}

impl Compiler<'_> {
    fn plugin(&mut self, table: &Table<config::Plugin>) -> Option<Built> {
        let settings = &table.written.as_ref()?.settings;
        let previous = self.previous.and_then(|plan| plan.plugin(&table.name));
        let mut site = Site {
            previous,
            folder: self.config.sources.folder(&table.origin),
            locations: &self.locations,
            ..Site::default()
        };
        let built = settings.build(&mut site);
        self.findings.add(site.problems);
        match built {
            Ok(built) => {
                let warnings = built.warnings.clone();
                for warning in self.config.sources.without_hidden(&table.origin, warnings) {
                    self.findings.warn_in(&table.origin, warning);
                }
                Some(built)
            }
            Err(faults) => {
                self.faults_in(&table.origin, faults);
                None
            }
        }
    }

    /// Notes faults whose messages may quote a value, unless they follow from one that is noted.
    pub(super) fn faults_in(&mut self, table: &Origin, mut faults: Vec<Fault>) {
        let before = &self.config.findings;
        faults.retain(|fault| {
            !fault.span.as_ref().is_some_and(|place| before.has_error_within(table, place))
        });
        for fault in self.config.sources.without_hidden(table, faults) {
            self.findings.fault_in(table, fault);
        }
    }

    fn upstream(&mut self, table: &Table<config::Upstream>) -> Option<Arc<Upstream>> {
        let written = table.written.as_ref()?;
        let Some(addrs) = &written.addrs else {
            if !table.has_fault("addrs") {
                let fault = Fault::new(format!("upstream `{}` has no addresses", table.name))
                    .help("addrs = [\"127.0.0.1:8000\"]");
                self.findings.fault_in(&table.origin, fault);
            }
            return None;
        };
        for (index, address) in addrs.0.iter().enumerate() {
            let target = &address.get_ref().target;
            if addrs.0[..index].iter().any(|other| other.get_ref().target == *target) {
                let fault = Fault::at(address.span(), "this address is there twice")
                    .help("a weight gives one address a larger share: \"HOST:PORT 2\"");
                self.findings.fault_in(&table.origin, fault);
            }
            let listen = &self.config.server.listen.0;
            if listen.iter().any(|own| own.get_ref().address.is_reached_by(target)) {
                let fault = Fault::at(address.span(), "this gate listens there itself")
                    .help("`listen` in [server] says where; an upstream is another server");
                self.findings.fault_in(&table.origin, fault);
            }
        }
        let tls = self.upstream_tls(table, written, addrs);
        let addrs: Vec<_> = addrs.0.iter().map(|address| address.get_ref().clone()).collect();
        let bounds = written.max_connections.map(|max_connections| Bounds {
            max_connections: max_connections.number() as usize,
            max_queue: written.max_queue.number() as usize,
            queue_timeout: written.queue_timeout.0,
        });
        let known = self.previous.into_iter().flat_map(|plan| &plan.upstreams);
        let named = known.clone().find(|upstream| *upstream.name == *table.name);
        let live = Live::new(&addrs, bounds, named.map(|upstream| &upstream.live));
        let upstream = Upstream {
            name: table.name.as_str().into(),
            addrs,
            balance: written.balance,
            protocol: written.protocol,
            host: written.host.0.clone(),
            connect_timeout: written.connect_timeout.0,
            response_timeout: written.response_timeout.0,
            read_timeout: written.read_timeout.0,
            max_idle: written.max_idle.number() as usize,
            tolerance: Tolerance {
                max_fails: written.max_fails.number(),
                fail_timeout: written.fail_timeout.0,
            },
            health: written.health.as_ref().map(health),
            bounds,
            live,
            tls,
        };
        let same = |old: &&Arc<Upstream>| ***old == upstream;
        Some(known.clone().find(same).map_or_else(|| Arc::new(upstream), Arc::clone))
    }

    /// What is wrong between the tables.
    fn whole(&mut self, plugins: &[Option<Built>], compiled: &[Option<(Route, Location)>]) {
        let whole = Origin::default();
        if self.config.locations.is_empty() {
            let fault = Fault::new("there is no location").help(
                "[locations.NAME] says which path goes to which upstream, guarded by which plugins",
            );
            self.findings.fault(whole.source, fault);
        }
        self.conflicts();
        self.warnings(plugins);
        let guarded = |(_, location): &(Route, Location)| !location.plugins.is_empty();
        let complete = compiled.iter().all(Option::is_some) && plugins.iter().all(Option::is_some);
        if complete && !compiled.is_empty() && !compiled.iter().flatten().any(guarded) {
            let fault = Fault::new("no location is guarded: every request is let through");
            self.findings.warn_in(&self.config.locations[0].origin, fault);
        }
    }

    fn server(&mut self) -> ServerLimits {
        let server = &self.config.server;
        let origin = &self.config.server_origin;
        for fault in twice(&server.listen) {
            self.findings.fault_in(origin, fault);
        }
        ServerLimits {
            max_connections: self.max_connections(),
            written_max_connections: server.max_connections.get_ref().number() as usize,
            client_header_timeout: server.client_header_timeout.0,
            client_body_timeout: server.client_body_timeout.0,
            client_min_rate: server.client_min_rate.number(),
            http2_max_concurrent_streams: server.http2_max_concurrent_streams.number(),
            keepalive_timeout: server.keepalive_timeout.0,
            max_header_size: server.max_header_size.0,
            shutdown_timeout: server.shutdown_timeout.0,
        }
    }

    fn max_connections(&mut self) -> usize {
        let written = &self.config.server.max_connections;
        let admin_listeners = self.config.admin.as_ref().map_or(0, |admin| admin.listen.0.len());
        let allowed = super::connections::allowed(admin_listeners);
        let number = match written.get_ref().number() as usize {
            0 => allowed,
            number => number,
        };
        if let Some(message) = doubt(number, allowed) {
            let fault = Fault::at(written.span(), message)
                .help("raise it (`ulimit -n`, LimitNOFILE=), two for each connection");
            self.findings.warn_in(&self.config.server_origin, fault);
        }
        number
    }
}

/// The addresses of a list that stand there before.
pub(super) fn twice<T: AsRef<ListenAddr>>(listen: &Listen<T>) -> impl Iterator<Item = Fault> {
    let place = |written: &Spanned<T>| written.get_ref().as_ref().clone();
    listen.0.iter().enumerate().filter_map(move |(index, address)| {
        let is_known = listen.0[..index].iter().any(|other| place(other) == place(address));
        is_known.then(|| Fault::at(address.span(), "this address is there twice"))
    })
}

fn health(written: &config::types::Health) -> Health {
    Health {
        path: written.path.0.clone(),
        interval: written.interval.0,
        timeout: written.timeout.0,
        unhealthy: written.unhealthy.number(),
        healthy: written.healthy.number(),
    }
}

/// What is doubtful about so many connections, where so many are allowed.
pub(super) fn doubt(number: usize, allowed: usize) -> Option<String> {
    if number > allowed {
        Some(format!("the file-descriptor limit allows {allowed} connections, not {number}"))
    } else if allowed < super::connections::FEW {
        Some(format!("the file-descriptor limit allows {allowed} connections only"))
    } else {
        None
    }
}
