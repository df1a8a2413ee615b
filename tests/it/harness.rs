//! The tests' own instruments, tried against each other without a gate between them.

use std::time::Duration;

use crate::support::{Client, Origin, Signal, run};

#[test]
fn an_echoing_origin_answers_with_the_target_and_records_the_bytes() {
    let origin = Origin::echo();
    let mut client = Client::connect(origin.address);
    let response =
        client.send("PUT /a?b HTTP/1.1\r\nA:  b \r\nContent-Length: 2\r\n\r\nhi").response();
    assert_eq!((response.status, response.text().as_str()), (200, "/a?b"));
    let seen = origin.last();
    assert_eq!(
        (seen.target(), seen.head.value("a"), seen.body.as_slice()),
        ("/a?b", Some("b"), &b"hi"[..])
    );
    assert_eq!(client.send("GET /again HTTP/1.1\r\n\r\n").response().text(), "/again");
    assert_eq!((origin.count(), origin.connections()), (2, 1));
}

#[test]
fn a_chunked_body_and_its_trailers_are_read_on_both_sides() {
    let origin = Origin::scripted(|exchange| {
        let body = exchange.read_body();
        exchange.write("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n");
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        exchange.chunk(&body);
        exchange.write("0\r\nSum: 1\r\n\r\n");
    });
    let request =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: u\r\n\r\n";
    let response = Client::connect(origin.address).send(request).response();
    assert_eq!(response.interim.len(), 1);
    assert_eq!((response.text().as_str(), response.complete), ("hi", true));
    assert_eq!(response.trailers, [("Sum".to_owned(), "1".to_owned())]);
    assert_eq!(origin.last().trailers, [("T".to_owned(), "u".to_owned())]);
}

#[test]
fn a_cut_body_is_not_complete_and_a_fragment_is_recorded() {
    let origin = Origin::scripted(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        exchange.reset();
    });
    assert!(!Client::connect(origin.address).send("GET / HTTP/1.1\r\n\r\n").response().complete);
    Client::connect(origin.address).send("SSH-2.0").finish();
    origin.wait_for(2);
    assert_eq!(origin.last().head.start, "SSH-2.0");
}

#[test]
fn a_signal_leads_the_origin_step_by_step() {
    let (step, told) = (Signal::new(), Signal::new());
    let (led, done) = (step.clone(), told.clone());
    let origin = Origin::scripted(move |exchange| {
        led.wait();
        exchange.reply(204, b"");
        done.give();
    });
    let mut client = Client::connect(origin.address);
    assert!(!client.send("GET / HTTP/1.1\r\n\r\n").hears_within(Duration::from_millis(20)));
    step.give();
    assert_eq!(client.response().status, 204);
    told.wait();
}

#[test]
fn a_run_tells_the_exit_code_and_both_streams() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let output = run(&["--no-such-flag"], folder.path(), &[]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""));
    assert!(output.stderr.contains("--no-such-flag"), "{output:?}");
}
