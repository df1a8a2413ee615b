//! HTTP/1.1 on the wire, as far as both sides of the gate read and write it alike; pure.
//!
//! httparse finds the parts of a head; what they say about the body is decided here.

pub(crate) mod body;
pub(crate) mod chunk;
pub(crate) mod fields;
pub(crate) mod lines;
pub(crate) mod stock;
