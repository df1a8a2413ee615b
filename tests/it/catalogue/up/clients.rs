//! Many clients at once: each gets its own answer, whoever leaves, and whatever happens upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::rows::{beside, get, post, upstream, with};
use crate::catalogue::Stand;
use crate::support::{Client, DEADLINE, Exchange, Origin, wait_until};

/// Threads, and requests of each.
const CLIENTS: usize = 6;
const REQUESTS: usize = 60;

pub(super) fn cross_talk(stand: &mut Stand) {
    upstream(stand, "").script(|exchange| {
        exchange.read_body();
        // Answers of many sizes, each filled with what tells whose it is.
        let target = exchange.request.second_word().to_owned();
        let size = 1 + target.len() * target.bytes().last().map_or(1, usize::from) % 40;
        exchange.reply(200, target.repeat(size * size).as_bytes());
    });
    let address = stand.gate().address;
    for client in 0..CLIENTS {
        for number in 0..REQUESTS {
            stand.allow_any(&format!("/api/v1/{client}-{number}"), 1);
        }
    }
    let of_client = move |client: usize| {
        let mut connection = Client::connect(address);
        (0..REQUESTS).all(|number| {
            let target = format!("/api/v1/{client}-{number}");
            let request = [get(&target), post(&target)][number % 2].clone();
            let answer = connection.send(request).response();
            answer.status == 200 && answer.text().replace(&target, "").is_empty()
        })
    };
    let threads: Vec<_> =
        (0..CLIENTS).map(|client| thread::spawn(move || of_client(client))).collect();
    for thread in threads {
        let own = thread.join().expect("no request fails");
        stand.holds(own, || "an answer was another's".to_owned());
    }
}

/// What a client sends before it leaves, whether that reaches the origin, and what it reads first.
type Stage = (fn() -> String, bool, fn(&mut Client));

const STAGES: [Stage; 7] = [
    (String::new, false, |_| {}),
    (|| "GET /api/v1/wait HTTP/1.1\r\nHost: a".to_owned(), false, |_| {}),
    (|| get("/api/v1/wait"), true, |_| {}),
    (|| upload("Content-Length: 1000"), true, |_| {}),
    (|| upload("Transfer-Encoding: chunked"), true, |_| {}),
    (
        || get("/api/v1/begin"),
        true,
        |client| {
            client.response_head();
        },
    ),
    (
        || post("/api/v1/begin"),
        true,
        |client| {
            client.response_head();
            client.bytes(100_000);
        },
    ),
];

fn upload(framing: &str) -> String {
    with("POST", "/api/v1/wait", &format!("{framing}\r\n\r\n5\r\nhello\r\n"))
}

/// How often each stage is left, with a FIN and with a RST.
const TIMES: usize = 6;

pub(super) fn aborts(stand: &mut Stand) {
    let ended = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&ended);
    upstream(stand, "").script(move |exchange| {
        if exchange.request.second_word() == "/api/v1/begin" {
            exchange.read_body();
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
            while exchange.writes_within(DEADLINE, &[b'x'; 50_000]) {}
        } else {
            exchange.bytes(usize::MAX);
        }
        count.fetch_add(1, Ordering::SeqCst);
        exchange.close();
    });
    let mut reached = 0;
    for (number, (sends, reaches, then)) in STAGES.iter().enumerate() {
        for leave in 0..TIMES * 2 {
            let request = sends();
            let mut client = stand.connect();
            client.send(&request);
            if *reaches {
                reached += 1;
                let target = request.split(' ').nth(1).unwrap_or_default();
                stand.allow_any(target, 1);
                stand.origin().wait_for(reached);
                then(&mut client);
            }
            if leave % 2 == 1 {
                client.reset();
            }
        }
        wait_until(&format!("stage {number} has ended upstream"), || {
            ended.load(Ordering::SeqCst) == reached
        });
    }
}

/// An origin that answers until it is told to go; its connections end then too.
fn going(address: &str, gone: &Arc<AtomicBool>) -> Origin {
    let gone = Arc::clone(gone);
    Origin::on(address, move |exchange: &mut Exchange| {
        exchange.read_body();
        match gone.load(Ordering::SeqCst) {
            true => exchange.reset(),
            false => exchange.reply(200, b"ok"),
        }
    })
}

pub(super) fn restarts(stand: &mut Stand) {
    const RESTARTS: usize = 5;
    let mut gone = Arc::<AtomicBool>::default();
    let mut origin = going("127.0.0.1:0", &gone);
    let address = origin.address.to_string();
    beside(stand, &[&address], "");
    let mut client = stand.connect();
    for restart in 0..RESTARTS {
        for number in 0..30 {
            let request = [get("/api/v1/x"), post("/api/v1/x")][number % 2].clone();
            let status = client.send(request).response().status;
            stand.holds(status == 200, || format!("restart {restart}, {number}: {status}"));
        }
        gone.store(true, Ordering::SeqCst);
        drop(origin);
        for number in 0..4 {
            let request = [post("/api/v1/x"), get("/api/v1/x")][number % 2].clone();
            let status = client.send(request).response().status;
            stand.holds(status == 502, || format!("while it is gone: {status}"));
        }
        gone = Arc::default();
        origin = going(&address, &gone);
    }
}
