//! What is allowed but probably not meant.

use super::compile::Compiler;
use super::location::{hosts, methods};
use crate::config::address::Trusted;
use crate::config::problem::Fault;
use crate::config::{self, Table};
use crate::plugin::Built;

impl Compiler<'_> {
    /// Notes everything that somebody should know although it is no error.
    pub(super) fn warnings(&mut self, plugins: &[Option<Built>]) {
        self.trusting_everybody();
        self.shadowed();
        self.unanchored();
        self.unencrypted(plugins);
        self.unused();
    }

    fn trusting_everybody(&mut self) {
        for proxy in &self.config.server.trusted_proxies {
            if matches!(proxy.get_ref(), Trusted::Network(network) if network.prefix_len() == 0) {
                let fault = Fault::at(proxy.span(), "every client is a trusted proxy")
                    .help("whoever connects can then say in X-Forwarded-For who they are");
                self.findings.warn_in(&self.config.server_origin, fault);
            }
        }
    }

    /// Finds regexes that are never tried, because prefixes are tried before them (nginx tries them
    /// after).
    fn shadowed(&mut self) {
        let locations = written(self.config);
        let takes_any = |location: &config::Location| {
            hosts(location).is_empty() && methods(location).next().is_none()
        };
        for (table, location) in &locations {
            let Some(path) = location.path.as_ref().filter(|_| hosts(location).is_empty()) else {
                continue;
            };
            let first =
                locations.iter().filter(|(_, other)| takes_any(other)).find(|(_, other)| {
                    let other = other.path.as_ref().map(|path| &path.get_ref().pattern);
                    other.is_some_and(|other| other.precedes_all_of(&path.get_ref().pattern))
                });
            let Some((first, _)) = first else { continue };
            let message = format!("no request reaches location `{}`", table.name);
            let fault = Fault::at(path.span(), message)
                .help(format!("`{}` takes its paths before a regex is tried", first.name));
            self.findings.warn_in(&table.origin, fault);
        }
    }

    /// Finds regexes that fit anywhere in a path: what was meant to open `/health` opens
    /// `/users/health` too.
    fn unanchored(&mut self) {
        for (table, location) in written(self.config) {
            let Some(path) = &location.path else { continue };
            if path.get_ref().pattern.is_unanchored() {
                let message = format!("the regex of location `{}` fits in a path", table.name);
                let fault = Fault::at(path.span(), message + " wherever it stands")
                    .help("`^` at its beginning binds it to the beginning of a path");
                self.findings.warn_in(&table.origin, fault);
            }
        }
    }

    /// Finds keys in the query that come from other machines in the clear.
    fn unencrypted(&mut self, plugins: &[Option<Built>]) {
        let listen = self.config.server.listen.0.iter().map(|written| written.get_ref());
        let clear = listen.filter(|written| !self.speaks_tls(written));
        let mut remote = clear.map(|written| &written.address).filter(|on| !on.is_local());
        let Some(address) = remote.next() else { return };
        let in_query = |built: &Built| !built.credentials.parameters.is_empty();
        for (table, built) in self.config.plugins.iter().zip(plugins) {
            if built.as_ref().is_some_and(in_query) {
                let message = format!("a key in the query comes to {address} unencrypted");
                let fault = Fault::new(message).help(
                    "`[server.tls]`, or a proxy in front, encrypts it; and a header is better, since \
                     histories and other servers' logs keep a query",
                );
                self.findings.warn_in(&table.origin, fault);
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
}

fn written(config: &config::Config) -> Vec<(&Table<config::Location>, &config::Location)> {
    let tables = config.locations.iter();
    tables.filter_map(|table| Some((table, table.written.as_ref()?))).collect()
}
