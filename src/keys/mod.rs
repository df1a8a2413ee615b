//! Keys: digests, the look-up, records, files of them, names, forms, what is doubtful; no I/O.

pub mod census;
pub mod digest;
pub mod doubt;
pub mod file;
pub mod format;
pub mod given;
pub mod keyring;
pub mod keyset;
pub mod listing;
pub mod name;
pub mod record;
pub mod refusal;
