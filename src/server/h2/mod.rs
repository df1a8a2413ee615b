//! HTTP/2 with a client (RFC 9113), over the `h2` crate: frames, HPACK, flow control and the states
//! of streams are its; what a request may say, how much of everything there may be, and how long it
//! may take, is decided here.

mod budget;
pub(super) mod connection;
pub(crate) mod head;
pub(super) mod input;
mod meter;
mod response;
mod stream;
pub(super) mod wire;
