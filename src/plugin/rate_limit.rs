//! The plugin `rate-limit`: lets only so many requests go on in any time as long as a window.

use std::any::Any;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use crate::config::load::Section;
use crate::config::problem::Fault;
use crate::config::types::Count;
use crate::head::RequestHead;
use crate::limit::rate::Rate;
use crate::limit::subject::{By, Counting};
use crate::limit::usage::{Counts, Limit};
use crate::plugin::{Built, Cx, Kind, Order, Plugin, Settings, Site};
use crate::reply::{Cause, Reply};

/// What the table of plugins says of it.
pub const KIND: Kind = Kind {
    name: "rate-limit",
    read,
    shown: &["rate", "burst", "by"],
    bare: &["burst"],
    named: &[],
};

fn read(section: &mut Section<'_>) -> Option<Box<dyn Settings>> {
    Some(Box::new(section.read::<RateLimitSettings>()?))
}

/// The settings, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimitSettings {
    /// So many in so long a time.
    rate: Spanned<Rate>,
    /// How many of them at once; absent: all.
    burst: Option<Spanned<Count<1, 1_000_000_000>>>,
    /// What is counted for itself.
    #[serde(default)]
    by: By,
}

/// The plugin, ready to serve.
struct RateLimit {
    counting: Counting,
    limit: [Limit; 1],
    counts: Arc<Counts>,
}

impl Settings for RateLimitSettings {
    fn build(&self, site: &mut Site<'_>) -> Result<Built, Vec<Fault>> {
        let rate = *self.rate.get_ref();
        if let Some(burst) = &self.burst
            && burst.get_ref().number() > rate.count
        {
            let fault = Fault::at(burst.span(), "more at once than in the whole window");
            return Err(vec![fault.help(format!("`burst` is {} at most", rate.count))]);
        }
        let burst = self.burst.as_ref().map(|burst| burst.get_ref().number());
        let limit = [Limit { burst, ..rate.into() }];
        let plugin = RateLimit {
            counting: Counting::new(self.by, site.locations),
            limit,
            counts: counts(self.by, limit, site.previous),
        };
        let order = Order { needs_key: self.by.needs_key(), ..Order::default() };
        Ok(Built { order, ..Built::new(Arc::new(plugin)) })
    }
}

/// Goes on counting where the plugin before had the same limit.
fn counts(by: By, limit: [Limit; 1], previous: Option<&dyn Plugin>) -> Arc<Counts> {
    let previous: Option<&dyn Any> = previous.map(|plugin| plugin as &dyn Any);
    let previous = previous.and_then(|plugin| plugin.downcast_ref::<RateLimit>());
    let same = previous.filter(|old| old.limit == limit && old.counting.by == by);
    same.map_or_else(Arc::default, |old| Arc::clone(&old.counts))
}

impl Plugin for RateLimit {
    fn request(&self, _: &mut RequestHead, cx: &mut Cx) -> ControlFlow<Reply> {
        let Some(subject) = self.counting.subject(cx) else {
            return ControlFlow::Break(Reply::closing(Cause::BadRequest));
        };
        let by = subject.by(self.counting.by);
        match self.counts.charge(subject, &self.limit, cx.now) {
            Ok(standing) => {
                standing.into_iter().for_each(|standing| cx.charged(by, standing));
                ControlFlow::Continue(())
            }
            Err(refusal) => ControlFlow::Break(Reply::limited(by, &refusal)),
        }
    }
}
