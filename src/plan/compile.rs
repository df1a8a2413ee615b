//! From a [`Config`] to a [`Plan`]: names become references here, and nowhere later.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use http::HeaderName;

use super::{InFlight, Location, Log, NamedPlugin, Plan, ServerLimits, TrustedProxies, Upstream};
use crate::config::address::Trusted;
use crate::config::problem::{Fault, Problem, Problems, Severity};
use crate::config::source::{Findings, Origin};
use crate::config::{self, Config, Table, suggest};
use crate::plugin::Built;
use crate::route::{HostPattern, Route, Router};

/// Compiles a configuration. `previous` is the plan that is being replaced: state that outlives a
/// reload is taken over from it, where name and settings are equal.
///
/// # Errors
///
/// Everything that is wrong with the configuration, at once.
pub fn compile(config: &Config, previous: Option<&Plan>) -> Result<Plan, Problems> {
    let mut compiler = Compiler { config, previous, findings: config.findings.clone() };
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
    let problems = config.sources.problems(&compiler.findings);
    if compiler.findings.has_errors() {
        return Err(Problems(problems));
    }
    let warnings = problems.into_iter().filter(|p| p.severity == Severity::Warning).collect();
    let upstreams = upstreams.into_iter().flatten().collect();
    let (routes, locations) = compiled.into_iter().flatten().unzip();
    Ok(plan(config, server, Router::new(routes), locations, upstreams, plugins, warnings))
}

fn plan(
    config: &Config,
    server: ServerLimits,
    router: Router,
    locations: Vec<Location>,
    upstreams: Vec<Arc<Upstream>>,
    plugins: Vec<Option<Built>>,
    warnings: Vec<Problem>,
) -> Plan {
    let mut credential_parameters = Vec::new();
    let mut credential_headers: Vec<HeaderName> = Vec::new();
    for built in plugins.iter().flatten() {
        credential_parameters.extend(built.credentials.parameters.iter().cloned());
        credential_headers.extend(built.credentials.headers.iter().cloned());
    }
    credential_parameters.sort();
    credential_parameters.dedup();
    credential_headers.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    credential_headers.dedup();
    let named = config.plugins.iter().zip(plugins);
    let plugins = named.filter_map(|(table, built)| {
        Some(NamedPlugin { name: table.name.as_str().into(), plugin: built?.plugin })
    });
    Plan {
        listen: config.server.listen.0.iter().map(|address| address.get_ref().clone()).collect(),
        workers: workers(config),
        server,
        trusted: trusted(config),
        log: Log { format: config.log.format, access: config.log.access },
        router,
        locations,
        upstreams,
        plugins: plugins.collect(),
        credential_parameters,
        credential_headers,
        warnings,
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
struct Compiler<'c> {
    config: &'c Config,
    previous: Option<&'c Plan>,
    findings: Findings,
}

impl Compiler<'_> {
    fn plugin(&mut self, table: &Table<config::Plugin>) -> Option<Built> {
        let settings = &table.written.as_ref()?.settings;
        let previous = self.previous.and_then(|plan| plan.plugin(&table.name));
        match settings.build(previous) {
            Ok(built) => {
                for warning in &built.warnings {
                    self.findings.warn_in(&table.origin, warning.clone());
                }
                Some(built)
            }
            Err(faults) => {
                for fault in faults {
                    self.findings.fault_in(&table.origin, fault);
                }
                None
            }
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
        }
        let upstream = Upstream {
            name: table.name.as_str().into(),
            addrs: addrs.0.iter().map(|address| address.get_ref().clone()).collect(),
            balance: written.balance,
            host: written.host.0.clone(),
            connect_timeout: written.connect_timeout.0,
            response_timeout: written.response_timeout.0,
            read_timeout: written.read_timeout.0,
            max_idle: written.max_idle.number() as usize,
        };
        let same = |old: &&Arc<Upstream>| ***old == upstream;
        let previous = self.previous.and_then(|plan| plan.upstreams.iter().find(same));
        Some(previous.map_or_else(|| Arc::new(upstream), Arc::clone))
    }

    fn location(
        &mut self,
        table: &Table<config::Location>,
        plugins: &[Option<Built>],
        guards: &mut HashMap<Vec<usize>, usize>,
    ) -> Option<(Route, Location)> {
        let written = table.written.as_ref()?;
        for (field, is_there) in
            [("path", written.path.is_some()), ("upstream", written.upstream.is_some())]
        {
            if !is_there && !table.has_fault(field) {
                let fault = Fault::new(format!("location `{}` has no `{field}`", table.name));
                self.findings.fault_in(&table.origin, fault);
            }
        }
        let upstream = self.upstream_of(table, written);
        let used = self.plugins_of(table, written);
        self.guarded(table, written, used.as_deref(), plugins);
        if let Some(methods) = written.methods.as_ref().filter(|m| m.get_ref().is_empty()) {
            let fault = Fault::at(methods.span(), "the list of methods is empty")
                .help("without `methods` a location takes every method");
            self.findings.fault_in(&table.origin, fault);
        }
        let (path, upstream, used) = (written.path.as_ref()?, upstream?, used?);
        let built: Vec<&Built> =
            used.iter().map(|&i| plugins[i].as_ref()).collect::<Option<_>>()?;
        let next = guards.len();
        let route = Route {
            path: path.get_ref().pattern.clone(),
            hosts: hosts(written).to_vec(),
            methods: methods(written).cloned().collect(),
            guard: *guards.entry(used).or_insert(next),
        };
        let location = Location {
            name: table.name.as_str().into(),
            plugins: built.iter().map(|built| Arc::clone(&built.plugin)).collect(),
            upstream,
            max_body: written.client_max_body_size.map(|size| size.0),
            max_processing: self.max_processing(table, written),
            errors: built.iter().find_map(|built| built.errors.clone()).unwrap_or_default(),
        };
        Some((route, location))
    }

    fn upstream_of(
        &mut self,
        table: &Table<config::Location>,
        written: &config::Location,
    ) -> Option<usize> {
        let reference = written.upstream.as_ref()?;
        let name = reference.get_ref();
        let found = self.config.upstreams.iter().position(|upstream| upstream.name == *name);
        if found.is_none() {
            let known: Vec<_> = self.config.upstreams.iter().map(|u| u.name.as_str()).collect();
            let fault = Fault::at(reference.span(), format!("unknown upstream {}", quoted(name)))
                .help(suggest::help(name, &known, "there is none: write `[upstreams.NAME]`"));
            self.findings.fault_in(&table.origin, fault);
        }
        found
    }

    fn plugins_of(
        &mut self,
        table: &Table<config::Location>,
        written: &config::Location,
    ) -> Option<Vec<usize>> {
        let mut used = Vec::new();
        let mut complete = true;
        for reference in &written.plugins {
            let name = reference.get_ref();
            let found = self.config.plugins.iter().position(|plugin| plugin.name == *name);
            let fault = match found {
                Some(index) if !used.contains(&index) => {
                    used.push(index);
                    continue;
                }
                Some(_) => Fault::new(format!("plugin {} is there twice", quoted(name))),
                None => self.unknown_plugin(name),
            };
            complete = false;
            let fault = Fault { span: Some(reference.span()), ..fault };
            self.findings.fault_in(&table.origin, fault);
        }
        complete.then_some(used)
    }

    fn unknown_plugin(&self, name: &str) -> Fault {
        let known: Vec<_> = self.config.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        let none = "there is none: write plugins.NAME.toml or `[plugins.NAME]`";
        Fault::new(format!("unknown plugin {}", quoted(name)))
            .help(suggest::help(name, &known, none))
    }

    /// A location is guarded or says that it is public: never neither, never both.
    fn guarded(
        &mut self,
        table: &Table<config::Location>,
        written: &config::Location,
        used: Option<&[usize]>,
        plugins: &[Option<Built>],
    ) {
        // What a plugin with a fault would do is not known.
        let Some(used) = used.filter(|used| used.iter().all(|&i| plugins[i].is_some())) else {
            return;
        };
        let authenticates = |&&i: &&usize| plugins[i].as_ref().is_some_and(|b| b.authenticates);
        let guard = used.iter().find(authenticates).map(|&i| &self.config.plugins[i].name);
        let public = written.public.as_ref().is_some_and(|public| *public.get_ref());
        let name = &table.name;
        let fault = match (guard, public) {
            (None, false) if table.bad_fields.is_empty() => {
                Fault::new(format!("location `{name}` has no plugin that authenticates")).help(
                    "name one, as in plugins = [\"key-auth\"], or open it to everybody: \
                     public = true",
                )
            }
            (Some(guard), true) => {
                let message =
                    format!("location `{name}` is public and guarded by `{guard}` at once");
                let span = written.public.as_ref().map(toml::Spanned::span);
                Fault { span, ..Fault::new(message) }.help("leave out one of the two")
            }
            _ => return,
        };
        self.findings.fault_in(&table.origin, fault);
    }

    fn max_processing(
        &self,
        table: &Table<config::Location>,
        written: &config::Location,
    ) -> Option<Arc<InFlight>> {
        let max = written.max_processing?.number() as usize;
        let old = self
            .previous
            .and_then(|plan| plan.locations.iter().find(|location| *location.name == *table.name));
        let old = old.and_then(|location| location.max_processing.as_ref());
        match old {
            Some(in_flight) if in_flight.max == max => Some(Arc::clone(in_flight)),
            _ => Some(Arc::new(InFlight { now: AtomicUsize::new(0), max })),
        }
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
        self.unused();
        let guarded = |(_, location): &(Route, Location)| !location.plugins.is_empty();
        let complete = compiled.iter().all(Option::is_some) && plugins.iter().all(Option::is_some);
        if complete && !compiled.is_empty() && !compiled.iter().flatten().any(guarded) {
            let fault = Fault::new("no location is guarded: every request is let through");
            self.findings.warn_in(&self.config.locations[0].origin, fault);
        }
    }

    fn conflicts(&mut self) {
        let written = |table: &Table<config::Location>| table.written.is_some();
        let tables: Vec<_> = self.config.locations.iter().filter(|t| written(t)).collect();
        for (index, second) in tables.iter().enumerate() {
            for first in &tables[..index] {
                let (Some(a), Some(b)) = (&first.written, &second.written) else { continue };
                let Some(path) = b.path.as_ref().filter(|_| overlap(a, b)) else { continue };
                let place = self.config.sources.place(&first.origin);
                let message = format!(
                    "locations `{}` and `{}` have the same host, path and a method in common",
                    first.name, second.name
                );
                let fault = Fault::at(path.span(), message)
                    .help(format!("the first is at {place}; which one is meant cannot be told"));
                self.findings.fault_in(&second.origin, fault);
            }
        }
    }

    fn unused(&mut self) {
        // A location that could not be read may use any of them.
        if self.findings.has_errors() {
            return;
        }
        let config = self.config;
        let written = || config.locations.iter().filter_map(|table| table.written.as_ref());
        for plugin in &config.plugins {
            if !written().any(|l| l.plugins.iter().any(|name| *name.get_ref() == plugin.name)) {
                let fault = Fault::new(format!("no location uses plugin `{}`", plugin.name));
                self.findings.warn_in(&plugin.origin, fault);
            }
        }
        for upstream in &config.upstreams {
            let uses = |name: &toml::Spanned<String>| *name.get_ref() == upstream.name;
            if !written().any(|location| location.upstream.as_ref().is_some_and(uses)) {
                let fault = Fault::new(format!("no location uses upstream `{}`", upstream.name));
                self.findings.warn_in(&upstream.origin, fault);
            }
        }
    }

    fn server(&mut self) -> ServerLimits {
        let server = &self.config.server;
        let origin = &self.config.server_origin;
        for (index, address) in server.listen.0.iter().enumerate() {
            let earlier = &server.listen.0[..index];
            if earlier.iter().any(|other| other.get_ref() == address.get_ref()) {
                let fault = Fault::at(address.span(), "this address is there twice");
                self.findings.fault_in(origin, fault);
            }
        }
        for proxy in &server.trusted_proxies {
            if matches!(proxy.get_ref(), Trusted::Network(network) if network.prefix_len() == 0) {
                let fault = Fault::at(proxy.span(), "every client is a trusted proxy")
                    .help("whoever connects can then say in X-Forwarded-For who they are");
                self.findings.warn_in(origin, fault);
            }
        }
        ServerLimits {
            max_connections: self.max_connections(),
            client_header_timeout: server.client_header_timeout.0,
            client_body_timeout: server.client_body_timeout.0,
            keepalive_timeout: server.keepalive_timeout.0,
            max_header_size: server.max_header_size.0,
            shutdown_timeout: server.shutdown_timeout.0,
        }
    }

    fn max_connections(&mut self) -> usize {
        let written = &self.config.server.max_connections;
        let allowed = super::connections::allowed();
        match written.get_ref().number() as usize {
            0 => allowed,
            number => {
                if number > allowed {
                    let message = format!(
                        "the file-descriptor limit allows {allowed} connections, not {number}"
                    );
                    let fault = Fault::at(written.span(), message)
                        .help("raise it (`ulimit -n`, LimitNOFILE=), two for each connection");
                    self.findings.warn_in(&self.config.server_origin, fault);
                }
                number
            }
        }
    }
}

fn quoted(name: &str) -> String {
    let shown = if config::looks_like_key(name) { "***" } else { name };
    format!("`{shown}`")
}

fn hosts(location: &config::Location) -> &[HostPattern] {
    location.host.as_ref().map_or(&[], |hosts| &hosts.patterns)
}

fn methods(location: &config::Location) -> impl Iterator<Item = &http::Method> {
    location.methods.iter().flat_map(|methods| methods.get_ref().iter().map(|method| &method.0))
}

/// Whether a request can match both equally well.
fn overlap(a: &config::Location, b: &config::Location) -> bool {
    let (Some(path), Some(other)) = (&a.path, &b.path) else { return false };
    // Two spellings of one pattern are displayed alike.
    let same_path = path.get_ref().pattern.to_string() == other.get_ref().pattern.to_string();
    let same_host = match (hosts(a), hosts(b)) {
        ([], []) => true,
        (a, b) => a.iter().any(|host| b.contains(host)),
    };
    let any = |location| methods(location).next().is_none();
    let same_method = any(a) || any(b) || methods(a).any(|m| methods(b).any(|other| other == m));
    same_path && same_host && same_method
}
