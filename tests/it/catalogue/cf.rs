//! Mistakes in the configuration: each is refused, or warned about as documented.

use super::Case;

pub(super) const CASES: &[Case] = &[];
