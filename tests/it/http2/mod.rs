//! HTTP/2 with clients.

mod bodies;
mod conformance;
mod ends;
mod programs;
mod responses;
mod waiting;

use crate::support::Gate;
use crate::support::h2::{Field, H2, request};
use crate::support::reference::K1;

/// A connection of HTTP/2.
#[track_caller]
fn connect(gate: &Gate) -> H2 {
    H2::over(gate.client())
}

/// A request with the right key.
fn keyed<'a>(method: &'a str, more: &[Field<'a>]) -> Vec<Field<'a>> {
    [&request(method, "/api/v1/x", &[("x-api-key", K1)])[..], more].concat()
}
