//! HTTP/2 upstream: a few connections to an address, each shared by many requests.
//!
//! A [`Stream`](stream::Stream) is one request, driven by the task of its client; a
//! [`Link`](link::Link) is a connection, driven by a task of its own; [`Links`](links::Links) are
//! those to one address, and who waits for a place on one.

pub(super) mod head;
mod link;
pub(super) mod links;
mod quiet;
pub(crate) mod stream;
mod upload;
mod wire;
