//! Where the requests of a location go: to an upstream, or nowhere, because it gives a verdict.

use toml::Spanned;

use super::Destination;
use super::compile::Compiler;
use crate::config::problem::Fault;
use crate::config::{self, Table, suggest};
use crate::plugin::Built;
use crate::verdict::Asker;

impl Compiler<'_> {
    /// What the location leads to; absent: something about it is wrong.
    pub(super) fn destination(
        &mut self,
        table: &Table<config::Location>,
        written: &config::Location,
        used: &[&Built],
    ) -> Option<Destination> {
        let Some(reference) = &written.upstream else {
            // What an upstream that cannot be read is would not be known.
            return (!table.has_fault("upstream")).then(|| self.verdict(table, written, used));
        };
        if let Some(asker) = &written.forward_auth {
            let message = format!("location `{}` has an upstream and `forward_auth`", table.name);
            let fault = Fault::at(asker.span(), message).help(
                "leave out one: a location forwards, or it tells a proxy whether that may forward",
            );
            self.findings.fault_in(&table.origin, fault);
        }
        self.upstream_of(table, reference).map(Destination::Upstream)
    }

    fn upstream_of(
        &mut self,
        table: &Table<config::Location>,
        reference: &Spanned<String>,
    ) -> Option<usize> {
        let name = reference.get_ref();
        let found = self.config.upstreams.iter().position(|upstream| upstream.name == *name);
        if found.is_none() {
            let known: Vec<_> = self.config.upstreams.iter().map(|u| u.name.as_str()).collect();
            let fault = Fault::at(reference.span(), format!("unknown upstream `{name}`"))
                .help(suggest::help(name, &known, "there is none: write `[upstreams.NAME]`"));
            self.faults_in(&table.origin, vec![fault]);
        }
        found
    }

    fn verdict(
        &mut self,
        table: &Table<config::Location>,
        written: &config::Location,
        used: &[&Built],
    ) -> Destination {
        let asker = written.forward_auth.as_ref();
        if asker.is_none() && !table.has_fault("forward_auth") {
            let message = format!("location `{}` has no upstream", table.name);
            let fault = Fault::new(message + ": it answers 204 to whom it would let through").help(
                "if that is meant, say which proxy asks, as in forward_auth = \"nginx\"; \
                 else name an upstream, as in upstream = \"api\"",
            );
            self.findings.warn_in(&table.origin, fault);
        }
        if let Some(asker) = asker {
            self.believed(table, asker);
        }
        for (reference, built) in written.plugins.iter().zip(used) {
            if built.answers_preflights {
                let message = format!("`{}` answers preflights itself", reference.get_ref());
                let fault = Fault::at(reference.span(), message).help(
                    "a proxy that asks here would take that for leave; let it, or the API, answer \
                     them",
                );
                self.findings.fault_in(&table.origin, fault);
            }
        }
        Destination::Verdict(asker.map(|asker| *asker.get_ref()))
    }

    /// Finds a proxy that would say what it was asked, and never be believed.
    fn believed(&mut self, table: &Table<config::Location>, asker: &Spanned<Asker>) {
        let trusts_nobody = self.config.server.trusted_proxies.is_empty();
        if let Some([_, target]) = asker.get_ref().says_in().filter(|_| trusts_nobody) {
            let message = format!("nobody is believed who says `{target}`");
            let fault = Fault::at(asker.span(), message)
                .help("trusted_proxies in [server] names the proxy that asks");
            self.findings.fault_in(&table.origin, fault);
        }
    }
}
