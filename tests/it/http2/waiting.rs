//! Requests over HTTP/2 that wait for their turn at an upstream.

use super::connect;
use crate::support::admin::ADMIN;
use crate::support::h2::{CANCEL, END_STREAM, Field, request};
use crate::support::reference::{K1, K2, upstream};
use crate::support::{Gate, Origin, Signal};

const GET: [Field<'static>; 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/x"), (":authority", "a.test")];

/// An origin that answers each request when it is told to.
fn led(go: &Signal) -> Origin {
    let go = go.clone();
    Origin::scripted(move |exchange| {
        go.wait();
        exchange.reply(200, b"here");
    })
}

/// An upstream with one place, and a location that leads to it.
fn configured(origin: &Origin, location: &str) -> String {
    format!(
        "{ADMIN}{}max_connections = 1\nmax_queue = 1\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\n{location}",
        upstream(origin)
    )
}

/// Waits until so many requests wait for a place.
#[track_caller]
fn are_queued(gate: &Gate, count: u8) {
    let series = "keygate_upstream_queued_requests{upstream=\"rec\"}";
    gate.wait_for_metric(series, f64::from(count));
}

#[test]
fn who_resets_its_stream_gives_its_place_to_the_next() {
    let go = Signal::new();
    let origin = led(&go);
    let gate = Gate::on(&configured(&origin, "public = true\n"));
    let mut h2 = connect(&gate);
    let served = h2.open(END_STREAM, &GET);
    origin.wait_for(1);
    let queued = h2.open(END_STREAM, &GET);
    are_queued(&gate, 1);
    let refused = h2.ask(&GET);
    assert_eq!((refused.status, refused.value("retry-after")), (503, "1"));
    h2.reset(queued, CANCEL);
    are_queued(&gate, 0);
    let next = h2.open(END_STREAM, &GET);
    are_queued(&gate, 1);
    // Who is being served leaves as well: the one that waits has its turn.
    h2.reset(served, CANCEL);
    origin.wait_for(2);
    (0..2).for_each(|_| go.give());
    assert_eq!(h2.answer(next).status, 200);
    assert_eq!(origin.count(), 2, "what was reset or refused went upstream");
}

#[test]
fn who_waits_is_sent_away_when_the_key_is_revoked() {
    let go = Signal::new();
    let origin = led(&go);
    let config = |keys: &[&str]| {
        let plugin = format!(
            "plugins = [\"key-auth\"]\n[plugins.key-auth]\nheader = \"X-API-Key\"\n\
             keys = {keys:?}\ncut_streams = true\nhide_credentials = true\n"
        );
        configured(&origin, &plugin)
    };
    let gate = Gate::on(&config(&[K1, K2]));
    let (mut first, mut second) = (connect(&gate), connect(&gate));
    let served = first.open(END_STREAM, &request("GET", "/x", &[("x-api-key", K1)]));
    origin.wait_for(1);
    let waiting = second.open(END_STREAM, &request("GET", "/x", &[("x-api-key", K2)]));
    are_queued(&gate, 1);
    gate.write("keygate.toml", &config(&[K1]));
    gate.signal("HUP");
    assert_eq!(second.answer(waiting).status, 401);
    go.give();
    assert_eq!(first.answer(served).status, 200);
    assert_eq!(origin.count(), 1, "the key that was revoked went upstream");
}
