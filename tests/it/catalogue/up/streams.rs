//! What takes its time: informational responses, events, answers that trickle, WebSockets.

use std::time::{Duration, Instant};

use super::rows::{both, get, upstream, with};
use crate::catalogue::Stand;
use crate::support::{Client, DEADLINE, Exchange, Signal, pause, wait_until};
use crate::websocket::{HANDSHAKE, SWITCHING};

/// The most that may pass between one side's leaving and the other's end, on a busy machine.
const SOON: Duration = Duration::from_secs(8);

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";

pub(super) fn informational(stand: &mut Stand) {
    upstream(stand, "max_idle = 0\nresponse_timeout = \"2s\"").script(|exchange| {
        exchange.read_body();
        match exchange.request.second_word() {
            "/api/v1/unasked" => exchange.write([CONTINUE, ANSWER].concat()),
            "/api/v1/thousand" => exchange.write(CONTINUE.repeat(1000) + ANSWER),
            "/api/v1/hints" => exchange.write([HINTS, ANSWER].concat()),
            "/api/v1/reset" => {
                exchange.write(HINTS);
                exchange.reset();
            }
            _ => {
                while exchange.writes_within(DEADLINE, CONTINUE.as_bytes()) {
                    pause(Duration::from_millis(20));
                }
                exchange.close();
            }
        }
    });
    for name in ["unasked", "thousand", "hints", "reset", "endless"] {
        let target = format!("/api/v1/{name}");
        for request in both(&target) {
            stand.allow(&target, &request);
            let start = Instant::now();
            let answer = stand.ask(request);
            let expected = match name {
                "reset" => 502,
                "endless" => 504,
                _ => 200,
            };
            let (status, took) = (answer.status, start.elapsed());
            let right = status == expected && took < SOON;
            stand.holds(right, || format!("{name}: {status} after {took:?}"));
        }
    }
}

fn handshake() -> String {
    with("GET", "/api/v1/ws", &format!("{HANDSHAKE}\r\n"))
}

pub(super) fn early_websocket(stand: &mut Stand) {
    let heard = Signal::new();
    let told = heard.clone();
    upstream(stand, "").script(move |exchange| {
        if exchange.hears_within(Duration::from_millis(500)) {
            told.give();
        }
        match exchange.request.second_word() {
            "/api/v1/ws" => {
                exchange.write(SWITCHING);
                let early = exchange.bytes(5);
                exchange.write(early);
            }
            _ => exchange.write("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
        }
        exchange.close();
    });
    stand.allow("/api/v1/ws", handshake());
    let mut client = stand.connect();
    let answer = client.send(handshake() + "early").response();
    let echoed = client.bytes(5);
    stand.holds(answer.status == 101 && echoed == b"early", || format!("{answer:?}"));
    // What comes behind a handshake that is refused is a request of its own, or none.
    let refused = handshake().replace("/api/v1/ws", "/api/v1/no");
    stand.allow("/api/v1/no", &refused);
    let hidden = "GET /api/v1/hidden HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let mut client = stand.connect();
    client.send(refused + hidden);
    let statuses = [client.response().status, client.response().status];
    stand.holds(statuses == [403, 401], || format!("{statuses:?}"));
    stand.holds(!heard.given_within(Duration::ZERO), || "sent on before the 101".to_owned());
}

/// A WebSocket whose origin then does this; `lines` are of the upstream's table.
fn connected(
    stand: &mut Stand,
    lines: &str,
    then: impl Fn(&mut Exchange) + Send + Sync + 'static,
) -> Client {
    upstream(stand, lines).script(move |exchange| {
        exchange.write(SWITCHING);
        then(exchange);
    });
    stand.allow("/api/v1/ws", handshake());
    let mut client = stand.connect();
    let status = client.send(handshake()).response().status;
    stand.holds(status == 101, || format!("{status}"));
    client
}

pub(super) fn websocket_ends(stand: &mut Stand) {
    for end in [Exchange::close, Exchange::reset] {
        let mut client = connected(stand, "", move |exchange| {
            exchange.write("bye");
            exchange.bytes(3);
            end(exchange);
        });
        let said = client.bytes(3);
        let ended = client.send("bye").closes_within(SOON);
        stand.holds(ended && said == b"bye", || "the origin ended, the client waits".to_owned());
        stand.anew();
    }
    for end in [Client::finish, Client::reset] as [fn(&mut Client) -> &mut Client; 2] {
        let ended = Signal::new();
        let told = ended.clone();
        let mut client = connected(stand, "", move |exchange| {
            exchange.tells_the_end(&told);
        });
        end(&mut client);
        // Where it is to be a reset, it comes now.
        drop(client);
        let ended = ended.given_within(SOON);
        stand.holds(ended, || "the client ended, the origin waits".to_owned());
        stand.anew();
    }
    let mut client = connected(stand, "read_timeout = \"1s\"", |exchange| {
        exchange.ends_within(DEADLINE);
        exchange.close();
    });
    let idle = Instant::now();
    stand.holds(client.closes_within(DEADLINE), || "idle without end".to_owned());
    stand.holds(idle.elapsed() > Duration::from_millis(900), || "ended too early".to_owned());
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Transfer-Encoding: chunked\r\n\r\n";

pub(super) fn events(stand: &mut Stand) {
    let (next, ended) = (Signal::new(), Signal::new());
    let (led, told) = (next.clone(), ended.clone());
    upstream(stand, "").script(move |exchange| {
        exchange.read_body();
        exchange.write(EVENTS);
        for number in 0..10 {
            led.wait();
            exchange.chunk(format!("data: {number}\n\n").as_bytes());
        }
        exchange.tells_the_end(&told);
    });
    for request in both("/api/v1/x") {
        stand.allow("/api/v1/x", &request);
        let mut client = stand.connect();
        let mut response = client.send(request).response_head();
        for number in 0..10 {
            // Sent only when the one before has been seen.
            next.give();
            let came = client.chunk(&mut response);
            let right = came && response.text().ends_with(&format!("data: {number}\n\n"));
            stand.holds(right, || response.text());
        }
        drop(client);
        stand.holds(ended.given_within(SOON), || "the stream goes on".to_owned());
    }
}

pub(super) fn events_reset(stand: &mut Stand) {
    let seen = Signal::new();
    let led = seen.clone();
    upstream(stand, "").script(move |exchange| {
        exchange.read_body();
        exchange.write(EVENTS);
        exchange.chunk(b"data: 1\n\n");
        led.wait();
        exchange.reset();
    });
    for request in both("/api/v1/x") {
        stand.allow("/api/v1/x", &request);
        let mut client = stand.connect();
        let mut response = client.send(request).response_head();
        client.chunk(&mut response);
        seen.give();
        let rest = client.rest();
        let right = response.text() == "data: 1\n\n" && !rest.ends_with(b"0\r\n\r\n");
        stand.holds(right, || format!("{:?}", String::from_utf8_lossy(&rest)));
    }
}

pub(super) fn trickle(stand: &mut Stand) {
    upstream(stand, "read_timeout = \"3s\"").script(|exchange| {
        exchange.read_body();
        match exchange.request.second_word() {
            "/api/v1/slow" => {
                exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
                for _ in 0..8 {
                    pause(Duration::from_millis(500));
                    exchange.write("x");
                }
            }
            "/api/v1/stops" => {
                exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nx");
                exchange.ends_within(DEADLINE);
                exchange.close();
            }
            _ => exchange.reply(200, b"quick"),
        }
    });
    let slow = asked(stand, "/api/v1/slow");
    let stopping = asked(stand, "/api/v1/stops");
    wait_until("they are asked", || stand.arrived().len() == 4);
    let quick = get("/api/v1/quick");
    stand.allow("/api/v1/quick", &quick);
    let others = stand.ask(quick).text();
    stand.holds(others == "quick", || others);
    for mut client in slow {
        // Longer than the timeout in all, never longer between two bytes.
        let text = client.response().text();
        stand.holds(text == "xxxxxxxx", || text);
    }
    for mut client in stopping {
        let answer = client.answer();
        stand.holds(answer.is_none(), || format!("{answer:?}"));
    }
}

/// Clients that have asked for this, with a `GET` and with a `POST`.
fn asked(stand: &Stand, target: &str) -> [Client; 2] {
    both(target).map(|request| {
        stand.allow(target, &request);
        let mut client = stand.connect();
        client.send(request);
        client
    })
}
