//! Side channels: what the time and the memory tell about a key.

use super::Case;

pub(super) const CASES: &[Case] = &[];
