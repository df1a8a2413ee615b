//! What goes on at the same time, and how it ends.

use std::time::{Duration, Instant};

use super::{Stand, connect, keyed_get};
use crate::support::h2::{CANCEL, DATA, END_STREAM, GOAWAY, H2, NONE, PREFACE, SETTINGS, request};
use crate::support::reference::K1;
use crate::support::{DEADLINE, MISSING, Signal, holds_within};

pub(super) fn prefaces(stand: &mut Stand) {
    stand.server("client_header_timeout = \"1s\"\n").probe("");
    for wrong in [
        &b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n"[..],
        b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
        b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRJ * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = stand.connect();
        let answer = client.send(wrong).rest();
        // A frame of settings may have gone out; no response to a request but 400.
        let right =
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400") || answer[3] == SETTINGS;
        stand.holds(right, || format!("{answer:?}"));
    }
    // HTTP/1.1 on the same port, however it comes.
    for piece in [1, 3, 100] {
        let mut client = stand.connect();
        for part in b"GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\n\r\n".chunks(piece) {
            client.send(part);
        }
        assert_eq!(client.response().status, 401);
    }
    // HTTP/2 byte by byte; and one who never comes to an end.
    let mut h2 = H2::silent(stand.connect());
    for byte in PREFACE {
        h2.send([*byte]);
    }
    h2.frame(SETTINGS, NONE, 0, b"");
    assert_eq!(h2.ask(&request("GET", "/api/v1/x", &[])).status, 401);
    for begun in [&PREFACE[..3], &PREFACE[..18], &PREFACE[..20]] {
        let mut client = stand.connect();
        let start = Instant::now();
        client.send(begun).rest();
        let took = start.elapsed();
        stand.holds(took > Duration::from_millis(900), || format!("{took:?}"));
    }
    stand.get("", MISSING);
}

pub(super) fn delays(stand: &mut Stand) {
    stand.config(
        "[plugins.kh]\ncategory = \"key-auth\"\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\n\
         hide_credentials = true\ndelay = \"3s\"\n\
         [locations.hdr]\npath = \"/\"\nupstream = \"rec\"\nplugins = [\"kh\"]\n",
    );
    stand.allow_any("/api/v1/x", 1);
    let mut h2 = connect(stand);
    let wrong = request("GET", "/api/v1/x", &[("x-api-key", "wrong")]);
    let delayed: Vec<_> = (0..99).map(|_| h2.open(END_STREAM, &wrong)).collect();
    let start = Instant::now();
    assert_eq!(h2.ask(&keyed_get(&[])).status, 200);
    let took = start.elapsed();
    stand.holds(took < Duration::from_secs(2), || format!("{took:?}"));
    let answers = h2.answers(&delayed);
    let right = answers.iter().all(|answer| answer.status == 401);
    stand.holds(right, || format!("{answers:?}"));
}

pub(super) fn leaving(stand: &mut Stand) {
    let ended = Signal::new();
    let told = ended.clone();
    stand.script(move |exchange| {
        if exchange.request.second_word() == "/api/v1/x" {
            exchange.read_body();
            return exchange.reply(200, b"here");
        }
        exchange.tells_the_end(&told);
    });
    // Who says that it goes, and waits: what is under way comes to its end.
    stand.allow_any("/api/v1/x", 1);
    let mut h2 = connect(stand);
    let stream = h2.open(END_STREAM, &keyed_get(&[]));
    h2.frame(GOAWAY, NONE, 0, &[0; 8]);
    assert_eq!(h2.answer(stream).text(), "here");
    // Who goes.
    stand.may_reach("/api/v1/slow");
    let mut h2 = connect(stand);
    let before = stand.origin().count();
    h2.open(END_STREAM, &request("GET", "/api/v1/slow", &[("x-api-key", K1)]));
    stand.origin().wait_for(before + 1);
    h2.client().finish();
    stand.holds(ended.given_within(DEADLINE), || "the request goes on upstream".to_owned());
}

pub(super) fn reset_responses(stand: &mut Stand) {
    stand.script(|exchange| {
        if !exchange.request.has("x-stream") {
            exchange.read_body();
            return exchange.reply(200, b"here");
        }
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegin");
        // Until the gate goes away.
        exchange.ends_within(DEADLINE);
        exchange.close();
    });
    stand.may_reach("/api/v1/x");
    let mut h2 = connect(stand);
    for _ in 0..100 {
        let stream = h2.open(END_STREAM, &keyed_get(&[("x-stream", "1")]));
        loop {
            let frame = h2.next().expect("the connection goes on");
            h2.forget(&frame);
            if frame.kind == DATA && frame.stream == stream {
                break;
            }
        }
        h2.reset(stream, CANCEL);
    }
    let gone = holds_within(DEADLINE, || stand.origin().open_connections() <= 1);
    stand.holds(gone, || format!("{} are open", stand.origin().open_connections()));
    assert_eq!(h2.ask(&request("GET", "/api/v1/x", &[])).status, 401);
}

pub(super) fn trailers(stand: &mut Stand) {
    stand.answer(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n2\r\nhi\r\n\
         0\r\ngrpc-status: 0\r\nX-API-Key: K1\r\nConnection: close\r\n\r\n",
    );
    stand.allow_any("/api/v1/x", 1);
    let mut h2 = connect(stand);
    let answer = h2.ask(&keyed_get(&[("te", "trailers")]));
    assert_eq!((answer.status, answer.text().as_str(), answer.complete), (200, "hi", true));
    assert_eq!(answer.trailers, [("grpc-status".to_owned(), "0".to_owned())]);
    let framing = ["transfer-encoding", "content-length"].map(|name| answer.value(name));
    assert_eq!(framing, ["", ""]);
    assert_eq!(stand.origin().last().head.values("te"), ["trailers"]);
}
