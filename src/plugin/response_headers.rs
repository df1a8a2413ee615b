//! The plugin `response-headers`: changes the header fields of the upstream's responses.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::config::load::Section;
use crate::config::problem::Fault;
use crate::edit::{Edit, EditSettings};
use crate::fields::Fields;
use crate::head::{RequestHead, ResponseHead};
use crate::plugin::{Built, Cx, Kind, Plugin, Settings, Site};
use crate::reply::Reply;

/// What the table of plugins says of it.
pub const KIND: Kind =
    Kind { name: "response-headers", read, shown: &["remove"], bare: &[], named: &["set", "add"] };

fn read(section: &mut Section<'_>) -> Option<Box<dyn Settings>> {
    Some(Box::new(ResponseHeadersSettings(section.read::<EditSettings>()?)))
}

/// The settings, as they are written.
#[derive(Debug)]
struct ResponseHeadersSettings(EditSettings);

/// The plugin, ready to serve.
struct ResponseHeaders(Edit);

impl Settings for ResponseHeadersSettings {
    fn build(&self, _: &mut Site<'_>) -> Result<Built, Vec<Fault>> {
        Ok(Built::new(Arc::new(ResponseHeaders(self.0.build()?))))
    }
}

impl Plugin for ResponseHeaders {
    fn request(&self, _: &mut RequestHead, _: &mut Cx) -> ControlFlow<Reply> {
        ControlFlow::Continue(())
    }

    fn response(&self, head: &mut ResponseHead, _: &Fields, _: &Cx) {
        self.0.apply(&mut head.headers);
    }
}
