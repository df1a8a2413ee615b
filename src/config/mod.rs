//! What the operator wrote: one struct a table.

pub mod load;
pub mod problem;
pub mod types;

/// A whole configuration, as it was written.
#[derive(Debug)]
pub struct Config {}
