//! The command line: one file a subcommand, and no logic of the gate itself.

pub mod check;
pub mod demo;
pub mod explain;
pub mod healthcheck;
pub mod init;
pub mod keygen;
pub mod keys;
mod misuse;
pub mod package;
pub mod serve;
pub mod smoke;
mod table;

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use self::misuse::without_keys;
use crate::config::Environment;
use crate::core_dump;

/// Lets a request through to an HTTP API only with a valid API key.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What `serve` takes, when nothing is said.
    #[command(flatten)]
    pub serve: serve::Args,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve; the default
    Serve(serve::Args),
    /// Try it: an origin without authentication, the gate in front of it, and a fresh key
    Demo(demo::Args),
    /// Validate a configuration: print who guards what, or every error at once
    Check(check::Args),
    /// Say what the gate would do with one request, and why
    Explain(explain::Args),
    /// Write a commented starter folder with a fresh key, and print the key
    Init(init::Args),
    /// Prove from outside that a running gate refuses what it must
    Smoke(smoke::Args),
    /// Print new random keys, each with the line to paste into a configuration
    Keygen(keygen::Args),
    /// Add, list, rotate, revoke and verify the keys of a keys file
    Keys(keys::Args),
    /// Ask a running gate whether it is ready, for a container: exit 0 or 1
    Healthcheck(healthcheck::Args),
    /// Print a script that completes commands and options in a shell
    Completions(package::CompletionsArgs),
    /// Print the manual page, or write one for every command
    Man(package::ManArgs),
}

/// The standard streams.
pub struct Console<'a> {
    /// What a command reads.
    pub input: &'a mut dyn Read,
    /// What it was asked for.
    pub out: &'a mut dyn Write,
    /// What else there is to say.
    pub notes: &'a mut dyn Write,
}

/// Where the configuration is when nothing is said.
const DEFAULT_CONFIG: &str = "config";

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub struct ConfigPath {
    /// The configuration: a file, or a folder of *.toml [default: config]
    #[arg(long, value_name = "PATH", env = "KEYGATE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

impl ConfigPath {
    /// Where the configuration is, by the command line, the environment or `.env`.
    fn resolve(&self, environment: &Environment) -> PathBuf {
        let written = environment.value("KEYGATE_CONFIG").map(PathBuf::from);
        self.config.clone().or(written).unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG))
    }
}

/// Why a command ended without doing its work.
#[derive(Debug)]
pub struct Failure {
    /// The exit code: 1 wrong configuration, 2 wrong usage, 3 a run-time failure.
    pub code: u8,
    /// What to print on the standard error.
    pub message: String,
}

impl Failure {
    /// The configuration is wrong.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// Everything has been said already.
    pub fn silent(code: u8) -> Self {
        Self { code, message: String::new() }
    }

    /// Something outside went wrong, such as a port in use.
    pub fn runtime(message: impl Into<String>) -> Self {
        Self { code: 3, message: message.into() }
    }
}

/// Runs the command.
pub fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    core_dump::forbid();
    let out = &mut *console.out;
    match arguments.command {
        Some(Command::Check(args)) => check::run(&args, out),
        Some(Command::Explain(args)) => explain::run(&args, console),
        Some(Command::Init(args)) => init::run(&args, console),
        Some(Command::Smoke(args)) => smoke::run(&args, console),
        Some(Command::Keygen(args)) => keygen::run(&args, out),
        Some(Command::Completions(args)) => package::completions(&args, out),
        Some(Command::Man(args)) => package::man(&args, out),
        Some(Command::Keys(args)) => keys::run(&args, console),
        Some(Command::Healthcheck(args)) => healthcheck::run(&args),
        Some(Command::Demo(args)) => demo::run(&args, out),
        Some(Command::Serve(args)) => serve::run(args),
        None => serve::run(arguments.serve),
    }
}
