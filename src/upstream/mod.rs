//! Upstreams: choosing an address, connecting, keeping connections.

pub(crate) mod balance;
pub(crate) mod connect;
pub(crate) mod pool;
mod stream;
mod waker;
