//! keygate: one binary in front of an HTTP API that lets a request through only with a valid key.
//!
//! The modules in reading order: [`config`] (what the operator wrote) is compiled into a [`plan`]
//! (what the gate does). Of a plan, [`route`] chooses a location, and its [`plugin`]s let a request
//! go on or answer it with a [`reply`]. [`keys`] and [`query`] are the pure parts of authentication.

pub mod cli;
pub mod config;
pub mod keys;
pub mod plan;
pub mod plugin;
pub mod query;
pub mod reply;
pub mod route;
