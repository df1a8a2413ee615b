//! Upstreams that fail in every way, and what the client gets to see.

mod answers;
mod bodies;
mod clients;
mod connecting;
mod pool;
mod rows;
mod streams;

use super::{Case, case};
use crate::tls::upstream as tls;

pub(super) const CASES: &[Case] = &[
    case("UP-01", "the port is closed", connecting::refused),
    case("UP-02", "SYNs are dropped", connecting::black_hole),
    case("UP-03", "accepts, and never answers", connecting::silent),
    case("UP-04", "accepts, and ends the connection at once", connecting::ended),
    case("UP-05", "a reset at any place before the answer", answers::reset),
    case("UP-06", "an idle connection ends as the request goes out", pool::stale),
    case("UP-07", "resets on used connections (figures: judges/resets.py)", pool::resets),
    case("UP-08", "a body shorter than its length", bodies::short),
    case("UP-09", "chunks without an end", bodies::endless),
    case("UP-10", "a body longer than its length", pool::longer),
    case("UP-11", "an answer that nobody asked for", pool::unsolicited),
    case("UP-12", "no HTTP at all", answers::junk),
    case("UP-13", "two framings, or a wrong one", answers::framing),
    case("UP-14", "an odd status line", answers::status_line),
    case("UP-15", "too much of a head, or bytes that no field may hold", answers::head),
    case("UP-16", "the bytes of response splitting in a value", answers::splitting),
    case("UP-17", "informational responses: unasked, many, endless", streams::informational),
    case("UP-18", "101 to a request that asked for no upgrade", answers::switching),
    case("UP-19", "WebSocket bytes before the 101", streams::early_websocket),
    case("UP-20", "a WebSocket that either side ends, or nobody uses", streams::websocket_ends),
    case("UP-21", "a body where there is none: 204, 304, HEAD", bodies::bodiless),
    case("UP-22", "answers before the body is read, and reads no more", bodies::early_and_deaf),
    case("UP-23", "answers before the body is read, and closes", bodies::early_and_gone),
    case("UP-24", "events one by one, and a client that leaves", streams::events),
    case("UP-25", "events, and then a reset", streams::events_reset),
    case("UP-26", "an answer that trickles, and one that stops", streams::trickle),
    case("UP-27", "Connection: close every time", pool::closing),
    case("UP-28", "idle connections that end when the next request is due", pool::keep_alive_race),
    case("UP-29", "a TLS upstream with a wrong certificate", |_| {
        tls::only_an_upstream_whose_certificate_is_believed_gets_a_request();
        tls::nginx_is_asked_only_if_its_certificate_is_right();
        tls::nginx_is_shown_the_certificate_that_it_wants();
    }),
    case("UP-30", "a TLS upstream that ends without close_notify", |_| {
        tls::a_response_that_somebody_on_the_way_cut_off_is_none();
    }),
    case("UP-31", "ALPN", |_| {
        tls::an_upstream_that_speaks_only_http_2_gets_no_request();
        tls::http_1_1_is_asked_for_and_whoever_says_nothing_speaks_it();
    }),
    case("UP-32", "a name that does not resolve", connecting::no_such_name),
    case("UP-33", "a name of which not every address answers", connecting::localhost),
    case("UP-34", "one of two addresses is dead, and comes back", connecting::one_of_two),
    case("UP-35", "every connection is busy", connecting::busy),
    case("UP-36", "the gate is its own upstream", connecting::itself),
    case("UP-37", "many at once (figures: judges/crosstalk.py)", clients::cross_talk),
    case("UP-38", "clients that leave at every stage", clients::aborts),
    case("UP-39", "an upstream that restarts again and again", clients::restarts),
    case("UP-40", "trailers that no trailer may be", bodies::trailers),
];
