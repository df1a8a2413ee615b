//! What can be seen of the gate from outside.

pub mod access_log;
pub mod log;
pub(crate) mod metrics;
pub(crate) mod record;
pub(crate) mod request_id;
pub(crate) mod seldom;
pub(crate) mod sink;
pub mod traces;
