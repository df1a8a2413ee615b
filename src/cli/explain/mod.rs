//! `keygate explain`: what the gate would do with one request, and why.

mod request;
mod text;

use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;

use super::{ConfigPath, Console, Failure};
use crate::config::{self, Environment};
use crate::explain::{self, Explanation, Outcome};
use crate::plan;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The method
    method: String,
    /// The URL, or a path alone; it is taken as it is written. @FILE reads it from a file, @- from
    /// the standard input
    url: String,
    /// A header field, "NAME: VALUE"; @FILE reads them from a file, a line each, @- from the
    /// standard input, where no other user of the machine can see a key
    #[arg(short = 'H', long = "header", value_name = "LINE")]
    headers: Vec<String>,
    #[command(flatten)]
    config: ConfigPath,
    /// Who connects: an address, or `unix` for a unix socket
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    client: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    notes: &'a [&'a str],
}

/// What is said when a key stands where others can read it.
const KEY_IN_SIGHT: &str = "a key on the command line is seen by every user of this machine and \
                            kept by the shell; `-H @-` reads it from the standard input";

/// Explains one request; fails silently with 1 if it would be answered here.
pub fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let wrong = |problems: config::problem::Problems| Failure::configuration(problems.to_string());
    let peer = peer(&args.client)?;
    let head = request::head(&args.method, &args.url, &args.headers, console.input)?;
    let out = &mut *console.out;
    let environment = Environment::read(Path::new("")).map_err(wrong)?;
    let config = config::load(&args.config.resolve(&environment), &environment).map_err(wrong)?;
    let plan = plan::compile(&config, None).map_err(wrong)?;

    let explanation = explain::explain(&plan, &head, peer);
    let mut written = args.headers.iter().chain([&args.url]).filter(|text| !text.starts_with('@'));
    let notes: &[&str] = match written.any(|text| explain::may_hold_key(&plan, text)) {
        true => &[KEY_IN_SIGHT],
        false => &[],
    };
    let printed = if args.json {
        serde_json::to_writer_pretty(&mut *out, &Told { explanation: &explanation, notes })
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        text::write(&explanation, notes, out)
    };
    printed.map_err(|error| Failure::runtime(format!("error: cannot write: {error}")))?;
    match explanation.outcome {
        Outcome::Forwarded(_) => Ok(()),
        Outcome::Answered(_) => Err(Failure::silent(1)),
    }
}

fn peer(text: &str) -> Result<Option<IpAddr>, Failure> {
    if text == "unix" {
        return Ok(None);
    }
    let wrong = |_| Failure::usage("error: --client takes an IP address, or `unix`");
    text.parse().map(Some).map_err(wrong)
}
