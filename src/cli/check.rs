//! `keygate check`: the same validation as `serve`.

use std::io::Write;
use std::path::Path;

use humantime::format_duration;

use super::{ConfigPath, Failure, table};
use crate::config::{self, Config, Environment};
use crate::observe::traces;
use crate::plan::{self, Balance, Plan, Upstream};
use crate::upstream::limit::Bounds;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigPath,
}

/// Prints the table of locations with who guards each, or fails with every error at once.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let wrong = |problems: config::problem::Problems| Failure::configuration(problems.to_string());
    let environment = Environment::read(Path::new("")).map_err(wrong)?;
    let config = config::load(&args.config.resolve(&environment), &environment).map_err(wrong)?;
    let plan = plan::compile(&config, None).map_err(wrong)?;
    let closed = |error: std::io::Error| Failure::runtime(format!("error: cannot write: {error}"));
    write_table(&config, out).map_err(closed)?;
    write_upstreams(&plan, out).map_err(closed)?;
    for warning in &plan.warnings {
        write!(out, "\n{warning}").map_err(closed)?;
    }
    let (_, warnings) = traces::read(&environment);
    for warning in warnings {
        write!(out, "\nwarning: {warning}\n").map_err(closed)?;
    }
    Ok(())
}

/// One line a location, under a line of titles.
fn write_table(config: &Config, out: &mut dyn Write) -> std::io::Result<()> {
    let titles = ["LOCATION", "HOST", "METHODS", "PATH", "GUARDED BY", "UPSTREAM"];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(config.locations.iter().filter_map(row));
    table::write(&rows, out)
}

fn row(table: &config::Table<config::Location>) -> Option<[String; 6]> {
    let location = table.written.as_ref()?;
    let any = || "any".to_owned();
    let methods = location.methods.as_ref().map_or_else(any, |methods| {
        methods.get_ref().iter().map(|method| method.0.as_str()).collect::<Vec<_>>().join(",")
    });
    let plugins: Vec<_> = location.plugins.iter().map(|name| name.get_ref().as_str()).collect();
    let public = location.public.as_ref().is_some_and(|public| *public.get_ref());
    let guards = match (public, plugins.is_empty()) {
        (true, true) => "PUBLIC".to_owned(),
        (true, false) => format!("PUBLIC, {}", plugins.join(", ")),
        (false, _) => plugins.join(", "),
    };
    Some([
        table.name.clone(),
        location.host.as_ref().map_or_else(any, |hosts| hosts.text.clone()),
        methods,
        location.path.as_ref()?.get_ref().text.clone(),
        guards,
        match &location.upstream {
            Some(upstream) => upstream.get_ref().clone(),
            None => "none: a verdict".to_owned(),
        },
    ])
}

/// One line an upstream, if there is more to say about one of them than its address.
fn write_upstreams(plan: &Plan, out: &mut dyn Write) -> std::io::Result<()> {
    let is_plain = |upstream: &Upstream| {
        upstream.addrs.len() == 1 && upstream.health.is_none() && upstream.bounds.is_none()
    };
    if plan.upstreams.iter().all(|upstream| is_plain(upstream)) {
        return Ok(());
    }
    let titles = ["UPSTREAM", "ADDRESSES", "BALANCE", "HEALTH", "AT A TIME"];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(plan.upstreams.iter().map(|upstream| upstream_row(upstream)));
    writeln!(out)?;
    table::write(&rows, out)
}

fn upstream_row(upstream: &Upstream) -> [String; 5] {
    let addresses = upstream.addrs.iter().map(|addr| match addr.weight {
        1 => addr.to_string(),
        weight => format!("{addr} {weight}"),
    });
    let balance = match upstream.balance {
        Balance::RoundRobin => "round-robin",
        Balance::LeastConn => "least-conn",
    };
    let health = upstream.health.as_ref().map_or("not checked".to_owned(), |health| {
        format!("{} every {}", health.path, format_duration(health.interval))
    });
    let at_a_time = upstream.bounds.map_or("any number".to_owned(), |bounds| {
        let Bounds { max_connections, max_queue, queue_timeout } = bounds;
        match max_queue {
            0 => max_connections.to_string(),
            _ => {
                let patience = format_duration(queue_timeout);
                format!("{max_connections}, then {max_queue} wait for {patience}")
            }
        }
    });
    [
        upstream.name.to_string(),
        addresses.collect::<Vec<_>>().join(", "),
        balance.to_owned(),
        health,
        at_a_time,
    ]
}
