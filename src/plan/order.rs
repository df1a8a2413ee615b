//! Whether the plugins of a location stand in an order in which each can do what it is there for.

use http::HeaderName;

use super::compile::Compiler;
use crate::config::problem::Fault;
use crate::config::{self, Table};
use crate::headers::is_alias;
use crate::plugin::Built;

impl Compiler<'_> {
    /// Finds plugins that stand before one which they must stand behind.
    pub(super) fn order(
        &mut self,
        table: &Table<config::Location>,
        written: &config::Location,
        used: &[usize],
        plugins: &[Option<Built>],
    ) {
        // What a plugin with a fault would do is not known.
        let Some(built) = used.iter().map(|&i| plugins[i].as_ref()).collect::<Option<Vec<_>>>()
        else {
            return;
        };
        let name = |at: usize| written.plugins[at].get_ref();
        let mut faults = Vec::new();
        for (at, plugin) in built.iter().enumerate() {
            let (before, behind) = (&built[..at], &built[at + 1..]);
            let mut fault = |message: String, help: String| {
                faults.push(Fault::at(written.plugins[at].span(), message).help(help));
            };
            if plugin.order.needs_key && !before.iter().any(|other| other.authenticates) {
                let message = format!("no plugin before `{}` says whose request it is", name(at));
                fault(message, "put one that authenticates before it, or count by client".into());
            }
            let source =
                |other: &&Built| other.authenticates && touches(plugin, &other.credentials.headers);
            let guard = behind.iter().position(|other| other.authenticates);
            if let Some(other) = behind.iter().position(source) {
                let other = name(at + 1 + other);
                let message = format!("`{}` changes a field in which `{other}` looks", name(at));
                fault(message, format!("put it behind `{other}`"));
            } else if let Some(other) = guard.filter(|_| plugin.order.gives) {
                let other = name(at + 1 + other);
                let message = format!("`{}` sets fields before `{other}` has decided", name(at));
                fault(message, format!("put it behind `{other}`"));
            }
            let keeper = |other: &&Built| touches(plugin, &other.order.keeps);
            if let Some(other) = built.iter().position(keeper) {
                let message =
                    format!("`{}` changes a field that `{}` needs", name(at), name(other));
                fault(message, "leave that field as it is".into());
            }
        }
        self.faults_in(&table.origin, faults);
    }
}

/// Whether a plugin changes one of these fields, in any spelling.
fn touches(plugin: &Built, fields: &[HeaderName]) -> bool {
    let alike = |a: &HeaderName, b: &HeaderName| is_alias(a.as_str(), b.as_str());
    plugin.order.changes.iter().any(|changed| fields.iter().any(|field| alike(changed, field)))
}
