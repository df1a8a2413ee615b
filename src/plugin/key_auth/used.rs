//! How much of its limits each key has used.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::keys::keyset::Rules;
use crate::limit::places::Places;
use crate::limit::subject::By;
use crate::limit::usage::Usages;
use crate::plugin::Cx;
use crate::reply::{Cause, Reply};

/// How many keys are remembered at a time. Only valid keys are, so that nobody else can fill it.
const KEYS_LIMIT: usize = 1 << 20;

/// What requests with the keys of one plugin have used; it outlives every reload.
#[derive(Debug)]
pub(super) struct Used {
    usages: Usages,
    places: Arc<Places>,
}

impl Default for Used {
    fn default() -> Self {
        Self { usages: Usages::new(KEYS_LIMIT), places: Arc::default() }
    }
}

impl Used {
    /// Charges a request to all limits of its key, or to none. A key is named by its set and its
    /// number: ids are unique in one set only, and of two keys with one id but different limits
    /// each would begin the other's windows anew.
    pub(super) fn charge(
        &self,
        key: (usize, u64),
        rules: &Rules,
        cx: &mut Cx,
    ) -> ControlFlow<Reply> {
        let place = match rules.concurrency {
            None => None,
            Some(max) => match self.places.enter(key, max, cx.now) {
                None => return ControlFlow::Break(Cause::TooManyAtOnce.into()),
                place => place,
            },
        };
        if !rules.limits.is_empty() {
            match self.usages.charge(key, &rules.limits, cx.now) {
                Ok(standing) => standing.into_iter().for_each(|it| cx.charged(By::Key, it)),
                Err(refusal) => return ControlFlow::Break(Reply::limited(By::Key, &refusal)),
            }
        }
        cx.places.extend(place);
        ControlFlow::Continue(())
    }
}
