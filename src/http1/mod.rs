//! HTTP/1.1 on the wire, as far as both sides of the gate read and write it alike; pure.
//!
//! Heads are read line by line; `http`'s types take no byte that may not stand in them.

pub(crate) mod body;
pub(crate) mod chunk;
pub(crate) mod declared;
pub(crate) mod field_line;
pub(crate) mod first_line;
pub(crate) mod lines;
pub(crate) mod stock;
