//! Bodies of responses that break off, that should not be there, or that come too early.

use super::rows::{Fault, both, cut, get, play, post, upstream, with};
use crate::catalogue::Stand;
use crate::support::fault::End::{Closes, Resets, Stays};
use crate::support::{DEADLINE, Signal};

const SHORT: &[Fault] = &[
    cut("half, FIN", b"Content-Length: 100\r\n\r\nhalf", Closes),
    cut("half, RST", b"Content-Length: 100\r\n\r\nhalf", Resets),
    cut("half, then silence", b"Content-Length: 100\r\n\r\nhalf", Stays),
    cut("nothing, FIN", b"Content-Length: 100\r\n\r\n", Closes),
    cut("nothing, RST", b"Content-Length: 100\r\n\r\n", Resets),
];

pub(super) fn short(stand: &mut Stand) {
    play(stand, "HTTP/1.1 200 OK\r\n", SHORT);
}

const ENDLESS: &[Fault] = &[
    cut("no last chunk, FIN", b"4\r\nhalf\r\n", Closes),
    cut("no last chunk, RST", b"4\r\nhalf\r\n", Resets),
    cut("no last chunk, silence", b"4\r\nhalf\r\n", Stays),
    cut("half a chunk, FIN", b"64\r\nhalf", Closes),
    cut("half a chunk, RST", b"64\r\nhalf", Resets),
    cut("half the last chunk, FIN", b"4\r\nhalf\r\n0\r\n", Closes),
    cut("half a trailer, FIN", b"4\r\nhalf\r\n0\r\nX-Sum: ", Closes),
    cut("nothing, FIN", b"", Closes),
];

pub(super) fn endless(stand: &mut Stand) {
    play(stand, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ENDLESS);
    stand.anew();
    // Without chunks, only a reset tells a client of HTTP/1.0 that there should be more.
    upstream(stand, "").script(|exchange| {
        exchange.read_body();
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        exchange.close();
    });
    for request in both("/api/v1/x") {
        let request = request.replace("HTTP/1.1", "HTTP/1.0");
        stand.allow("/api/v1/x", &request);
        let mut client = stand.connect();
        let body = client.send(request).rest();
        let cut = client.was_reset();
        let whole = body.ends_with(b"half");
        stand.holds(cut && whole, || format!("{}", String::from_utf8_lossy(&body)));
    }
}

/// Responses that have no body, whatever they say and whatever comes behind them.
const BODILESS: [(&str, &str); 9] = [
    ("GET", "204 No Content\r\n\r\nhello"),
    ("GET", "204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
    ("POST", "204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("GET", "304 Not Modified\r\nETag: \"a\"\r\n\r\n"),
    ("GET", "304 Not Modified\r\nContent-Length: 5\r\n\r\nhello"),
    ("GET", "304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("HEAD", "200 OK\r\nContent-Length: 5\r\n\r\n"),
    ("HEAD", "200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("HEAD", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
];

pub(super) fn bodiless(stand: &mut Stand) {
    upstream(stand, "").script(|exchange| {
        exchange.read_body();
        let number = super::rows::number(exchange);
        match BODILESS.get(number) {
            Some((_, answer)) => exchange.write(format!("HTTP/1.1 {answer}")),
            None => exchange.reply(200, b"next"),
        }
    });
    for (index, (method, answer)) in BODILESS.iter().enumerate() {
        let mut client = stand.connect();
        let target = format!("/api/v1/{index}");
        let request = with(method, &target, "Content-Length: 0\r\n\r\n");
        stand.allow(&target, &request);
        stand.allow("/api/v1/99", get("/api/v1/99"));
        let first = client.send(request).response_to_head();
        let next = client.send(get("/api/v1/99")).response();
        let right = answer.starts_with(&first.status.to_string()) && next.text() == "next";
        stand.holds(right, || format!("{method} {answer}: {}, {}", first.status, next.text()));
        // A 204 frames nothing (RFC 9110, section 8.6; RFC 9112, section 6.1).
        let framed = first.head.has("content-length") || first.head.has("transfer-encoding");
        stand.holds(first.status != 204 || !framed, || format!("{:?}", first.head));
    }
}

/// More than the sockets on the way hold.
const LARGE: usize = 32 * 1024 * 1024;

fn upload() -> String {
    with("POST", "/api/v1/x", &format!("Content-Length: {LARGE}\r\n\r\n"))
}

pub(super) fn early_and_deaf(stand: &mut Stand) {
    let (answered, ended) = (Signal::new(), Signal::new());
    let (led, told) = (answered.clone(), ended.clone());
    upstream(stand, "").script(move |exchange| {
        exchange.reply(200, b"early");
        led.wait();
        // What is on its way comes, and then the end.
        if exchange.bytes(LARGE).len() < LARGE {
            told.give();
        }
        exchange.close();
    });
    stand.allow_any("/api/v1/x", 1);
    let mut client = stand.connect();
    let answer = client.send(upload()).send(vec![b'x'; 1024 * 1024]).response();
    stand.holds(answer.text() == "early", || format!("{answer:?}"));
    answered.give();
    stand.holds(ended.given_within(DEADLINE), || "the upload goes on".to_owned());
}

pub(super) fn early_and_gone(stand: &mut Stand) {
    const TIMES: usize = 20;
    let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
    upstream(stand, "").script(move |exchange| {
        // At once, or in the middle of the upload.
        exchange.bytes(super::rows::number(exchange) * 100_000);
        exchange.write(refusal);
        exchange.close();
    });
    for number in 0..TIMES {
        let target = format!("/api/v1/{number}");
        stand.allow_any(&target, 1);
        let head = upload().replace("/api/v1/x", &target);
        let mut client = stand.connect();
        let sending = client.send_beside([head.as_bytes(), &vec![b'x'; LARGE]].concat());
        let answer = client.response();
        let right = answer.status == 413 && answer.text() == "big";
        stand.holds(right, || format!("{number}: {} {}", answer.status, answer.text()));
        drop(client);
        sending.join().expect("sending does not panic");
    }
}

/// What is not announced is dropped anyway.
const TRAILERS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
    Trailer: X-Sum, Content-Length, Transfer-Encoding, Host, Set-Cookie, Authorization\r\n\
    Trailer: Connection, Keep-Alive, Upgrade, X-Request-Id, Proxy-Authenticate\r\n\
    Trailer: X-Api-Key, Content-Type\r\n\r\n2\r\nhi\r\n0\r\n\
    X-Sum: 1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil.test\r\n\
    Set-Cookie: a=b\r\nAuthorization: Bearer x\r\nConnection: close\r\n\
    Keep-Alive: timeout=5\r\nUpgrade: foo\r\nX-Request-Id: other\r\n\
    Proxy-Authenticate: Basic\r\nX-Api-Key: x\r\nContent-Type: text/html\r\n\r\n";

pub(super) fn trailers(stand: &mut Stand) {
    upstream(stand, "").answer(TRAILERS);
    let mut client = stand.connect();
    for rest in ["", "Content-Length: 5\r\n\r\nhello"] {
        let method = if rest.is_empty() { "GET" } else { "POST" };
        let rest = if rest.is_empty() { "\r\n" } else { rest };
        let request =
            with(method, "/api/v1/x", &format!("TE: trailers\r\nConnection: TE\r\n{rest}"));
        stand.allow("/api/v1/x", &request);
        let answer = client.send(request).response();
        let names: Vec<_> =
            answer.trailers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        let right = answer.complete && answer.text() == "hi" && names == ["x-sum"];
        stand.holds(right, || format!("{method}: {names:?}"));
    }
    let plain = post("/api/v1/x");
    stand.allow("/api/v1/x", &plain);
    let answer = stand.ask(plain);
    stand.holds(answer.trailers.is_empty(), || "trailers that nobody asked for".to_owned());
}
