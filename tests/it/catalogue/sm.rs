//! Framing and desync: where a message ends, and that both sides agree on it.

use super::Case;

pub(super) const CASES: &[Case] = &[];
