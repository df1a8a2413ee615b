//! `keygate serve`: from a configuration, or without files.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::config::options::Options;
use crate::config::{self, Config, Environment};
use crate::observe::log::{self, Log};
use crate::observe::traces;
use crate::plan::{self, ListenAddr, Plan};
use crate::reload::Source;
use crate::stack::wiping;
use crate::systemd::sockets::Sockets;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration: a file, or a folder of *.toml [default: config]
    #[arg(
        long,
        value_name = "PATH",
        env = "KEYGATE_CONFIG",
        hide_env_values = true,
        conflicts_with = "upstream"
    )]
    config: Option<PathBuf>,
    /// Serve without files, with the key from API_KEY or API_KEY_FILE: where to forward
    #[arg(long, value_name = "URL", env = "KEYGATE_UPSTREAM", hide_env_values = true)]
    upstream: Option<String>,
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(
        long,
        value_name = "ADDR",
        env = "KEYGATE_LISTEN",
        hide_env_values = true,
        requires = "upstream"
    )]
    listen: Option<String>,
    /// Where to tell health and metrics of the gate itself
    #[arg(
        long,
        value_name = "ADDR",
        env = "KEYGATE_ADMIN",
        hide_env_values = true,
        requires = "upstream"
    )]
    admin: Option<String>,
    /// The header that carries the key [default: X-API-Key, and Authorization: Bearer]
    #[arg(
        long,
        value_name = "NAME",
        env = "KEYGATE_HEADER",
        hide_env_values = true,
        requires = "upstream"
    )]
    header: Option<String>,
    /// The query parameter that carries the key
    #[arg(
        long,
        value_name = "NAME",
        env = "KEYGATE_QUERY",
        hide_env_values = true,
        requires = "upstream",
        conflicts_with = "header"
    )]
    query: Option<String>,
    /// A path that is open to everybody; may be repeated [default: /health]
    #[arg(
        long,
        value_name = "PATH",
        env = "KEYGATE_OPEN",
        hide_env_values = true,
        requires = "upstream",
        value_delimiter = ','
    )]
    open: Vec<String>,
}

impl Args {
    /// Takes from `.env` what neither the command line nor the real environment says.
    fn or(mut self, environment: &Environment) -> Self {
        let value = |name| environment.value(name).map(str::to_owned);
        if self.config.is_none() && self.upstream.is_none() {
            self.config = value("KEYGATE_CONFIG").map(PathBuf::from);
            self.upstream = value("KEYGATE_UPSTREAM");
        }
        self.listen = self.listen.or_else(|| value("KEYGATE_LISTEN"));
        self.admin = self.admin.or_else(|| value("KEYGATE_ADMIN"));
        if self.header.is_none() && self.query.is_none() {
            self.header = value("KEYGATE_HEADER");
            self.query = value("KEYGATE_QUERY");
        }
        if self.open.is_empty() {
            let open = value("KEYGATE_OPEN").unwrap_or_default();
            self.open.extend(open.split(',').filter(|path| !path.is_empty()).map(str::to_owned));
        }
        self
    }
}

/// Serves until a signal says stop.
pub fn run(args: Args) -> Result<(), Failure> {
    // What is read from the environment is wiped at once: keys stand in it.
    let args = args.or(&environment().map_err(Failure::configuration)?);
    exclusive(
        ("KEYGATE_CONFIG", args.config.is_some()),
        ("KEYGATE_UPSTREAM", args.upstream.is_some()),
    )?;
    exclusive(("KEYGATE_HEADER", args.header.is_some()), ("KEYGATE_QUERY", args.query.is_some()))?;
    let source = match &args.upstream {
        Some(upstream) => source_without_files(&args, upstream),
        None => source_of_files(args.config.as_deref().unwrap_or(Path::new(super::DEFAULT_CONFIG))),
    };
    start(source, |_| {})
}

/// Refuses two settings of `.env` of which one would be ignored; on the command line and in the
/// real environment the parser does.
fn exclusive(one: (&str, bool), other: (&str, bool)) -> Result<(), Failure> {
    match (one, other) {
        ((one, true), (other, true)) => Err(Failure::configuration(format!(
            "error: {one} and {other} cannot both be set\n--> .env\n = help: remove one of them"
        ))),
        _ => Ok(()),
    }
}

/// Loads the first plan and serves; `ready` is told the addresses that are listened on.
pub(crate) fn start(source: Source, ready: impl FnOnce(&[ListenAddr])) -> Result<(), Failure> {
    // First, because loading may start a command for keys, which shall not get them.
    let passed = Sockets::receive().map_err(Failure::runtime)?;
    let plan = wiping(|| source.load()).map_err(Failure::configuration)?;
    // What it must hold to serve has been read already.
    let environment = environment().unwrap_or_default();
    let log = Log::start(plan.log.format, environment.value(log::LEVEL))
        .map_err(|error| Failure::runtime(format!("error: cannot start: {error}")))?;
    for warning in &plan.warnings {
        tracing::warn!("{}", warning.to_string().trim_end());
    }
    let (traces, warnings) = traces::read(&environment);
    // Keys stand in it.
    drop(environment);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let ended = crate::run(plan, source, traces, (passed, log.lost()), ready);
    log.finish();
    ended
}

fn source_of_files(path: &Path) -> Source {
    let path = path.to_owned();
    let watched = path.clone();
    let load = move |previous: Option<&Plan>| {
        let environment = environment()?;
        let config = config::load(&path, &environment).map_err(|problems| problems.to_string())?;
        plan::compile(&config, previous).map_err(|problems| problems.to_string())
    };
    Source::new(load, Some(watched))
}

fn source_without_files(args: &Args, upstream: &str) -> Source {
    let options = Options {
        upstream: upstream.to_owned(),
        listen: args.listen.clone(),
        admin: args.admin.clone(),
        header: args.header.clone(),
        query: args.query.clone(),
        open: args.open.clone(),
    };
    let load = move |previous: Option<&Plan>| without_files(&options, &environment()?, previous);
    Source::new(load, None)
}

/// Makes a plan from options and variables only.
pub(crate) fn without_files(
    options: &Options,
    environment: &Environment,
    previous: Option<&Plan>,
) -> Result<Plan, String> {
    let config =
        Config::from_environment(options, environment).map_err(|problems| problems.to_string())?;
    plan::compile(&config, previous).map_err(|problems| problems.to_string())
}

/// The real environment, and `.env` below it.
fn environment() -> Result<Environment, String> {
    Environment::read(Path::new("")).map_err(|problems| problems.to_string())
}
