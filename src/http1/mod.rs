//! HTTP/1.1 on the wire, as far as both sides of the gate read and write it alike; pure.
//!
//! httparse reads the first line of a head; its fields, and what they say about the body, are read
//! here.

pub(crate) mod body;
pub(crate) mod chunk;
pub(crate) mod declared;
pub(crate) mod field_line;
pub(crate) mod lines;
pub(crate) mod stock;
