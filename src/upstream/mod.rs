//! Upstreams: choosing an address, connecting, sending a request and reading its response, keeping
//! connections.

pub(crate) mod balance;
pub(crate) mod connect;
pub(crate) mod connection;
pub(crate) mod head;
pub(crate) mod lease;
pub(crate) mod pool;
#[cfg(test)]
mod tests;
mod upload;
