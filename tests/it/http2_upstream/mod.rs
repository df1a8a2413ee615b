//! Upstreams that speak HTTP/2, well and badly.

mod frames;
mod messages;
mod nonsense;
mod servers;
mod sharing;
mod tls;

use std::net::SocketAddr;

use crate::support::Gate;
use crate::support::reference::{keyed, one_location};

/// Each worker has connections of its own.
const ONE_WORKER: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";

/// A gate with one location `/` that asks for `K1`, in front of an origin of HTTP/2; `more` is
/// appended to the upstream's table.
#[track_caller]
fn before(origin: SocketAddr, more: &str) -> Gate {
    gate(origin, more, &one_location("header = \"X-API-Key\"\n", ""))
}

/// The same with other locations.
#[track_caller]
fn gate(origin: SocketAddr, more: &str, locations: &str) -> Gate {
    let upstream = format!("[upstreams.rec]\naddrs = [\"{origin}\"]\nprotocol = \"h2\"\n{more}\n");
    let config = upstream + locations;
    Gate::with(&[("keygate.toml", &config), ("server.toml", ONE_WORKER)])
}

/// A request with this first line, without a body.
fn request(line: &str) -> String {
    keyed(&format!("{line} HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n"))
}

/// A `POST` with this body.
fn post(body: &str) -> String {
    let length = body.len();
    keyed(&format!(
        "POST /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}
