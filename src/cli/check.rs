//! `keygate check`: the same validation as `serve`.

use std::io::Write;

use super::{ConfigPath, Failure};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigPath,
}

/// Prints the table of locations with who guards each, or fails with every error at once.
pub fn run(args: &Args, _out: &mut dyn Write) -> Result<(), Failure> {
    Err(Failure::configuration(format!("cannot check {}", args.config.config.display())))
}
