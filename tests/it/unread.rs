//! Clients that do not read what they are sent, and clients that leave while something of theirs is
//! unread: neither may keep anything for long, nor stand in its own way.

use std::time::Duration;

use socket2::SockRef;

use crate::support::reference::{guarded, reference};
use crate::support::{Client, DEADLINE, Gate, Origin, Signal, pause, wait_until};

const REQUEST: &str = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
const REFUSED: &str = "GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Much longer than the timeout of [`impatient`], much shorter than any other.
const SOON: Duration = Duration::from_secs(6);

/// Several times what the sockets on the way take when nobody reads.
const LARGE: usize = 64 * 1024 * 1024;

/// A gate that waits for a client for a short time only, whether it is to send or to read.
fn impatient(origin: &Origin) -> Gate {
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nclient_body_timeout = \"600ms\"\n";
    Gate::with(&[("keygate.toml", &reference(origin)), ("server.toml", server)])
}

#[test]
fn a_client_that_never_reads_a_download_is_disconnected() {
    let ended = Signal::new();
    let told = ended.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"));
        let took_all = exchange.writes_within(DEADLINE, &vec![b'x'; LARGE]);
        if !took_all {
            told.give();
        }
        exchange.close();
    });
    let gate = impatient(&origin);
    let before = gate.open_files();
    let mut client = gate.client();
    client.send(REQUEST);
    assert!(ended.given_within(SOON), "the upstream request goes on");
    wait_until("both connections are closed", || gate.open_files() <= before);
}

#[test]
fn a_client_that_never_reads_its_refusals_is_disconnected() {
    let origin = Origin::echo();
    let gate = impatient(&origin);
    let before = gate.open_files();
    let mut client = gate.client();
    let many = REFUSED.repeat(1000);
    // Until no more of them are taken, because the answers are not.
    while client.sends_within(Duration::from_millis(300), many.as_bytes()) {}
    wait_until("the connection is closed", || gate.open_files() <= before);
}

#[test]
fn a_client_that_reads_slowly_is_not_disconnected() {
    const SIZE: usize = 16 * 1024 * 1024;
    let origin = Origin::scripted(|exchange| exchange.reply(200, &vec![b'x'; SIZE]));
    let gate = impatient(&origin);
    let mut client = gate.client();
    let response = client.send(REQUEST).response_head();
    let mut read = 0;
    for _ in 0..8 {
        // Shorter than the timeout each, longer together.
        pause(Duration::from_millis(150));
        read += client.bytes(SIZE / 16).len();
    }
    read += client.bytes(SIZE - read).len();
    assert_eq!((response.status, read), (200, SIZE));
}

#[test]
fn an_upload_goes_on_while_its_response_waits_to_be_read() {
    const DOWN: usize = 12 * 1024 * 1024;
    let origin = Origin::scripted(|exchange| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", DOWN + 3);
        let begun = exchange.write_beside([head.as_bytes(), &vec![b'y'; DOWN]].concat());
        let whole = exchange.bytes(LARGE).len() == LARGE;
        begun.join().expect("writing does not panic");
        exchange.write(if whole { "all" } else { "cut" });
    });
    let gate = guarded(&origin);
    let mut client = gate.client();
    let head = "POST /public/x HTTP/1.1\r\nHost: a.test\r\n";
    client.send(format!("{head}Content-Length: {LARGE}\r\n\r\n"));
    assert!(client.sends_within(DEADLINE, &vec![b'x'; LARGE]), "the upload stands still");
    let response = client.response();
    assert_eq!((response.status, response.body.len()), (200, DOWN + 3));
    assert!(response.complete && response.body.ends_with(b"all"), "the upload was cut");
}

#[test]
fn a_client_that_leaves_with_bytes_unread_ends_its_upstream_request() {
    for unread in ["\r\n", "G", REQUEST] {
        let ended = Signal::new();
        let told = ended.clone();
        let origin = Origin::scripted(move |exchange| {
            exchange.tells_the_end(&told);
        });
        let gate = guarded(&origin);
        let mut client = gate.client();
        client.send([REQUEST, unread].concat());
        origin.wait_for(1);
        drop(client);
        assert!(ended.given_within(SOON), "{unread:?}: the upstream request goes on");
    }
}

/// An origin whose answers are as long as their targets say.
fn measured() -> Origin {
    Origin::scripted(|exchange| {
        let length = exchange.request.second_word().trim_start_matches("/public/").parse();
        exchange.reply(200, &vec![b'x'; length.unwrap_or(0)]);
    })
}

/// Clients that have asked and not read yet. The answers are of many lengths: some fit into the
/// sockets, of some the end waits in the gate, of some it is still at the origin.
fn waiting(gate: &Gate, origin: &Origin) -> Vec<(usize, Client)> {
    let clients: Vec<_> = (1..=15)
        .map(|number| {
            let (length, mut client) = (number * 30_000, Client::narrow(gate.address));
            client.send(REQUEST.replace("/x", &format!("/{length}")));
            (length, client)
        })
        .collect();
    origin.wait_for(clients.len());
    clients
}

#[track_caller]
fn each_gets_all_and_is_closed(mut clients: Vec<(usize, Client)>) {
    for (length, client) in &mut clients {
        // From here on it reads as fast as any.
        let widened = SockRef::from(client.stream()).set_recv_buffer_size(1 << 20);
        widened.expect("a socket can be told its buffer");
        let response = client.response();
        assert_eq!((response.status, response.body.len()), (200, *length));
    }
    for (length, mut client) in clients {
        assert!(client.closes_within(SOON), "{length}: never idle");
    }
}

#[test]
fn a_response_that_is_not_read_yet_is_no_idle_connection() {
    let origin = measured();
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nkeepalive_timeout = \"300ms\"\n";
    let gate = Gate::with(&[("keygate.toml", &reference(&origin)), ("server.toml", server)]);
    let clients = waiting(&gate, &origin);
    pause(Duration::from_secs(1));
    each_gets_all_and_is_closed(clients);
}

#[test]
fn a_response_that_is_not_read_yet_is_not_cut_by_a_stop() {
    let origin = measured();
    let gate = guarded(&origin);
    let clients = waiting(&gate, &origin);
    gate.signal("TERM");
    // Longer than an idle connection is kept after a stop.
    pause(Duration::from_millis(1500));
    each_gets_all_and_is_closed(clients);
    assert_eq!(gate.ends_within(DEADLINE).and_then(|status| status.code()), Some(0));
}
