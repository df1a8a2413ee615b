//! Where the logs go may block: no request waits for it, and no stop.

use std::time::Duration;

use crate::support::reference::{keyed, reference};
use crate::support::{Gate, Origin, wait_until};

/// A gate that logs as much as it can.
fn talkative(origin: &Origin) -> Gate {
    let config = format!("[server]\nlisten = \"127.0.0.1:0\"\n{}", reference(origin));
    let arguments = ["--config", "config"];
    Gate::launch(&[("keygate.toml", &config)], &arguments, &[("KEYGATE_LOG", "debug")])
}

/// More requests than a pipe of 64 KiB holds lines of.
fn requests(gate: &Gate) {
    const REQUESTS: usize = 100;
    let head = format!("GET /api/v1/{} HTTP/1.1\r\nHost: a.test\r\n", "a".repeat(1024));
    let request = keyed(&(head + "X-API-Key: K1\r\n\r\n"));
    let mut client = gate.client();
    for number in 0..REQUESTS {
        assert_eq!(client.send(&request).response().status, 200, "request {number}");
    }
}

/// More broken connections than a pipe and the queue before it hold messages about.
fn troubles(gate: &Gate) {
    const TROUBLES: usize = 2500;
    for number in 0..TROUBLES {
        assert_eq!(gate.send("nonsense\r\n\r\n").status, 400, "connection {number}");
    }
}

#[test]
fn logs_that_nobody_reads_hold_no_request_up() {
    let origin = Origin::echo();
    let gate = talkative(&origin);
    let held = (gate.stdout.hold(), gate.stderr.hold());
    requests(&gate);
    troubles(&gate);
    drop(held);
    // Said with the first message that there is room for again.
    wait_until("it says what is missing", || {
        gate.send("nonsense\r\n\r\n");
        gate.stderr.lines().iter().any(|line| line.contains("messages are lost"))
    });
}

#[test]
fn logs_that_nobody_reads_hold_no_stop_up() {
    let origin = Origin::echo();
    let gate = talkative(&origin);
    let held = (gate.stdout.hold(), gate.stderr.hold());
    requests(&gate);
    troubles(&gate);
    gate.signal("TERM");
    let ended = gate.ends_within(Duration::from_secs(8));
    drop(held);
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}
