//! HTTP/1.1 with a client: one strict parser, and what is written back.

pub(super) mod connection;
mod exchange;
pub(crate) mod head;
pub(crate) mod input;
mod output;
mod response;
pub(super) mod wire;
