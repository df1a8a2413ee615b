//! Which location a request belongs to: every reading of its path, host and method.

use super::Case;

pub(super) const CASES: &[Case] = &[];
