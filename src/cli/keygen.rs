//! `keygate keygen`: new random keys.

use std::io::Write;

use super::Failure;

/// Arguments of `keygen`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the keys, each with the line to paste into a configuration.
pub fn run(_args: &Args, _out: &mut dyn Write) -> Result<(), Failure> {
    Ok(())
}
