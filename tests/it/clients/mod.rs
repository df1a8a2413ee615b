//! Real client libraries at a gate, with a fake of the provider behind it: only the base URL and
//! the key are changed.

mod program;
mod provider;
mod sdks;

use crate::support::reference::{one_location, upstream};
use crate::support::{Gate, Origin};

/// A gate with the key `K1` that a provider's clients can talk to.
#[track_caller]
fn guarding(provider: &Origin) -> Gate {
    let sources =
        "sources = [\"bearer\", \"header:x-api-key\", \"websocket\"]\nerrors = \"json\"\n";
    Gate::on(&(upstream(provider) + &one_location(sources, "")))
}
