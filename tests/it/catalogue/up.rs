//! Upstreams that fail in every way, and what the client gets to see.

use super::Case;

pub(super) const CASES: &[Case] = &[];
