//! Arguments, one call, an exit code; the only file that prints.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use keygate::cli::Console;

fn main() -> ExitCode {
    let arguments = keygate::cli::Arguments::parse();
    let mut console = Console {
        input: &mut std::io::stdin(),
        out: &mut std::io::stdout(),
        notes: &mut std::io::stderr(),
    };
    match keygate::cli::run(arguments, &mut console) {
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
