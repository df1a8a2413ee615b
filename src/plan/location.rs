//! Locations, and what they refer to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use toml::Spanned;

use super::compile::Compiler;
use super::{Destination, InFlight, Location};
use crate::config::problem::Fault;
use crate::config::{self, Table, suggest};
use crate::plugin::Built;
use crate::reply::ErrorStyle;
use crate::route::{HostPattern, Route};

impl Compiler<'_> {
    /// Compiles one location; absent: something in it is wrong.
    pub(super) fn location(
        &mut self,
        table: &Table<config::Location>,
        plugins: &[Option<Built>],
        guards: &mut HashMap<Vec<usize>, usize>,
    ) -> Option<(Route, Location)> {
        let written = table.written.as_ref()?;
        if written.path.is_none() && !table.has_fault("path") {
            let fault = Fault::new(format!("location `{}` has no `path`", table.name));
            self.findings.fault_in(&table.origin, fault);
        }
        let used = self.plugins_of(table, written);
        self.guarded(table, written, used.as_deref(), plugins);
        if let Some(used) = &used {
            self.order(table, written, used, plugins);
        }
        if let Some(methods) = empty_list(table, written) {
            let fault = Fault::at(methods.span(), "the list of methods is empty")
                .help("without `methods` a location takes every method");
            self.findings.fault_in(&table.origin, fault);
        }
        let built = used.as_ref().and_then(|used| {
            used.iter().map(|&i| plugins[i].as_ref()).collect::<Option<Vec<&Built>>>()
        });
        let leads_to = self.destination(table, written, built.as_deref().unwrap_or_default());
        let (path, leads_to) = (written.path.as_ref()?, leads_to?);
        let (used, built) = (used?, built?);
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
            leads_to,
            max_body: written.client_max_body_size.map(|size| size.0),
            max_processing: self.max_processing(table, written),
            errors: ErrorStyle {
                by_status: matches!(leads_to, Destination::Verdict(_)),
                ..built.iter().find_map(|built| built.errors.clone()).unwrap_or_default()
            },
        };
        Some((route, location))
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
                Some(_) => Fault::new(format!("plugin `{name}` is there twice")),
                None => self.unknown_plugin(name),
            };
            complete = false;
            let fault = Fault { span: Some(reference.span()), ..fault };
            self.faults_in(&table.origin, vec![fault]);
        }
        complete.then_some(used)
    }

    fn unknown_plugin(&self, name: &str) -> Fault {
        let known: Vec<_> = self.config.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        let none = "there is none: write plugins.NAME.toml or `[plugins.NAME]`";
        Fault::new(format!("unknown plugin `{name}`")).help(suggest::help(name, &known, none))
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
                let span = written.public.as_ref().map(Spanned::span);
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

    /// Finds locations that match the same requests equally well.
    pub(super) fn conflicts(&mut self) {
        let mut by_path: HashMap<String, Vec<(&Table<config::Location>, &config::Location)>> =
            HashMap::new();
        for table in &self.config.locations {
            let Some(second) = &table.written else { continue };
            let Some(path) = &second.path else { continue };
            // Two spellings of one pattern are displayed alike.
            let others = by_path.entry(path.get_ref().pattern.to_string()).or_default();
            for (other, _) in others.iter().filter(|(_, first)| overlap(first, second)) {
                let place = self.config.sources.place(&other.origin);
                let message = format!(
                    "locations `{}` and `{}` have the same host, path and a method in common",
                    other.name, table.name
                );
                let fault = Fault::at(path.span(), message)
                    .help(format!("the first is at {place}; which one is meant cannot be told"));
                self.findings.fault_in(&table.origin, fault);
            }
            others.push((table, second));
        }
    }
}

pub(super) fn hosts(location: &config::Location) -> &[HostPattern] {
    location.host.as_ref().map_or(&[], |hosts| &hosts.patterns)
}

pub(super) fn methods(location: &config::Location) -> impl Iterator<Item = &http::Method> {
    location.methods.iter().flat_map(|methods| methods.get_ref().iter().map(|method| &method.0))
}

/// Whether two locations of the same path have a host and a method in common.
fn overlap(a: &config::Location, b: &config::Location) -> bool {
    let same_host = match (hosts(a), hosts(b)) {
        ([], []) => true,
        (a, b) => a.iter().any(|host| b.contains(host)),
    };
    let any = |location| methods(location).next().is_none();
    let same_method = any(a) || any(b) || methods(a).any(|m| methods(b).any(|other| other == m));
    same_host && same_method
}

/// A list of methods that is empty as it was written.
fn empty_list<'t>(
    table: &Table<config::Location>,
    written: &'t config::Location,
) -> Option<&'t Spanned<Vec<config::types::MethodName>>> {
    let methods = written.methods.as_ref()?;
    (methods.get_ref().is_empty() && !table.has_fault("methods")).then_some(methods)
}
