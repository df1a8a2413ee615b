//! The plugin `key-auth`: lets a request go on only with a valid key.

use crate::config::load::Section;
use crate::plugin::Settings;

/// Reads the settings of one `key-auth` plugin.
pub fn read(_section: &mut Section<'_>) -> Option<Box<dyn Settings>> {
    None
}
