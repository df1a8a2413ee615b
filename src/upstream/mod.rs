//! Upstreams: choosing an address, connecting, sending a request and reading its response, keeping
//! connections.

pub(crate) mod address;
pub(crate) mod balance;
pub(crate) mod connect;
pub(crate) mod connection;
mod dial;
pub(crate) mod endpoint;
pub(crate) mod errand;
pub(crate) mod h2;
pub(crate) mod head;
pub(crate) mod health;
pub(crate) mod lease;
pub(crate) mod limit;
pub(crate) mod live;
pub(crate) mod pool;
pub(crate) mod resolve;
pub(crate) mod tend;
#[cfg(test)]
mod tests;
mod upload;
