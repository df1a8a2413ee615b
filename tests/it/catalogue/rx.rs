//! Resources: slow, many, large and repeated, without others noticing.

use super::Case;

pub(super) const CASES: &[Case] = &[];
