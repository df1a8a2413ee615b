//! The life of the process: start, reload, stop, kill, and what the system takes away.

use super::Case;

pub(super) const CASES: &[Case] = &[];
