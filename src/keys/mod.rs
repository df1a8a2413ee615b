//! Keys: digests, the look-up, and the form of generated ones; no I/O.
