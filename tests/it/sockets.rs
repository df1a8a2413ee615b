//! Unix sockets and IPv6 on both sides, several listeners, and a want of descriptors.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::support::reference::reference;
use crate::support::{Client, DEADLINE, Gate, Origin, Signal, pause, wait_until};

const REQUEST: &str = "GET /public/x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// Everything that is answered to a request on a unix socket.
fn over_unix(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("the socket is listened on");
    let _ = stream.set_read_timeout(Some(DEADLINE));
    stream.write_all(request.as_bytes()).expect("the request can be sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the answer ends in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn it_listens_on_a_unix_socket_too() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let path = folder.path().join("gate.sock");
    let listen = format!("[server]\nlisten = [\"127.0.0.1:0\", \"unix:{}\"]\n", path.display());
    let gate = Gate::with(&[("keygate.toml", &reference(&origin)), ("server.toml", &listen)]);
    assert_eq!(gate.send(REQUEST).text(), "/public/x");
    wait_until("there is a socket", || path.exists());
    assert!(over_unix(&path, REQUEST).ends_with("/public/x"));
    let keyless = REQUEST.replace("/public/", "/admin/");
    assert!(over_unix(&path, &keyless).starts_with("HTTP/1.1 401 "));
    let spoofed = REQUEST.replace("Connection", "X-Forwarded-For: 192.0.2.1\r\nConnection");
    over_unix(&path, &spoofed);
    let raw = String::from_utf8_lossy(&origin.last().head.raw).into_owned();
    assert!(!raw.contains("192.0.2.1"), "{raw}");
}

#[test]
fn an_upstream_may_be_a_unix_socket() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).expect("the folder can be written");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let body = String::from_utf8_lossy(&head[..read]).into_owned();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
        }
    });
    let config = format!(
        "[upstreams.app]\naddrs = [\"unix:{}\"]\n\
         [locations.all]\npath = \"/\"\nupstream = \"app\"\npublic = true\n",
        path.display()
    );
    let gate = Gate::on(&config);
    for _ in 0..3 {
        let text = gate.send(REQUEST).text();
        assert!(text.starts_with("GET /public/x HTTP/1.1\r\n"), "{text}");
    }
}

#[test]
fn a_stale_unix_socket_is_no_obstacle() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let path = folder.path().join("gate.sock");
    drop(UnixListener::bind(&path).expect("the folder can be written"));
    let listen = format!("[server]\nlisten = [\"127.0.0.1:0\", \"unix:{}\"]\n", path.display());
    let _gate = Gate::with(&[("keygate.toml", &reference(&origin)), ("server.toml", &listen)]);
    assert!(over_unix(&path, REQUEST).ends_with("/public/x"));
}

#[test]
fn both_sides_may_speak_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let origin = Origin::on("[::1]:0", |exchange| exchange.reply(200, b"six"));
    let listen = "[server]\nlisten = [\"127.0.0.1:0\", \"[::1]:0\"]\n";
    let gate = Gate::with(&[("keygate.toml", &reference(&origin)), ("server.toml", listen)]);
    assert_eq!(gate.send(REQUEST).text(), "six");
    let line =
        gate.stderr.wait_for("listening on [::1]", |line| line.contains("listening on [::1]:"));
    let address = line.split("listening on ").nth(1).and_then(|rest| rest.parse().ok());
    let mut client = Client::connect(address.expect("the line ends with the address"));
    assert_eq!(client.send(REQUEST).response().text(), "six");
    assert_eq!(origin.last().head.value("x-forwarded-for"), Some("::1"));
}

#[test]
fn a_want_of_file_descriptors_is_not_told_again_and_again() {
    let origin = Origin::echo();
    let gate = Gate::on(&reference(&origin));
    gate.limit_files(gate.open_files() + 4);
    for _ in 0..10 {
        let mut crowd: Vec<_> = (0..40).map(|_| gate.client()).collect();
        for client in &mut crowd {
            client.send(REQUEST);
        }
        pause(Duration::from_millis(100));
    }
    let told = gate.stderr.lines().iter().filter(|line| line.contains("cannot accept")).count();
    assert!((1..=4).contains(&told), "told {told} times:\n{}", gate.stderr.text());
}

#[test]
fn idle_connections_make_room_for_requests_to_another_upstream() {
    const CLIENTS: usize = 20;
    let (first, all_at_first) = waiting("first");
    let (second, all_at_second) = waiting("second");
    let gate = Gate::with(&[("keygate.toml", &beside_each_other(&first, &second))]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| gate.client()).collect();
    let mut all_ask = |origin: &Origin, name: &str, all_here: &Signal| {
        for client in &mut clients {
            client.send(format!("GET /{name} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        }
        origin.wait_for(CLIENTS);
        (0..CLIENTS).for_each(|_| all_here.give());
        for client in &mut clients {
            assert_eq!(client.response().text(), name);
        }
    };
    all_ask(&first, "first", &all_at_first);
    gate.limit_files(gate.open_files());
    all_ask(&second, "second", &all_at_second);
}

/// An origin whose every answer waits for a signal.
fn waiting(answer: &'static str) -> (Origin, Signal) {
    let signal = Signal::new();
    let led = signal.clone();
    let origin = Origin::scripted(move |exchange| {
        led.wait();
        exchange.reply(200, answer.as_bytes());
    });
    (origin, signal)
}

/// Two open locations with an upstream each, on one worker.
fn beside_each_other(first: &Origin, second: &Origin) -> String {
    let mut config = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n".to_owned();
    for (name, origin) in [("first", first), ("second", second)] {
        let address = origin.address;
        config += &format!(
            "[upstreams.{name}]\naddrs = [\"{address}\"]\n\
             [locations.{name}]\npath = \"/{name}\"\nupstream = \"{name}\"\npublic = true\n"
        );
    }
    config
}
