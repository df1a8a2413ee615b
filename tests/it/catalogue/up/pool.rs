//! Connections that are used again: never with another's bytes, and never to act twice.

use std::time::Duration;

use super::rows::{both, get, post, upstream, with};
use crate::catalogue::Stand;
use crate::support::{Exchange, Signal, pause};

/// Answers the first request of a connection with its target, and ends the connection when the
/// second has come.
fn once(exchange: &mut Exchange, end: fn(&mut Exchange)) {
    exchange.read_body();
    if exchange.number == 1 {
        let target = exchange.request.second_word().to_owned();
        exchange.reply(200, target.as_bytes());
    } else {
        end(exchange);
    }
}

/// Requests that are not simply sent again: they have a body or an effect.
fn never_twice() -> [String; 4] {
    let chunks = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    [
        post("/api/v1/x"),
        with("POST", "/api/v1/x", chunks),
        with("GET", "/api/v1/x", "Content-Length: 5\r\n\r\nhello"),
        with("PATCH", "/api/v1/x", "Content-Length: 0\r\n\r\n"),
    ]
}

pub(super) fn stale(stand: &mut Stand) {
    for end in [Exchange::close, Exchange::reset] {
        upstream(stand, "").script(move |exchange| once(exchange, end));
        // A GET is sent again on a connection of its own.
        stand.repeats().allow_any("/api/v1/x", 3);
        for _ in 0..2 {
            let status = stand.ask(get("/api/v1/x")).status;
            stand.holds(status == 200, || format!("GET: {status}"));
        }
        let connections: Vec<_> = stand.arrived().iter().map(|one| one.connection).collect();
        stand.holds(connections == [1, 1, 2], || format!("{connections:?}"));
        stand.anew();
        for request in never_twice() {
            upstream(stand, "").script(move |exchange| once(exchange, end));
            stand.allow("/api/v1/x", get("/api/v1/x"));
            stand.allow("/api/v1/x", &request);
            let statuses = [get("/api/v1/x"), request].map(|request| stand.ask(request).status);
            stand.holds(statuses == [200, 502], || format!("{statuses:?}"));
            stand.anew();
        }
    }
}

/// How many requests; every twentieth on a used connection meets a reset.
const REQUESTS: usize = 320;

pub(super) fn resets(stand: &mut Stand) {
    upstream(stand, "").script(|exchange| {
        exchange.read_body();
        let number: usize = exchange.request.value("x-number").unwrap_or("0").parse().unwrap_or(0);
        match exchange.number > 1 && number.is_multiple_of(20) {
            true => exchange.reset(),
            false => exchange.reply(200, b"ok"),
        }
    });
    stand.repeats();
    let mut client = stand.connect();
    for number in 0..REQUESTS {
        let numbered = format!("X-Number: {number}\r\nContent-Length: 0\r\n\r\n");
        let method = ["GET", "POST"][number / 20 % 2];
        let status = client.send(with(method, "/api/v1/x", &numbered)).response().status;
        let right = status == 200 || method == "POST" && number.is_multiple_of(20);
        stand.holds(right, || format!("{method} {number}: {status}"));
    }
    let arrived = stand.arrived();
    stand.allow_any("/api/v1/x", arrived.len());
    for number in 0..REQUESTS {
        let of_it = |head: &&crate::support::Recorded| {
            head.head.value("x-number") == Some(&*number.to_string())
        };
        let posts = arrived.iter().filter(of_it).filter(|one| one.head.start.starts_with("POST"));
        let posts = posts.count();
        stand.holds(posts <= 1, || format!("POST {number} came {posts} times"));
    }
}

pub(super) fn longer(stand: &mut Stand) {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    upstream(stand, "").script(move |exchange| {
        exchange.read_body();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello{poison}");
        exchange.write(answer);
    });
    let mut client = stand.connect();
    for _ in 0..10 {
        for request in both("/api/v1/x") {
            stand.allow("/api/v1/x", &request);
            let answer = client.send(request).response();
            stand.holds(answer.text() == "hello", || answer.text());
        }
    }
    let (requests, connections) = (stand.origin().count(), stand.origin().connections());
    stand.holds(requests == connections, || format!("{connections} for {requests} requests"));
}

pub(super) fn unsolicited(stand: &mut Stand) {
    let poisoned = Signal::new();
    let told = poisoned.clone();
    upstream(stand, "").script(move |exchange| {
        exchange.read_body();
        let target = exchange.request.second_word().to_owned();
        exchange.reply(200, target.as_bytes());
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
        told.give();
    });
    for number in 0..20 {
        let target = format!("/api/v1/{number}");
        for request in both(&target) {
            stand.allow(&target, &request);
            let text = stand.ask(request).text();
            stand.holds(text == target, || text);
            poisoned.wait();
        }
    }
}

pub(super) fn closing(stand: &mut Stand) {
    const REQUESTS: usize = 60;
    upstream(stand, "").script(|exchange| {
        exchange.read_body();
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        exchange.close();
    });
    let mut client = stand.connect();
    for _ in 0..REQUESTS {
        for request in both("/api/v1/x") {
            stand.allow("/api/v1/x", &request);
            let status = client.send(request).response().status;
            stand.holds(status == 200, || format!("{status}"));
        }
    }
    let connections = stand.origin().connections();
    stand.holds(connections == 2 * REQUESTS, || format!("{connections} connections"));
}

/// How long the origin waits for the next request of a connection.
const KEEP_ALIVE: Duration = Duration::from_millis(50);

pub(super) fn keep_alive_race(stand: &mut Stand) {
    upstream(stand, "").repeats().script(|exchange| {
        exchange.read_body();
        exchange.reply(200, b"ok");
        if !exchange.hears_within(KEEP_ALIVE) {
            exchange.close();
        }
    });
    let mut client = stand.connect();
    // From a little before the end to a little after it.
    for step in 0..60 {
        let status = client.send(get("/api/v1/x")).response().status;
        stand.holds(status == 200, || format!("step {step}: {status}"));
        pause(KEEP_ALIVE - Duration::from_millis(3) + Duration::from_micros(step * 100));
    }
    // One that is read just before the end is sent again.
    stand.allow_any("/api/v1/x", stand.origin().count());
    let closed = stand.origin().connections() > 1;
    stand.holds(closed, || "no connection ended in time".to_owned());
}
