//! Keys: digests, the look-up, records, the form of generated ones, what is doubtful; no I/O.

pub mod digest;
pub mod doubt;
pub mod format;
pub mod keyring;
pub mod keyset;
pub mod record;
