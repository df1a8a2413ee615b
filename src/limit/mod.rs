//! How often, and how much at once: what counts, for any number of subjects, in bounded memory.

pub mod clients;
pub mod places;
#[cfg(test)]
mod properties;
pub mod rate;
pub mod report;
pub mod subject;
pub mod table;
pub mod usage;
mod window;
