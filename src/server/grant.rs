//! The keys that an open request was let through with, where streams end with their keys.

use std::cell::RefCell;
use std::iter;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::SystemTime;

use super::clock::{Deadlines, Wait};
use super::worker::{Served, Worker};
use crate::plugin::{Cx, Grant, GrantSite};
use crate::reply::{Cause, Reply};

/// What one connection's request was let through with, if it ends with that.
#[derive(Default)]
pub(crate) struct Granted(RefCell<Option<Box<Held>>>);

struct Held {
    /// Each with the name of the plugin that knows the key; never empty.
    grants: Vec<(Box<str>, Grant)>,
    /// By what the request was decided.
    began: Rc<Served>,
    /// Its location there, and others that some reading of its path leads to.
    locations: Box<[usize]>,
    client: Option<IpAddr>,
    /// By what the keys were found to be valid last.
    checked: Rc<Served>,
    /// Counts it among those of the worker.
    _counted: Rc<()>,
}

impl Granted {
    /// Holds a request to its keys from now on.
    pub(crate) fn hold(
        &self,
        cx: &mut Cx,
        served: &Rc<Served>,
        worker: &Worker,
        deadlines: &Deadlines,
    ) {
        let named = |grant: Grant| {
            // No plugin is without a name; one of none would know no key.
            let name = served.plan.plugin_name(cx.location, grant.step).unwrap_or_default();
            (name.into(), grant)
        };
        let grants: Vec<_> = std::mem::take(&mut cx.grants).into_iter().map(named).collect();
        set(deadlines, &grants, worker.clock.wall());
        *self.0.borrow_mut() = Some(Box::new(Held {
            grants,
            began: Rc::clone(served),
            locations: iter::once(cx.location).chain(cx.also.iter().copied()).collect(),
            client: cx.client,
            checked: Rc::clone(served),
            _counted: Rc::clone(&worker.grants),
        }));
    }

    /// The request is over.
    pub(super) fn release(&self, deadlines: &Deadlines) {
        if self.0.take().is_some() {
            deadlines.clear(Wait::Grant);
        }
    }

    /// Asks whether the keys are still valid, and for this request. Only what may have changed is
    /// looked at: the keys, and the time. A plugin that is there no more knows no key.
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
        let began = &held.began.plan.locations;
        let locations: Vec<_> = held.locations.iter().map(|index| &*began[*index].name).collect();
        let site = GrantSite { locations: &locations, client: held.client };
        for (plugin, grant) in &mut held.grants {
            let plugin = served.plan.plugin(plugin).ok_or(Reply::from(Cause::InvalidKey))?;
            grant.until = plugin.renew(grant, site, now)?;
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
