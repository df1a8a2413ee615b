//! Servers that others wrote.

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use super::{before, post, request};
use crate::examples::Port;
use crate::support::{Program, wait_until};

#[test]
fn nghttpd_serves_files_and_gets_bodies() {
    let folder = tempfile::tempdir().expect("there is room");
    let large: String = (0..100_000).map(|number| format!("{number:06} ")).collect();
    fs::write(folder.path().join("large"), &large).expect("it can be written");
    let port = Port::claim();
    let address = port.address;
    let mut command = Command::new("nghttpd");
    command.args(["--no-tls", "--echo-upload", "--max-concurrent-streams=10", "--htdocs"]);
    command.arg(folder.path()).arg(address.port().to_string());
    let _server = Program::start(&mut command);
    wait_until("it listens", || TcpStream::connect(address).is_ok());
    let gate = before(address, "");
    assert!(gate.send(request("GET /large")).text() == large);
    assert_eq!(gate.send(request("GET /none")).status, 404);
    let head = gate.client().send(request("HEAD /large")).response_to_head();
    assert_eq!(head.value("content-length"), large.len().to_string());
    assert!(gate.send(post(&large)).text() == large);
    // More at a time than it takes on one connection.
    let mut clients: Vec<_> = (0..30).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(request("GET /large"));
    }
    for client in &mut clients {
        assert!(client.response().text() == large);
    }
}
