//! How connections and streams of HTTP/2 end.

use std::time::{Duration, Instant};

use super::{connect, keyed};
use crate::support::h2::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS,
    INITIAL_WINDOW_SIZE, NO_ERROR, NONE, PING, REFUSED_STREAM, RST_STREAM, block, frame, request,
};
use crate::support::reference::{K1, guarded, reference, upstream};
use crate::support::{DEADLINE, Gate, Origin, Signal, holds_within, pause};

/// A gate with these lines in `[server]`.
fn with_server(origin: &Origin, lines: &str) -> Gate {
    let server = format!(
        "[server]
listen = \"127.0.0.1:0\"
{lines}
"
    );
    Gate::with(&[("keygate.toml", &reference(origin)), ("server.toml", &server)])
}

#[test]
fn an_idle_connection_is_told_that_it_ends() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "keepalive_timeout = \"1s\"");
    let mut h2 = connect(&gate);
    assert_eq!(h2.ask(&keyed("GET", &[])).status, 200);
    let start = Instant::now();
    // What serves nobody does not make it less idle.
    h2.frame(PING, NONE, 0, &[0; 8]);
    assert_eq!(h2.ended(), Some(NO_ERROR));
    assert!(start.elapsed() > Duration::from_millis(900));
}

#[test]
fn a_header_block_that_does_not_end_is_not_waited_for() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "client_header_timeout = \"1s\"");
    let head = block(&keyed("GET", &[]));
    let whole = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head);
    let begun = frame(HEADERS, END_STREAM, 1, &head);
    for bytes in [&whole[..whole.len() - 1], &begun] {
        let mut h2 = connect(&gate);
        let start = Instant::now();
        h2.send(bytes);
        assert_eq!(h2.ended(), Some(ENHANCE_YOUR_CALM));
        assert!(start.elapsed() > Duration::from_millis(900));
    }
    // Nor does it help to send a piece now and then.
    let mut h2 = connect(&gate);
    h2.send(&begun);
    let start = Instant::now();
    while !h2.is_over() && start.elapsed() < DEADLINE {
        h2.frame(CONTINUATION, NONE, 1, b"");
        pause(Duration::from_millis(400));
    }
    assert!(start.elapsed() < DEADLINE);
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_body_that_stops_ends_its_stream_and_no_other() {
    let origin = Origin::echo();
    let gate = with_server(&origin, "client_body_timeout = \"1s\"");
    let mut h2 = connect(&gate);
    let slow = h2.open(NONE, &keyed("POST", &[]));
    h2.data(slow, NONE, b"begin");
    assert_eq!(h2.ask(&keyed("GET", &[])).status, 200);
    assert_eq!(h2.answer(slow).status, 408);
    assert_eq!(h2.ask(&keyed("GET", &[])).status, 200);
}

#[test]
fn a_client_that_gives_no_window_loses_its_stream_and_no_other() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let gate = with_server(&origin, "client_body_timeout = \"1s\"");
    let mut h2 = connect(&gate);
    h2.setting(INITIAL_WINDOW_SIZE, 0);
    let start = Instant::now();
    let stream = h2.open(END_STREAM, &keyed("GET", &[]));
    let answer = h2.answer(stream);
    assert_eq!((answer.status, answer.error, answer.complete), (200, Some(CANCEL), false));
    assert!(start.elapsed() > Duration::from_millis(900));
    let own = h2.open(END_STREAM, &request("GET", "/api/v1/x", &[]));
    assert_eq!(h2.answer(own).error, Some(CANCEL));
    h2.setting(INITIAL_WINDOW_SIZE, 100);
    assert_eq!(h2.ask(&keyed("GET", &[])).text(), "hello");
}

#[test]
fn streams_beyond_the_limit_are_refused_and_may_come_again() {
    let go = Signal::new();
    let wait = go.clone();
    let origin = Origin::scripted(move |exchange| {
        wait.wait();
        exchange.reply(200, b"here");
    });
    let gate = with_server(&origin, "http2_max_concurrent_streams = 2");
    let mut h2 = connect(&gate);
    let [one, two, three] = [(); 3].map(|()| h2.open(END_STREAM, &keyed("GET", &[])));
    assert_eq!(h2.answer(three).error, Some(REFUSED_STREAM));
    go.give();
    go.give();
    go.give();
    let statuses: Vec<_> = h2.answers(&[one, two]).iter().map(|one| one.status).collect();
    assert_eq!(statuses, [200, 200]);
    assert_eq!(h2.ask(&keyed("GET", &[])).status, 200);
    assert_eq!(origin.count(), 3);
}

#[test]
fn a_reset_ends_the_request_upstream_at_once() {
    let ended = Signal::new();
    let tell = ended.clone();
    let origin = Origin::scripted(move |exchange| {
        if exchange.request.second_word() == "/api/v1/x" {
            return exchange.tells_the_end(&tell);
        }
        exchange.reply(200, b"here");
    });
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    for _ in 0..3 {
        let before = origin.count();
        let stream = h2.open(END_STREAM, &keyed("GET", &[]));
        origin.wait_for(before + 1);
        h2.reset(stream, CANCEL);
        ended.wait();
    }
    assert_eq!(h2.ask(&request("GET", "/public/x", &[])).status, 200);
}

#[test]
fn who_leaves_too_often_is_told_to_calm_down() {
    let origin = Origin::scripted(|exchange| {
        exchange.ends_within(DEADLINE);
        exchange.close();
    });
    let gate = guarded(&origin);
    let mut h2 = connect(&gate);
    let mut left = 0;
    // One at a time, so that each request has gone upstream when its stream is reset.
    let told = loop {
        let before = origin.count();
        let stream = h2.open(END_STREAM, &keyed("GET", &[]));
        let arrived = holds_within(Duration::from_secs(2), || origin.count() > before);
        if !arrived || left > 400 {
            break h2.ended();
        }
        h2.reset(stream, CANCEL);
        left += 1;
    };
    assert_eq!(told, Some(ENHANCE_YOUR_CALM));
    assert!((100..400).contains(&left), "{left}");
}

#[test]
fn a_stop_answers_what_is_under_way_and_what_is_on_its_way() {
    let (go, came) = (Signal::new(), Signal::new());
    let (wait, tell) = (go.clone(), came.clone());
    let origin = Origin::scripted(move |exchange| {
        exchange.read_body();
        if exchange.request.has("x-slow") {
            tell.give();
            wait.wait();
        }
        exchange.reply(200, b"here");
    });
    let gate = guarded(&origin);
    let (mut busy, mut idle) = (connect(&gate), connect(&gate));
    let stream = busy.open(END_STREAM, &keyed("GET", &[("x-slow", "1")]));
    came.wait();
    gate.signal("TERM");
    busy.until_kind(GOAWAY, NONE);
    idle.until_kind(GOAWAY, NONE);
    go.give();
    assert_eq!(busy.answer(stream).text(), "here");
    // Nothing comes but the end, and perhaps a second notice with the last stream that counts.
    assert!([busy.ended(), idle.ended()].iter().all(|code| matches!(code, None | Some(NO_ERROR))));
    assert!(gate.ends_within(DEADLINE).is_some_and(|status| status.success()));
}

#[test]
fn a_stream_ends_with_its_key() {
    let go = Signal::new();
    let wait = go.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        exchange.chunk(b"begin");
        wait.give();
        exchange.ends_within(DEADLINE);
        exchange.close();
    });
    let config = |keys: &str| {
        format!(
            "{}[plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [{keys}]\ncut_streams = true\n\
             hide_credentials = true\n\
             [locations.all]\npath = \"/\"\nupstream = \"rec\"\nplugins = [\"key-auth\"]\n",
            upstream(&origin)
        )
    };
    let gate = Gate::on(&config(&format!("\"{}\"", K1)));
    let mut h2 = connect(&gate);
    let stream = h2.open(END_STREAM, &keyed("GET", &[]));
    go.wait();
    h2.until_kind(DATA, NONE);
    gate.write("keygate.toml", &config("\"another-key-0123456789-0123456789\""));
    gate.signal("HUP");
    let frame = h2.until_kind(RST_STREAM, NONE);
    assert_eq!((frame.stream, frame.code()), (stream, CANCEL));
}
