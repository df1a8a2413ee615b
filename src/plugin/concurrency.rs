//! The plugin `concurrency`: lets only so many requests go on at once.

use std::any::Any;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Deserialize;

use crate::config::load::Section;
use crate::config::problem::Fault;
use crate::config::types::Count;
use crate::head::RequestHead;
use crate::limit::places::Places;
use crate::limit::subject::{By, Counting};
use crate::plugin::{Built, Cx, Kind, Order, Plugin, Settings, Site};
use crate::reply::{Cause, Reply};

/// What the table of plugins says of it.
pub const KIND: Kind =
    Kind { name: "concurrency", read, shown: &["max", "by"], bare: &["max"], named: &[] };

fn read(section: &mut Section<'_>) -> Option<Box<dyn Settings>> {
    Some(Box::new(section.read::<ConcurrencySettings>()?))
}

/// The settings, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConcurrencySettings {
    /// So many at once.
    max: Count<1, 1_000_000>,
    /// What is counted for itself.
    #[serde(default)]
    by: By,
}

/// The plugin, ready to serve.
struct Concurrency {
    counting: Counting,
    max: u32,
    places: Arc<Places>,
}

impl Settings for ConcurrencySettings {
    fn build(&self, site: &mut Site<'_>) -> Result<Built, Vec<Fault>> {
        let plugin = Concurrency {
            counting: Counting::new(self.by, site.locations),
            max: self.max.number(),
            places: places(self.by, site.previous),
        };
        let order = Order { needs_key: self.by.needs_key(), ..Order::default() };
        Ok(Built { order, ..Built::new(Arc::new(plugin)) })
    }
}

/// Goes on with the places that are held, whatever their number was limited to.
fn places(by: By, previous: Option<&dyn Plugin>) -> Arc<Places> {
    let previous: Option<&dyn Any> = previous.map(|plugin| plugin as &dyn Any);
    let previous = previous.and_then(|plugin| plugin.downcast_ref::<Concurrency>());
    let same = previous.filter(|old| old.counting.by == by);
    same.map_or_else(Arc::default, |old| Arc::clone(&old.places))
}

impl Plugin for Concurrency {
    fn request(&self, _: &mut RequestHead, cx: &mut Cx) -> ControlFlow<Reply> {
        let Some(subject) = self.counting.subject(cx) else {
            return ControlFlow::Break(Reply::closing(Cause::BadRequest));
        };
        match self.places.enter(subject, self.max, cx.now) {
            Some(place) => {
                cx.places.push(place);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(Cause::TooManyAtOnce.into()),
        }
    }
}
