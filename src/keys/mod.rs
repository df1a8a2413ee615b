//! Keys: digests, the look-up, and the form of generated ones; no I/O.

pub mod digest;
pub mod format;
pub mod keyring;
