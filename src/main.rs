//! Arguments, one call, an exit code; the only file that prints.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use keygate::cli::{self, Console};

fn main() -> ExitCode {
    let arguments = cli::Arguments::try_parse();
    let arguments = arguments.unwrap_or_else(|error| cli::without_keys(error).exit());
    let mut console = Console {
        input: &mut std::io::stdin(),
        out: &mut std::io::stdout(),
        notes: &mut std::io::stderr(),
    };
    match cli::run(arguments, &mut console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // There is nobody to tell when the standard error is closed.
            let message = failure.message.trim_end();
            if !message.is_empty() {
                let _ = writeln!(std::io::stderr(), "{message}");
            }
            ExitCode::from(failure.code)
        }
    }
}
