//! A plan with the keys of now, for when nothing but keys has changed, or the rest is wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::Plan;
use crate::config::problem::{Problem, Severity};
use crate::plugin::{Plugin, Site};

/// What came of reading the keys again.
pub struct Renewed {
    /// The plan with what was read; none if it is as before.
    pub plan: Option<Plan>,
    /// Whether there are keys in it that were read. Where a command has failed the plan differs
    /// only in when it is asked again.
    pub has_news: bool,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

impl Plan {
    /// The files beside the configuration that this plan was made from.
    pub fn files(&self) -> Vec<PathBuf> {
        let keys = self.plugins.iter().flat_map(|plugin| plugin.plugin.files());
        let shown = self.tls.iter().flat_map(|tls| tls.files());
        let believed = self.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref());
        keys.chain(shown).chain(believed.flat_map(|tls| tls.files())).collect()
    }

    /// Has keys that no file holds be asked for at once.
    pub fn expire(&self) {
        self.plugins.iter().for_each(|named| named.plugin.expire());
    }

    /// Asks for keys that are due and no file holds, for [`Plan::renewed`]; this may take long.
    pub fn ask(&self) {
        self.plugins.iter().for_each(|named| named.plugin.ask());
    }

    /// Whether keys that no file holds are older than they should be.
    pub fn is_stale(&self) -> bool {
        self.plugins.iter().any(|named| named.plugin.is_stale())
    }

    /// When keys are to be asked for that no file holds.
    pub fn due(&self) -> Option<Instant> {
        self.plugins.iter().filter_map(|named| named.plugin.due()).min()
    }

    /// Writes down when keys were used.
    pub fn note_used(&self) {
        self.plugins.iter().for_each(|named| named.plugin.note_used());
    }

    /// The same plan with the keys that are there now, where they have changed. Keys that are wrong
    /// leave the old ones.
    pub fn renewed(&self) -> Renewed {
        let locations: Vec<_> = self.locations.iter().map(|location| &*location.name).collect();
        let (mut problems, mut has_news) = (Vec::new(), false);
        let mut plan = None;
        for named in &self.plugins {
            let mut site = Site { locations: &locations, ..Site::default() };
            if let Some(plugin) = named.plugin.renewed(&mut site) {
                plan.get_or_insert_with(|| self.clone()).replace(&named.plugin, &plugin);
            }
            problems.extend(site.problems);
            has_news |= site.has_news;
        }
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        let (problems, warnings) = problems.into_iter().partition(is_error);
        if let Some(plan) = &mut plan {
            plan.warnings = warnings;
        }
        Renewed { plan, has_news, problems }
    }

    fn replace(&mut self, old: &Arc<dyn Plugin>, new: &Arc<dyn Plugin>) {
        let own = self.plugins.iter_mut().map(|named| &mut named.plugin);
        let used = self.locations.iter_mut().flat_map(|location| &mut location.plugins);
        for plugin in own.chain(used).filter(|plugin| Arc::ptr_eq(plugin, old)) {
            *plugin = Arc::clone(new);
        }
    }
}
