//! Upstreams: choosing an address, connecting, keeping connections.

pub(crate) mod balance;
pub(crate) mod connect;
mod lines;
pub(crate) mod pool;
mod stream;
mod waker;
