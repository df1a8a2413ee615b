//! The plugin `key-auth`: lets a request go on only with a valid key.

mod settings;

use crate::config::load::Section;
use crate::config::problem::Fault;
use crate::plugin::{Built, Plugin, Settings};

pub use settings::{ErrorFormat, Errors, KeyAuthSettings, nowhere};

/// Reads the settings of one `key-auth` plugin.
pub fn read(section: &mut Section<'_>) -> Option<Box<dyn Settings>> {
    section.read::<KeyAuthSettings>().map(|settings| Box::new(settings) as Box<dyn Settings>)
}

impl Settings for KeyAuthSettings {
    fn build(&self, _previous: Option<&dyn Plugin>) -> Result<Built, Vec<Fault>> {
        Err(vec![Fault::new("key-auth: not built yet")])
    }
}
