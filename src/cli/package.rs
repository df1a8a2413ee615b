//! `keygate completions` and `keygate man`: what a package installs beside the binary.

use std::io::Write;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Arguments, Failure};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Write a page for every command into this folder, which is there already
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints a script that completes commands and options.
pub fn completions(args: &CompletionsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "keygate", &mut script);
    print("completions", &script, out)
}

/// Prints the manual page, or writes one for every command.
pub fn man(args: &ManArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // As `generate_to` does it, so that both pages are the same.
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(|error| failed("man", error))?;
        return print("man", &page, out);
    };
    clap_mangen::generate_to(command, folder).map_err(|error| failed("man", error))
}

fn print(command: &str, text: &[u8], out: &mut dyn Write) -> Result<(), Failure> {
    out.write_all(text).and_then(|()| out.flush()).map_err(|error| failed(command, error))
}

fn failed(command: &str, error: std::io::Error) -> Failure {
    Failure::runtime(format!("error: {command}: {error}"))
}
