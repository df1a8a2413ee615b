//! A key in the query: how it is found, how it is read, what is none.

use super::Case;

pub(super) const CASES: &[Case] = &[];
