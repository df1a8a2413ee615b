//! The life of the process: start, reload, stop, kill, and what the system takes away.

mod log;
mod reload;
mod start;
mod stop;
mod time;

use super::{Case, case, elsewhere, left_out};
use crate::tls::reload as tls;

pub(super) const CASES: &[Case] = &[
    case("LC-01", "a stop with 100 requests in flight", stop::in_flight),
    case("LC-02", "a stop with idle connections", stop::idle),
    case("LC-03", "a stop with a WebSocket and a stream open", stop::open_ended),
    case("LC-04", "a second signal", stop::second_signal),
    elsewhere("LC-05", "100 reloads in a minute under load", "judges/reloads.py"),
    case("LC-06", "reloads of wrong configurations", reload::wrong),
    case("LC-07", "reloads that add a key and remove one", reload::keys_change),
    case("LC-08", "a reload that removes a location", reload::location_gone),
    case("LC-09", "a reload while delayed answers wait", reload::delayed),
    case("LC-10", "a file that is cut, deleted or exchanged at a reload", reload::unstable_files),
    elsewhere("LC-11", "1,000 reloads", "judges/reloads.py"),
    case("LC-12", "20 reloads at once", reload::at_once),
    case("LC-13", "a start on a port that is taken", start::port_taken),
    case("LC-14", "a start on an address that is not to be had", start::no_address),
    elsewhere("LC-15", "20 successors under load", "judges/handover.py"),
    elsewhere("LC-16", "100 times kill -9 under load", "judges/kill.py"),
    case("LC-17", "SIGSTOP and SIGCONT", time::stopped),
    case("LC-18", "a wall clock that jumps", time::wall_clock),
    case("LC-19", "a start with 64 file descriptors", start::few_files),
    case("LC-20", "accept(2) that fails", start::accept_fails),
    case("LC-21", "an access log that cannot be written", log::unwritable),
    case("LC-22", "standard streams that are closed, full or broken", log::streams_gone),
    case("LC-23", "an access log that is rotated", log::rotated),
    case("LC-24", "a certificate that is replaced", |_| {
        tls::a_new_pair_is_taken_over_and_connections_go_on();
        tls::links_that_are_turned_bring_a_new_pair();
    }),
    case("LC-25", "a certificate that does not fit", |_| tls::a_broken_pair_leaves_the_old_one()),
    case("LC-26", "readiness while draining", stop::readiness),
    case("LC-27", "nothing listens but what was asked for", start::only_listener),
    left_out(
        "LC-28",
        "a task that panics",
        "no request is known to cause one; server::threads::tests has what becomes of a worker",
    ),
    case("LC-29", "no environment, no home, nothing that can be written", start::bare),
];

/// A request of the reference configuration that is let through.
const VALID: &str = "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n";
/// The same without a key.
const KEYLESS: &str = "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
