//! Active health checks: who fails them gets no requests, and who comes back does again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::support::fault::{BlackHole, End, Ending, Refusing};
use crate::support::frames::{END_STREAM, Frame};
use crate::support::{
    DEADLINE, Exchange, FrameOrigin, Gate, Origin, Response, Signal, holds_within, pause,
    wait_until,
};
use crate::upstreams::{GET, POST, is, open_to};

/// Checks that come often, so that no test waits for long.
const OFTEN: &str = "health = { path = \"/health\", interval = \"100ms\", timeout = \"1s\" }";

/// Checks of which only the first comes during a test, and says all.
const ONCE: &str =
    "health = { path = \"/health\", interval = \"1h\", timeout = \"1s\", unhealthy = 1 }";

/// An origin whose health is what this says, and which answers all else with its name.
fn origin(name: &'static str, health: &Arc<AtomicU16>) -> Origin {
    let health = Arc::clone(health);
    Origin::scripted(move |exchange| match exchange.request.second_word() {
        "/health" => exchange.reply(health.load(Ordering::SeqCst), b"health"),
        _ => {
            exchange.read_body();
            exchange.reply(200, name.as_bytes());
        }
    })
}

fn health(status: u16) -> Arc<AtomicU16> {
    Arc::new(AtomicU16::new(status))
}

fn addresses<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> Vec<String> {
    origins.into_iter().map(|origin| origin.address.to_string()).collect()
}

#[track_caller]
fn is_unhealthy(response: &Response, retry_after: &str) {
    is(response, 503, "No healthy upstream");
    assert_eq!(response.value("retry-after"), retry_after);
}

/// The lines of the log that say that something has changed.
fn changes(gate: &Gate) -> Vec<String> {
    let lines = gate.stderr.lines();
    lines.into_iter().filter(|line| line.contains("healthy")).collect()
}

#[test]
fn an_address_that_is_not_well_gets_no_requests_until_it_is() {
    let state = health(200);
    let origins = [origin("one", &state), origin("other", &health(204))];
    let gate = open_to(&addresses(&origins), OFTEN);
    let mut client = gate.client();
    let mut asked = || client.send(GET).response().text();
    assert_ne!(asked(), asked(), "both are asked");
    state.store(500, Ordering::SeqCst);
    gate.stderr.wait_for("the verdict", |line| line.contains("unhealthy: gets no requests"));
    for _ in 0..10 {
        assert_eq!(asked(), "other");
    }
    state.store(302, Ordering::SeqCst);
    gate.stderr.wait_for("the verdict", |line| line.contains("healthy again"));
    assert_ne!(asked(), asked(), "both are asked again");
    let said = changes(&gate);
    assert!(
        said.len() == 2 && said[0].contains("status 500"),
        "each change is said once: {said:?}"
    );
    assert!(said.iter().all(|line| line.contains(&origins[0].address.to_string())), "{said:?}");
}

#[test]
fn without_a_healthy_address_requests_are_refused_at_once() {
    let origin = origin("one", &health(503));
    let gate = open_to(&addresses([&origin]), ONCE);
    // Until the first check has been made, it counts as healthy.
    gate.stderr.wait_for("the verdict", |line| line.contains("unhealthy"));
    let checks = origin.count();
    for request in [GET, POST] {
        is_unhealthy(&gate.send(request), "3600");
    }
    assert_eq!(origin.count(), checks, "the upstream was asked");
}

#[test]
fn before_the_first_check_an_address_counts_as_healthy() {
    let origin = origin("one", &health(200));
    let gate = open_to(&addresses([&origin]), OFTEN);
    is(&gate.send(GET), 200, "one");
}

#[test]
fn what_is_known_outlives_a_reload_that_leaves_the_upstream_as_it_is() {
    let origin = origin("one", &health(503));
    let gate = open_to(&addresses([&origin]), ONCE);
    gate.stderr.wait_for("the verdict", |line| line.contains("unhealthy"));
    let checks = origin.count();
    gate.signal("HUP");
    gate.stderr.wait_for("the reload", |line| line.contains("reloaded the configuration"));
    is_unhealthy(&gate.send(GET), "3600");
    // A check that began anew would come within a second.
    pause(Duration::from_millis(1500));
    assert_eq!(origin.count(), checks, "it was checked anew");
    is_unhealthy(&gate.send(GET), "3600");
}

#[test]
fn a_check_is_one_small_request_and_follows_the_policy_of_the_host() {
    for (policy, expected) in [("client", None), ("upstream", None), ("api.test", Some("api.test"))]
    {
        let origin = origin("one", &health(200));
        let gate = open_to(&addresses([&origin]), &format!("host = \"{policy}\"\n{OFTEN}"));
        origin.wait_for(2);
        let own = origin.address.to_string();
        for one in origin.requests() {
            assert_eq!(one.head.start, "GET /health HTTP/1.1");
            assert_eq!(one.head.value("host"), Some(expected.unwrap_or(&own)), "{policy}");
            assert_eq!(one.head.value("user-agent"), Some("keygate"));
            assert_eq!(one.head.fields.len(), 4, "{:?}", one.head);
        }
        drop(gate);
    }
}

#[test]
fn all_workers_are_served_by_the_same_checks() {
    let origin = origin("one", &health(200));
    let config = format!(
        "[upstreams.rec]\naddrs = [\"{}\"]\n\
         health = {{ path = \"/health\", interval = \"500ms\" }}\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\npublic = true\n",
        origin.address
    );
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 8\n";
    let _gate = Gate::with(&[("keygate.toml", &config), ("server.toml", server)]);
    origin.wait_for(1);
    let start = Instant::now();
    origin.wait_for(6);
    assert!(start.elapsed() > Duration::from_secs(1), "five checks took {:?}", start.elapsed());
}

/// What upstreams say to a check that is no answer.
const FAULTS: [(&str, &str); 6] = [
    ("timed out", "HTTP/1.1 100 Continue\r\n\r\n"),
    ("timed out", "HTTP/1.1 200 OK\r\nX: "),
    ("", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ("status 404", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    ("status 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    ("closed without a response", ""),
];

#[test]
fn a_check_that_is_not_answered_well_leaves_nothing_behind() {
    let files = |gate: &Gate| {
        std::fs::read_dir(format!("/proc/{}/fd", gate.pid())).map_or(0, Iterator::count)
    };
    for (why, says) in FAULTS {
        let origin = Origin::scripted(move |exchange: &mut Exchange| {
            exchange.write(says);
            if says.is_empty() {
                exchange.close();
            }
        });
        let gate = open_to(&addresses([&origin]), ONCE);
        let at_rest = files(&gate);
        let said = gate.stderr.wait_for("the verdict", |line| line.contains("unhealthy"));
        assert!(said.contains(why), "{says:?}: {said}");
        is_unhealthy(&gate.send(GET), "3600");
        wait_until("its connection is closed", || origin.open_connections() == 0);
        wait_until("it leaves no descriptor", || files(&gate) <= at_rest);
    }
}

#[test]
fn an_endless_head_ends_a_check() {
    let origin = Origin::scripted(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\n");
        while exchange.writes_within(Duration::from_secs(2), &[b"X: y\r\n".repeat(1000)].concat()) {
        }
        exchange.close();
    });
    let gate = open_to(&addresses([&origin]), ONCE);
    let said = gate.stderr.wait_for("the verdict", |line| line.contains("unhealthy"));
    assert!(!said.contains("timed out"), "its length ends it, not its time: {said}");
    wait_until("its connection is closed", || origin.open_connections() == 0);
}

#[test]
fn an_address_that_cannot_be_connected_to_is_not_well() {
    let (refusing, hole) = (Refusing::new(), BlackHole::new());
    let resetting = Ending::with(End::Resets);
    for address in [refusing.address, hole.address, resetting.address] {
        let gate = open_to(&[address.to_string()], ONCE);
        gate.stderr.wait_for("the verdict", |line| line.contains("unhealthy"));
        is_unhealthy(&gate.send(GET), "3600");
    }
}

#[test]
fn a_gate_does_not_check_itself() {
    let first = open_to(&["127.0.0.1:1".to_owned()], "");
    let own = first.address.to_string();
    let config = format!(
        "[upstreams.rec]\naddrs = [\"{own}\"]\n{ONCE}\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\npublic = true\n"
    );
    first.write("keygate.toml", &config);
    let said = first.stderr.wait_for("the verdict", |line| line.contains("unhealthy"));
    assert!(said.contains("this gate itself"), "{said}");
}

#[test]
fn an_upstream_of_http2_is_asked_in_http2() {
    let (ill, go) = (Signal::new(), Signal::new());
    let (told, led) = (ill.clone(), go.clone());
    let origin = FrameOrigin::scripted(move |link| {
        link.settle(&[]);
        while let Some((stream, _)) = link.request() {
            match link.number {
                1 => link.reply(stream, "well"),
                _ => {
                    let fields = [(":status", "500")];
                    link.send(&[Frame::headers(stream, END_STREAM, &fields)]);
                    told.give();
                }
            }
        }
        led.give();
    });
    let more = format!("protocol = \"h2\"\n{OFTEN}");
    let gate = open_to(&[origin.address.to_string()], &more);
    ill.wait();
    let said = gate.stderr.wait_for("the verdict", |line| line.contains("unhealthy"));
    assert!(said.contains("status 500"), "{said}");
    is_unhealthy(&gate.send(GET), "1");
    go.wait();
    // One that speaks something else is not well, nor is one that hangs.
    for says in ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""] {
        let origin = Origin::answering(says);
        let gate = open_to(&addresses([&origin]), &format!("protocol = \"h2\"\n{ONCE}"));
        gate.stderr.wait_for("the verdict", |line| line.contains("unhealthy"));
        wait_until("its connection is closed", || origin.open_connections() == 0);
    }
}

#[test]
fn a_name_is_checked_at_every_address_and_a_unix_socket_too() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let path = folder.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("the folder is new");
    listener.set_nonblocking(true).expect("a socket can be told not to wait");
    let gate = open_to(&[format!("unix:{}", path.display())], ONCE);
    let mut checked = None;
    assert!(holds_within(DEADLINE, || {
        checked = listener.accept().ok();
        checked.is_some()
    }));
    drop(checked);
    gate.stderr.wait_for("the verdict", |line| line.contains("unhealthy"));
    let port = Refusing::new().address.port();
    let gate = open_to(&[format!("localhost:{port}")], ONCE);
    let said = gate.stderr.wait_for("the verdict", |line| line.contains("unhealthy"));
    assert!(said.contains(&format!("localhost:{port} (")), "{said}");
}
