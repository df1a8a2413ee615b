//! The keys that an open request was let through with, where streams end with their keys.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use super::clock::{Deadlines, Wait};
use super::worker::{Served, Worker};
use crate::plugin::Grant;
use crate::reply::{Cause, Reply};

/// What one connection's request was let through with, if it ends with that.
#[derive(Default)]
pub(crate) struct Granted(RefCell<Option<Box<Held>>>);

struct Held {
    /// Each with the name of the plugin that knows the key; never empty.
    grants: Vec<(Box<str>, Grant)>,
    /// By what the keys were found to be valid last.
    checked: Rc<Served>,
    /// Counts it among those of the worker.
    _counted: Rc<()>,
}

impl Granted {
    /// Holds a request to its keys from now on.
    pub(crate) fn hold(
        &self,
        grants: Vec<(Box<str>, Grant)>,
        served: &Rc<Served>,
        worker: &Worker,
        deadlines: &Deadlines,
    ) {
        set(deadlines, &grants, worker.clock.wall());
        let (checked, counted) = (Rc::clone(served), Rc::clone(&worker.grants));
        *self.0.borrow_mut() = Some(Box::new(Held { grants, checked, _counted: counted }));
    }

    /// The request is over.
    pub(super) fn release(&self, deadlines: &Deadlines) {
        if self.0.take().is_some() {
            deadlines.clear(Wait::Grant);
        }
    }

    /// Asks whether the keys are still valid. Only what may have changed is looked at: the keys,
    /// and the time. A plugin that is there no more knows no key.
    ///
    /// # Errors
    ///
    /// One is not; what the request would be answered now.
    pub(super) fn check(&self, worker: &Worker, deadlines: &Deadlines) -> Result<(), Reply> {
        let mut held = self.0.borrow_mut();
        let Some(held) = &mut *held else { return Ok(()) };
        let served = worker.served();
        if Rc::ptr_eq(&held.checked, &served) && !deadlines.passed(Wait::Grant) {
            return Ok(());
        }
        let now = worker.clock.wall();
        for (plugin, grant) in &mut held.grants {
            let plugin = served.plan.plugin(plugin).ok_or(Reply::from(Cause::InvalidKey))?;
            *grant = plugin.renew(grant, now)?;
        }
        held.checked = served;
        deadlines.clear(Wait::Grant);
        set(deadlines, &held.grants, now);
        Ok(())
    }
}

/// Looks again when the first of the keys ends.
fn set(deadlines: &Deadlines, grants: &[(Box<str>, Grant)], now: SystemTime) {
    if let Some(until) = grants.iter().filter_map(|(_, grant)| grant.until).min() {
        // One that has ended meanwhile is looked at again at once.
        deadlines.set(Wait::Grant, until.duration_since(now).unwrap_or_default());
    }
}
