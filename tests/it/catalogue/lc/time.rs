//! Time that stands still, and a wall clock that jumps (LC-17, LC-18).

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::VALID;
use crate::catalogue::Stand;
use crate::support::reference::{keyed, one_location};
use crate::support::{Client, Signal, false_clock, pause};

/// An upstream that must answer within a second, and wrong keys that wait for 300 ms.
fn config() -> String {
    let plugin = "header = \"X-API-Key\"\ndelay = \"300ms\"\n";
    "[upstreams.rec]\naddrs = [\"{origin}\"]\nresponse_timeout = \"1s\"\nread_timeout = \"1s\"\n"
        .to_owned()
        + &one_location(plugin, "")
}

fn status(client: &mut Client) -> u16 {
    client.response().status
}

pub(super) fn stopped(stand: &mut Stand) {
    const COUNT: usize = 20;
    let go = Signal::new();
    let step = go.clone();
    stand
        .config(&config())
        .server("client_header_timeout = \"1s\"\nkeepalive_timeout = \"1s\"\n")
        .script(move |exchange| {
            if exchange.request.second_word() == "/slow" {
                step.wait();
            } else {
                // Longer than it takes a stopped process to look at its clock again.
                pause(Duration::from_millis(300));
            }
            exchange.reply(200, b"answered");
        });
    stand.allow_any("/slow", COUNT);
    stand.allow_any("/api/v1/x", 3 * COUNT);
    let gate = stand.gate();
    let clients = || (0..COUNT).map(|_| gate.client()).collect::<Vec<_>>();
    let (mut under_way, mut kept, mut fresh) = (clients(), clients(), Vec::new());
    for client in &mut kept {
        client.send(keyed(VALID));
    }
    assert!(kept.iter_mut().all(|client| status(client) == 200));
    for client in &mut under_way {
        client.send(keyed(VALID).replace("/api/v1/x", "/slow"));
    }
    stand.origin().wait_for(2 * COUNT);
    gate.signal("STOP");
    (0..COUNT).for_each(|_| go.give());
    for client in &mut kept {
        client.send(keyed(VALID));
    }
    // Longer than every timeout there is.
    pause(Duration::from_secs(3));
    for _ in 0..COUNT {
        let mut client = gate.client();
        client.send(keyed(VALID));
        fresh.push(client);
    }
    let mut wrong = gate.client();
    wrong.send(VALID.replace("K1", "wrong"));
    let start = Instant::now();
    gate.signal("CONT");
    for (what, clients) in [("under way", under_way), ("kept", kept), ("fresh", fresh)] {
        let statuses: Vec<_> = clients.into_iter().map(|mut client| status(&mut client)).collect();
        assert_eq!(statuses, [200; COUNT], "{what}");
    }
    assert_eq!(status(&mut wrong), 401);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

/// The time of day in the first HH:MM:SS of a text, in seconds.
fn time_of_day(text: &str) -> u64 {
    let place = text.find(':').expect("it holds a time") - 2;
    let part = |at: usize| text[place + at..place + at + 2].parse::<u64>().expect("two digits");
    part(0) * 3600 + part(3) * 60 + part(6)
}

/// Whether two times of day are less than a minute apart.
fn close(one: u64, other: u64) -> bool {
    const DAY: u64 = 24 * 3600;
    let apart = (one + DAY - other) % DAY;
    apart.min(DAY - apart) < 60
}

pub(super) fn wall_clock(stand: &mut Stand) {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let clock = folder.path().join("clock");
    let Some(variables) = false_clock(&clock) else { return };
    for (name, value) in &variables {
        stand.env(name, value);
    }
    let set = |offset: i64| {
        fs::write(folder.path().join("new"), format!("{offset:+}s\n")).expect("it can be written");
        fs::rename(folder.path().join("new"), &clock).expect("it can be written");
    };
    set(0);
    stand.config(&config()).script(|exchange| match exchange.request.second_word() {
        "/never" => drop(exchange.ends_within(Duration::from_secs(10))),
        _ => exchange.reply(200, b"answered"),
    });
    let gate = stand.gate();
    // Open all the time: no jump of the wall clock ends it.
    let mut kept = gate.client();
    let offsets = [0, 3600, -3600, 86_400 * 40, -86_400 * 400, 0];
    for offset in offsets {
        set(offset);
        assert_eq!(status(kept.send(keyed(VALID))), 200, "{offset}");
        let expected = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let expected = expected.as_secs().saturating_add_signed(offset) % 86_400;
        let lines = gate.stdout.lines().len();
        let start = Instant::now();
        let wrong = gate.send(VALID.replace("K1", "wrong"));
        let took = start.elapsed();
        assert_eq!(wrong.status, 401);
        assert!((300..3000).contains(&took.as_millis()), "{offset}: a delay of {took:?}");
        let date = wrong.value("date").to_owned();
        assert!(close(time_of_day(&date), expected), "{offset}: Date: {date}");
        let start = Instant::now();
        let late = gate.send(keyed(VALID).replace("/api/v1/x", "/never"));
        let took = start.elapsed();
        assert_eq!(late.status, 504);
        assert!((1000..5000).contains(&took.as_millis()), "{offset}: a timeout of {took:?}");
        gate.stdout.wait_for("the line of the 504", |line| line.contains(" 504 "));
        let line = gate.stdout.lines()[lines..].iter().find(|line| line.contains(" 401 ")).cloned();
        let line = line.expect("the line of the 401 comes first");
        assert!(close(time_of_day(&line), expected), "{offset}: {line}");
    }
    stand.allow_any("/api/v1/x", offsets.len());
    stand.allow_any("/never", offsets.len());
}
