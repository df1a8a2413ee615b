//! The plugin `request-headers`: changes the header fields that the upstream gets to see.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::config::load::Section;
use crate::config::problem::Fault;
use crate::edit::{Edit, EditSettings};
use crate::head::RequestHead;
use crate::plugin::{Built, CredentialPlaces, Cx, Kind, Order, Plugin, Settings, Site};
use crate::reply::Reply;

/// What the table of plugins says of it.
pub const KIND: Kind =
    Kind { name: "request-headers", read, shown: &["remove"], bare: &[], named: &["set", "add"] };

fn read(section: &mut Section<'_>) -> Option<Box<dyn Settings>> {
    let settings = section.read::<EditSettings>()?;
    section.keys_at(settings.secrets());
    Some(Box::new(RequestHeadersSettings(settings)))
}

/// The settings, as they are written.
#[derive(Debug)]
struct RequestHeadersSettings(EditSettings);

/// The plugin, ready to serve.
struct RequestHeaders(Edit);

impl Settings for RequestHeadersSettings {
    fn build(&self, _: &mut Site<'_>) -> Result<Built, Vec<Fault>> {
        let edit = self.0.build()?;
        // No trailer of a client's comes beside what is set here.
        let headers = edit.new_names().cloned().collect();
        let credentials = CredentialPlaces { headers, ..CredentialPlaces::default() };
        let order = Order {
            gives: edit.new_names().next().is_some(),
            changes: edit.names().cloned().collect(),
            ..Order::default()
        };
        let plugin = Arc::new(RequestHeaders(edit));
        Ok(Built { credentials, order, ..Built::new(plugin) })
    }
}

impl Plugin for RequestHeaders {
    fn request(&self, head: &mut RequestHead, cx: &mut Cx) -> ControlFlow<Reply> {
        let Self(edit) = self;
        // A preflight that needed no key gets none of the operator's either.
        if cx.keyless {
            edit.clear(&mut head.headers);
        } else {
            edit.keep_from_hop(&mut head.headers);
            edit.apply(&mut head.headers);
        }
        ControlFlow::Continue(())
    }
}
