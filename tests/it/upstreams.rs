//! Upstreams that are several, slow, broken or gone, and how their connections are used again.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{
    Client, DEADLINE, Exchange, Failures, Gate, Origin, Response, Signal, wait_until,
};
use crate::websocket::{HANDSHAKE, SWITCHING};

pub(crate) const GET: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";
pub(crate) const POST: &str = "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";

/// An open location on one worker, so that one pool serves every connection.
fn open_to(addresses: &[String], more: &str) -> Gate {
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
    let config = format!(
        "[upstreams.rec]\naddrs = {addresses:?}\n{more}\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\npublic = true\n"
    );
    Gate::with(&[("keygate.toml", &config), ("server.toml", server)])
}

pub(crate) fn before(origin: &Origin, more: &str) -> Gate {
    open_to(&[origin.address.to_string()], more)
}

/// An address at which nothing listens, for as long as the listener beside it lives: the port is
/// taken, but by a socket that refuses everyone.
fn refusing() -> (SocketAddr, socket2::Socket) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
        .expect("there are sockets");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).expect("there is a free port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    (address.expect("a bound socket has an address"), socket)
}

#[track_caller]
pub(crate) fn is(response: &Response, status: u16, body: &str) {
    assert_eq!((response.status, response.text().as_str()), (status, body));
}

#[test]
fn an_upstream_that_refuses_is_502() {
    let (address, _socket) = refusing();
    let gate = open_to(&[address.to_string()], "");
    is(&gate.send(GET), 502, "Bad gateway");
    is(&gate.send(POST), 502, "Bad gateway");
}

/// What an upstream may do that is no answer.
const NO_ANSWER: [(&str, &str); 14] = [
    ("nothing", ""),
    ("half a head", "HTTP/1.1 200 OK\r\nContent-"),
    ("a TLS alert", "\x15\x03\x01\x00\x02\x02\x46\r\n\r\n"),
    ("another protocol", "SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    ("a body only", "<html>hello</html>"),
    ("a status of letters", "HTTP/1.1 abc OK\r\n\r\n"),
    ("a status too short", "HTTP/1.1 99 OK\r\n\r\n"),
    ("a status too long", "HTTP/1.1 1000 OK\r\n\r\n"),
    ("a version of the future", "HTTP/3.0 200 OK\r\n\r\n"),
    ("a length with a plus", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    ("a NUL in a field", "HTTP/1.1 200 OK\r\nA: b\x00c\r\nContent-Length: 0\r\n\r\n"),
    ("a fold", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    ("a bare CR", "HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n"),
];

#[test]
fn what_is_no_answer_is_502() {
    let mut failures = Failures::new();
    for (name, bytes) in NO_ANSWER {
        let origin = Origin::scripted(move |exchange| {
            exchange.write(bytes);
            exchange.close();
        });
        let response = before(&origin, "").send(GET);
        failures.row(response.status == 502, || format!("{name}: {}", response.status));
    }
    failures.report();
}

#[test]
fn a_reset_instead_of_an_answer_is_502_and_a_post_is_sent_once() {
    let origin = Origin::scripted(|exchange| {
        exchange.read_body();
        exchange.reset();
    });
    let gate = before(&origin, "");
    is(&gate.send(POST), 502, "Bad gateway");
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_504() {
    let ended = Signal::new();
    let told = ended.clone();
    let origin = Origin::scripted(move |exchange| {
        if exchange.ends_within(DEADLINE) {
            told.give();
        }
        exchange.close();
    });
    let gate = before(&origin, "response_timeout = \"300ms\"");
    is(&gate.send(GET), 504, "Upstream timed out");
    ended.wait();
    assert_eq!(origin.count(), 1, "sent again");
}

/// An address where connecting hangs, for as long as what is beside it lives: a listener that never
/// accepts, and whose queue is full.
fn never_accepting() -> (SocketAddr, (TcpListener, Vec<TcpStream>)) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    socket2::SockRef::from(&listener).listen(0).expect("a listener can listen");
    let address = listener.local_addr().expect("a bound socket has an address");
    let span = Duration::from_millis(100);
    let connect = |_| TcpStream::connect_timeout(&address, span).ok();
    let queue: Vec<_> = (0..4).map_while(connect).collect();
    assert!(queue.len() < 4, "the queue is not full");
    (address, (listener, queue))
}

#[test]
fn an_upstream_that_does_not_accept_in_time_is_504_or_502() {
    let (address, _full) = never_accepting();
    let gate = open_to(&[address.to_string()], "connect_timeout = \"300ms\"");
    let status = gate.send(GET).status;
    assert!(matches!(status, 502 | 504), "{status}");
}

/// Bodies that never come to their proper end.
const CUT: [(&str, &str); 3] = [
    ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
    ("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    ("a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf"),
];

#[test]
fn a_body_that_stalls_or_is_cut_ends_visibly() {
    type End = fn(&mut Exchange);
    let ends: [(&str, End); 3] = [
        ("stalls", |exchange| {
            exchange.ends_within(DEADLINE);
        }),
        ("is closed", |_| {}),
        ("is reset", Exchange::reset),
    ];
    let mut failures = Failures::new();
    for (name, bytes) in CUT {
        for (how, end) in ends {
            let origin = Origin::scripted(move |exchange| {
                exchange.write(bytes);
                end(exchange);
                exchange.close();
            });
            let gate = before(&origin, "read_timeout = \"300ms\"");
            // A whole answer says that it is an error; anything else is seen to be cut.
            let answer = gate.client().send(GET).answer();
            let right = answer.as_ref().is_none_or(|response| response.status == 502);
            failures.row(right, || format!("{name} that {how}: {answer:?}"));
        }
    }
    failures.report();
}

#[test]
fn a_response_that_breaks_off_at_once_still_delivers_what_came() {
    for (name, bytes) in CUT {
        let origin = Origin::scripted(move |exchange| {
            exchange.write(bytes);
            exchange.close();
        });
        let gate = before(&origin, "");
        let mut client = gate.client();
        let response = client.send(GET).response_head();
        let rest = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(response.status == 200 && rest.contains("half"), "{name}: {rest:?}");
    }
}

#[test]
fn an_address_that_refused_is_left_alone_for_a_while() {
    let (dead, socket) = refusing();
    let alive = Origin::echo();
    let gate = open_to(&[dead.to_string(), alive.address.to_string()], "max_idle = 0");
    for _ in 0..4 {
        assert_eq!(gate.send(GET).text(), "/x");
    }
    // It would accept now; nobody asks it.
    socket.listen(16).expect("a bound socket can listen");
    socket.set_nonblocking(true).expect("a socket can be told not to wait");
    for _ in 0..10 {
        assert_eq!(gate.send(GET).text(), "/x");
    }
    let asked = socket.accept().map(|_| ());
    assert!(asked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
}

/// How often each of these origins was asked.
fn counts(origins: &[Origin]) -> Vec<usize> {
    origins.iter().map(Origin::count).collect()
}

fn addresses(origins: &[Origin], weights: &[&str]) -> Vec<String> {
    origins
        .iter()
        .zip(weights)
        .map(|(origin, weight)| format!("{}{weight}", origin.address))
        .collect()
}

#[test]
fn round_robin_gives_each_its_share() {
    for (weights, expected) in [(["", "", ""], [4, 4, 4]), (["", " 2", " 3"], [2, 4, 6])] {
        let origins = [Origin::echo(), Origin::echo(), Origin::echo()];
        let gate = open_to(&addresses(&origins, &weights), "");
        let mut client = gate.client();
        for _ in 0..12 {
            assert_eq!(client.send(GET).response().status, 200);
        }
        assert_eq!(counts(&origins), expected, "{weights:?}");
    }
}

#[test]
fn least_conn_avoids_the_busy_one() {
    let busy = Signal::new();
    let led = busy.clone();
    let origins = [
        Origin::scripted(move |exchange| {
            led.wait();
            exchange.reply(200, b"");
        }),
        Origin::echo(),
    ];
    let gate = open_to(&addresses(&origins, &["", ""]), "balance = \"least-conn\"");
    let mut clients = [gate.client(), gate.client()];
    // At most one of two goes to the first; it stays there until all others are answered.
    for client in &mut clients {
        client.send(GET);
    }
    wait_until("both are asked", || counts(&origins) == [1, 1]);
    for _ in 0..10 {
        assert_eq!(gate.send(GET).text(), "/x");
    }
    assert_eq!(counts(&origins), [1, 11]);
    busy.give();
}

#[test]
fn least_conn_counts_an_open_websocket() {
    let script = |exchange: &mut Exchange| {
        if exchange.request.has("upgrade") {
            exchange.write(SWITCHING);
            exchange.ends_within(DEADLINE);
            exchange.close();
        } else {
            exchange.reply(200, b"ok");
        }
    };
    let origins = [Origin::scripted(script), Origin::scripted(script)];
    let gate = open_to(&addresses(&origins, &["", ""]), "balance = \"least-conn\"");
    let mut socket = gate.client();
    let handshake = format!("GET /ws HTTP/1.1\r\nHost: a.test\r\n{HANDSHAKE}\r\n");
    assert_eq!(socket.send(handshake).response().status, 101);
    let expected = if counts(&origins) == [1, 0] { [1, 10] } else { [10, 1] };
    for _ in 0..10 {
        is(&gate.send(GET), 200, "ok");
    }
    assert_eq!(counts(&origins), expected);
}

#[test]
fn least_conn_counts_a_connection_that_is_being_made() {
    let (hanging, _full) = never_accepting();
    let alive = Origin::echo();
    let more = "balance = \"least-conn\"\nconnect_timeout = \"9s\"";
    let gate = open_to(&[hanging.to_string(), alive.address.to_string()], more);
    // One of the first three has its turn with the address that hangs.
    let mut clients = [gate.client(), gate.client(), gate.client()];
    let quick = |client: &mut Client| client.send(GET).hears_within(Duration::from_secs(1));
    assert!(clients.iter_mut().any(|client| !quick(client)), "nobody tried it");
    for _ in 0..10 {
        assert!(quick(&mut gate.client()), "sent after the one that hangs");
    }
}

#[test]
fn an_address_that_refuses_is_skipped() {
    let (dead, _socket) = refusing();
    let alive = Origin::echo();
    let gate = open_to(&[dead.to_string(), alive.address.to_string()], "");
    for _ in 0..10 {
        assert_eq!(gate.send(GET).text(), "/x");
        assert_eq!(gate.send(POST).text(), "/x");
    }
    assert_eq!(alive.count(), 20);
    assert_eq!(alive.last().body, b"hello");
}

#[test]
fn both_framings_in_an_answer_are_one_or_none() {
    let origin = Origin::scripted(|exchange| {
        exchange.write(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        );
        exchange.close();
    });
    let gate = before(&origin, "");
    let response = gate.send(GET);
    let one = response.head.has("content-length") != response.head.has("transfer-encoding");
    assert!(response.status == 502 || (one && response.text() == "hi"), "{response:?}");
}

#[test]
fn max_processing_refuses_the_one_too_many() {
    let go = Signal::new();
    let led = go.clone();
    let origin = Origin::scripted(move |exchange| {
        led.wait();
        exchange.reply(200, b"done");
    });
    let config = format!(
        "[upstreams.rec]\naddrs = [\"{}\"]\n[locations.all]\npath = \"/\"\nupstream = \"rec\"\n\
         public = true\nmax_processing = 2\n",
        origin.address
    );
    let gate = Gate::on(&config);
    let mut clients = [gate.client(), gate.client()];
    for client in &mut clients {
        client.send(GET);
    }
    origin.wait_for(2);
    let over = gate.send(GET);
    assert_eq!((over.status, over.head.has("retry-after")), (503, true));
    go.give();
    go.give();
    for client in &mut clients {
        is(&client.response(), 200, "done");
    }
    go.give();
    is(&gate.send(GET), 200, "done");
}
