//! How often, and how much at once.

pub mod rate;
