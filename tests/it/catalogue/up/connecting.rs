//! Upstreams that cannot be connected to, or end the connection before they answer.

use std::time::{Duration, Instant};

use super::rows::{beside, beside_config, both, get, post, upstream};
use crate::catalogue::Stand;
use crate::support::fault::{BlackHole, End, Ending, Refusing};
use crate::support::reference::keyed;
use crate::support::{DEADLINE, Origin, Signal, holds_within, pause};

/// How much later than its time an end may come, on a busy machine.
const LATE: Duration = Duration::from_secs(8);

/// Both kinds of request are answered with this status, within these times.
fn answered(stand: &Stand, status: u16, from: Duration, until: Duration) {
    for request in both("/api/v1/x") {
        let start = Instant::now();
        let answer = stand.ask(request);
        let took = start.elapsed();
        stand.holds(answer.status == status, || format!("{}", answer.status));
        stand.holds((from..until).contains(&took), || format!("after {took:?}"));
    }
}

pub(super) fn refused(stand: &mut Stand) {
    let refusing = Refusing::new();
    beside(stand, &[refusing.address], "");
    answered(stand, 502, Duration::ZERO, LATE);
    let said = stand.gate().stderr.wait_for("the reason", |line| line.contains("cannot connect"));
    stand.holds(said.contains("refused"), || said);
}

pub(super) fn black_hole(stand: &mut Stand) {
    let black_hole = BlackHole::new();
    beside(stand, &[black_hole.address], "connect_timeout = \"1s\"");
    let timeout = Duration::from_secs(1);
    answered(stand, 504, timeout, timeout + LATE);
}

pub(super) fn silent(stand: &mut Stand) {
    let ended = Signal::new();
    let told = ended.clone();
    upstream(stand, "response_timeout = \"1s\"").script(move |exchange| {
        exchange.read_body();
        exchange.tells_the_end(&told);
    });
    // The oracle's own request would find no answer either, but for the script.
    stand.allow_any("/api/v1/x", 2);
    let timeout = Duration::from_secs(1);
    answered(stand, 504, timeout, timeout + LATE);
    ended.wait();
    ended.wait();
}

pub(super) fn ended(stand: &mut Stand) {
    for end in [End::Closes, End::Resets] {
        let ending = Ending::with(end);
        beside(stand, &[ending.address], "");
        answered(stand, 502, Duration::ZERO, LATE);
        // A second connection for each: the first may have been lost by chance.
        let tries = ending.connections();
        stand.holds((2..=4).contains(&tries), || {
            format!("{end:?}: {tries} connections for two requests")
        });
        stand.anew();
    }
}

pub(super) fn no_such_name(stand: &mut Stand) {
    beside(stand, &["no-such-host.invalid:80"], "connect_timeout = \"3s\"");
    // A resolver may say so at once, or nothing at all.
    let mut waiting = stand.connect();
    waiting.send(get("/api/v1/x"));
    for request in both("/good/x") {
        stand.allow("/good/x", &request);
        let start = Instant::now();
        let status = stand.ask(request).status;
        let took = start.elapsed();
        stand.holds(status == 200 && took < LATE, || format!("others: {status}, {took:?}"));
    }
    let status = waiting.response().status;
    stand.holds(matches!(status, 502 | 504), || format!("{status}"));
}

pub(super) fn localhost(stand: &mut Stand) {
    let port = {
        // The origin listens on 127.0.0.1 only; its port is known once it runs.
        upstream(stand, "").allow_any("/api/v1/x", 0);
        stand.origin().address.port()
    };
    let config = beside_config(&[format!("localhost:{port}")], "");
    let good = stand.origin().address.to_string();
    stand.gate().write("keygate.toml", &keyed(&config.replace("{origin}", &good)));
    // `/good/` is there as soon as the new configuration is.
    stand.allow_any("/good/x", 1);
    let serves = || stand.ask(get("/good/x")).status == 200;
    assert!(holds_within(DEADLINE, serves), "the configuration is not taken over");
    for request in both("/api/v1/x") {
        stand.allow("/api/v1/x", &request);
        let status = stand.ask(request).status;
        stand.holds(status == 200, || format!("{status}"));
    }
}

pub(super) fn one_of_two(stand: &mut Stand) {
    let dead = Refusing::new();
    beside(stand, &[dead.address.to_string(), "{origin}".to_owned()], "max_idle = 0");
    let serves = || {
        for request in [get("/api/v1/x"), post("/api/v1/x")] {
            stand.allow("/api/v1/x", &request);
            let status = stand.ask(request).status;
            stand.holds(status == 200, || format!("{status}"));
        }
    };
    (0..10).for_each(|_| serves());
    dead.listen();
    (0..10).for_each(|_| serves());
    stand.holds(!dead.was_asked(), || "asked again at once".to_owned());
    let address = dead.address.to_string();
    drop(dead);
    let back = Origin::on(&address, |exchange| {
        exchange.read_body();
        exchange.reply(200, b"back");
    });
    // Those that it answers do not reach the other one.
    let comes_back = || {
        pause(Duration::from_millis(200));
        let answer = stand.ask(get("/api/v1/x"));
        if answer.text() != "back" {
            stand.allow_any("/api/v1/x", 1);
        }
        back.count() > 0
    };
    stand.holds(holds_within(2 * DEADLINE, comes_back), || "never asked again".to_owned());
}

pub(super) fn busy(stand: &mut Stand) {
    let go = Signal::new();
    let led = go.clone();
    let more = "max_connections = 1\nmax_queue = 1\nqueue_timeout = \"1s\"";
    upstream(stand, more).script(move |exchange| {
        exchange.read_body();
        if exchange.request.second_word() == "/api/v1/slow" {
            led.wait();
        }
        let target = exchange.request.second_word().to_owned();
        exchange.reply(200, target.as_bytes());
    });
    let mut slow = stand.connect();
    stand.allow("/api/v1/slow", get("/api/v1/slow"));
    slow.send(get("/api/v1/slow"));
    stand.origin().wait_for(1);
    let timeout = Duration::from_secs(1);
    answered(stand, 503, timeout, timeout + LATE);
    // Whoever gets a place in time is served, and no place is lost.
    let mut waits = stand.connect();
    stand.allow("/api/v1/x", get("/api/v1/x"));
    waits.send(get("/api/v1/x"));
    let heard = waits.hears_within(Duration::from_millis(200));
    stand.holds(!heard, || "answered before there was a place".to_owned());
    go.give();
    for (client, target) in [(&mut slow, "/api/v1/slow"), (&mut waits, "/api/v1/x")] {
        let answer = client.response();
        stand.holds(answer.text() == target, || format!("{target}: {}", answer.text()));
    }
    for request in both("/api/v1/y") {
        stand.allow("/api/v1/y", &request);
        let status = stand.ask(request).status;
        stand.holds(status == 200, || format!("{status}"));
    }
}

pub(super) fn itself(stand: &mut Stand) {
    stand.probe("");
    let address = stand.gate().address.to_string();
    let looped =
        keyed(&beside_config(std::slice::from_ref(&address), "")).replace("{origin}", &address);
    stand.gate().write("keygate.toml", &looped);
    // Until the new configuration is there, nobody answers for this location.
    let status = || stand.ask(get("/good/x")).status;
    assert!(holds_within(DEADLINE, || status() != 404), "the configuration is not taken over");
    for request in [get("/api/v1/x"), post("/api/v1/x"), get("/good/x")] {
        let status = stand.ask(request).status;
        stand.holds(status == 502, || format!("{status}"));
    }
    let said = stand.gate().stderr.wait_for("the reason", |line| line.contains("itself"));
    stand.holds(said.contains("cannot connect"), || said);
}
