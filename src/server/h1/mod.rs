//! HTTP/1.1 with a client: one strict parser, and what is written back.

pub(crate) mod exchange;
pub(crate) mod head;
pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod response;
