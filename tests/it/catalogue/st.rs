//! Credentials are stripped, and what is left is as it came; a key comes out nowhere.

use super::Case;

pub(super) const CASES: &[Case] = &[];
