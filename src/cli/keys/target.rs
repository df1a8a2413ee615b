//! Which keys file a command is about.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cli::{ConfigPath, Failure};
use crate::config::{self, Environment};

/// Which keys file a command is about.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// The keys file [default: the one that the configuration names]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigPath,
}

/// A keys file, and what the configuration says around it.
pub(super) struct Keys {
    pub(super) path: PathBuf,
    /// The names of all locations, where the configuration was asked.
    pub(super) locations: Option<Vec<String>>,
}

impl Target {
    /// The file that was named, or the only one that the configuration names.
    pub(super) fn find(&self) -> Result<Keys, Failure> {
        if let Some(path) = &self.file {
            return Ok(Keys { path: path.clone(), locations: None });
        }
        let wrong = |problems: config::problem::Problems| {
            Failure::configuration(format!("{problems}  = help: --file names a keys file itself"))
        };
        let environment = Environment::read(Path::new("")).map_err(wrong)?;
        let path = self.config.resolve(&environment);
        let config = config::load(&path, &environment).map_err(wrong)?;
        let files: BTreeSet<_> = config.keys_files().collect();
        let locations = config.locations.iter().map(|table| table.name.clone()).collect();
        match files.iter().collect::<Vec<_>>()[..] {
            [path] => Ok(Keys { path: path.clone(), locations: Some(locations) }),
            [] => Err(Failure::configuration(format!(
                "error: no plugin of the configuration names a keys_file\n--> {}\n  = help: --file \
                 names one",
                path.display()
            ))),
            ref several => {
                let names: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
                Err(Failure::configuration(format!(
                    "error: the configuration names several keys files: {}\n  = help: --file says \
                     which is meant",
                    names.join(", ")
                )))
            }
        }
    }
}
