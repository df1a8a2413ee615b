//! The key that an open request was let through with, where streams end with their key.

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
    /// The name of the plugin that knows the key.
    plugin: Box<str>,
    grant: Grant,
    /// By what the key was found to be valid last.
    checked: Rc<Served>,
    /// Counts it among those of the worker.
    _counted: Rc<()>,
}

impl Granted {
    /// Holds a request to its key from now on.
    pub(crate) fn hold(
        &self,
        grant: Grant,
        plugin: &str,
        served: Rc<Served>,
        worker: &Worker,
        deadlines: &Deadlines,
    ) {
        set(deadlines, &grant, worker.clock.wall());
        let counted = Rc::clone(&worker.grants);
        let held = Held { plugin: plugin.into(), grant, checked: served, _counted: counted };
        *self.0.borrow_mut() = Some(Box::new(held));
    }

    /// The request is over.
    pub(super) fn release(&self, deadlines: &Deadlines) {
        if self.0.take().is_some() {
            deadlines.clear(Wait::Grant);
        }
    }

    /// Asks whether the key is still valid. Only what may have changed is looked at: the keys, and
    /// the time. A plugin that is there no more knows no key.
    ///
    /// # Errors
    ///
    /// It is not; what the request would be answered now.
    pub(super) fn check(&self, worker: &Worker, deadlines: &Deadlines) -> Result<(), Reply> {
        let mut held = self.0.borrow_mut();
        let Some(held) = &mut *held else { return Ok(()) };
        let served = worker.served();
        if Rc::ptr_eq(&held.checked, &served) && !deadlines.passed(Wait::Grant) {
            return Ok(());
        }
        let now = worker.clock.wall();
        let plugin = served.plan.plugin(&held.plugin).ok_or(Reply::from(Cause::InvalidKey))?;
        held.grant = plugin.renew(&held.grant, now)?;
        held.checked = served;
        deadlines.clear(Wait::Grant);
        set(deadlines, &held.grant, now);
        Ok(())
    }
}

/// Looks again when the key ends.
fn set(deadlines: &Deadlines, grant: &Grant, now: SystemTime) {
    if let Some(until) = grant.until {
        // One that has ended meanwhile is looked at again at once.
        deadlines.set(Wait::Grant, until.duration_since(now).unwrap_or_default());
    }
}
