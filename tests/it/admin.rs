//! The admin listener: health, who may ask what, and what it costs nobody.

use std::fs;
use std::time::Duration;

use crate::support::admin::ADMIN;
use crate::support::reference::{K1, keyed, one_location, reference, upstream};
use crate::support::{DEADLINE, Gate, Origin, Signal, run, run_under, wait_until};

/// A gate that tells about itself.
#[track_caller]
fn told(origin: &Origin) -> Gate {
    Gate::on(&(reference(origin) + ADMIN))
}

#[test]
fn it_answers_what_it_knows_and_nothing_else() {
    let origin = Origin::echo();
    let gate = told(&origin);
    for (method, path, status) in [
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
        ("GET", "/readyz?verbose", 200),
        ("GET", "/metrics", 200),
        ("HEAD", "/livez", 200),
        ("POST", "/livez", 405),
        ("DELETE", "/metrics", 405),
        ("OPTIONS", "/readyz", 405),
        ("CONNECT", "/metrics", 405),
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/api/v1/x", 404),
        ("GET", "/public/x", 404),
        ("POST", "/config", 404),
        ("GET", "//metrics", 404),
        ("GET", "/%6detrics", 404),
    ] {
        // Hyper takes only an authority for the target of CONNECT.
        let path = if method == "CONNECT" { "a.test:80" } else { path };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut client = gate.admin_client();
        let response = client.send(request).response_head();
        let expected = if method == "CONNECT" { 404 } else { status };
        assert_eq!(response.status, expected, "{method} {path}");
        let allow = response.head.value("allow");
        assert_eq!(allow, (status == 405 && expected == 405).then_some("GET, HEAD"), "{method}");
        assert_eq!(response.head.value("cache-control"), Some("no-store"));
    }
    // A key opens nothing here, and what is asked here is asked of no origin.
    let keyed = keyed("GET /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n");
    assert_eq!(gate.admin_client().send(keyed).response().status, 404);
    assert_eq!(origin.count(), 0);
    assert_eq!(gate.stdout.text(), "", "the access log is the API's");
}

#[test]
fn what_the_admin_listener_tells_is_not_told_to_clients() {
    let origin = Origin::echo();
    let gate = told(&origin);
    for path in ["/metrics", "/livez", "/readyz"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(gate.send(request).status, 404, "{path}");
    }
}

#[test]
fn it_takes_no_long_heads_and_waits_for_nobody_for_long() {
    let origin = Origin::echo();
    let gate = told(&origin);
    let long = format!("GET /livez HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(gate.admin_client().send(long).response_head().status, 431);
    let fields: String = (0..100).map(|n| format!("X-{n}: 1\r\n")).collect();
    let many = format!("GET /livez HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    assert_eq!(gate.admin_client().send(many).response_head().status, 431);
    // One request, and the connection is over, whatever the client would like.
    let mut client = gate.admin_client();
    let twice = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(client.send(twice).response().head.value("connection"), Some("close"));
    assert!(client.closes_within(DEADLINE));
    // As many as there may be say nothing. Others come after them, and they are sent away.
    let mut silent: Vec<_> = (0..16).map(|_| gate.admin_client()).collect();
    silent.iter_mut().for_each(|client| {
        client.send("GET /livez HTTP/1.1\r\n");
    });
    let mut patient = gate.admin_client();
    patient.patience(2 * DEADLINE).send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!patient.hears_within(Duration::from_secs(1)), "there is one more at a time");
    assert_eq!(patient.response().status, 200);
    // The API has not noticed any of it.
    let public = "GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
    assert_eq!(gate.send(public).status, 200);
}

#[test]
fn a_gate_that_stops_is_alive_and_not_ready_until_its_last_request_has_ended() {
    let (hold, held) = (Signal::new(), Signal::new());
    let (wait, arrived) = (hold.clone(), held.clone());
    let origin = Origin::scripted(move |exchange| {
        arrived.give();
        wait.wait();
        exchange.reply(200, b"done");
    });
    let gate = told(&origin);
    let mut client = gate.client();
    client.send("GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    held.wait();
    gate.wait_for_metric("http_server_active_requests{http_route=\"open\"}", 1.0);
    let address = gate.admin_address().to_string();
    let check = || run(&["healthcheck", "--admin", &address], gate.folder(), &[]);
    assert_eq!(check().code, Some(0));
    gate.signal("TERM");
    wait_until("it is not ready", || gate.ask_admin("/readyz").status == 503);
    assert_eq!(gate.ask_admin("/livez").status, 200);
    assert_eq!(gate.ask_admin("/metrics").status, 200);
    let unwell = check();
    assert_eq!(unwell.code, Some(1), "{unwell:?}");
    assert!(unwell.stderr.contains("it answers 503"), "{unwell:?}");
    hold.give();
    assert_eq!(client.response().status, 200);
    let ended = gate.ends_within(DEADLINE);
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
    let gone = check();
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(gone.stderr.contains("not ready"), "{gone:?}");
}

#[test]
fn a_healthcheck_finds_the_gate_by_its_configuration() {
    let origin = Origin::echo();
    let gate = Gate::with(&[
        ("keygate.toml", &reference(&origin)),
        ("server.toml", "[server]\nlisten = \"127.0.0.1:0\"\n"),
        ("admin.toml", "[admin]\nlisten = [\"unix:admin.sock\", \"127.0.0.1:0\"]\n"),
    ]);
    let well = run(&["healthcheck", "--config", "config"], gate.folder(), &[]);
    assert_eq!((well.code, &*well.stdout, &*well.stderr), (Some(0), "", ""));
    let well = run(&["healthcheck"], gate.folder(), &[]);
    assert_eq!(well.code, Some(0), "{well:?}");
    let by_variable = [("KEYGATE_ADMIN", "unix:admin.sock")];
    let well = run(&["healthcheck"], gate.folder(), &by_variable);
    assert_eq!(well.code, Some(0), "{well:?}");
    gate.write("admin.toml", "");
    let none = run(&["healthcheck"], gate.folder(), &[]);
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.stderr.contains("has no [admin]"), "{none:?}");
    let nobody = run(&["healthcheck", "--admin", "unix:nobody.sock"], gate.folder(), &[]);
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    let no_address = run(&["healthcheck", "--admin", "localhost"], gate.folder(), &[]);
    assert_eq!(no_address.code, Some(1), "{no_address:?}");
}

#[test]
fn a_healthcheck_does_not_wait_for_ever() {
    // Somebody who accepts, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = silent.local_addr().expect("it is bound").to_string();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let unwell = run(&["healthcheck", "--admin", &address], folder.path(), &[]);
    assert_eq!(unwell.code, Some(1), "{unwell:?}");
    assert!(unwell.stderr.contains("does not answer in time"), "{unwell:?}");
}

#[test]
fn a_gate_without_files_tells_about_itself_where_it_is_told_to() {
    let origin = Origin::echo();
    let upstream = origin.address.to_string();
    let arguments = ["--upstream", &*upstream, "--listen", "127.0.0.1:0"];
    let gate = Gate::launch(&[], &arguments, &[("API_KEY", K1), ("KEYGATE_ADMIN", "127.0.0.1:0")]);
    assert_eq!(gate.ask_admin("/readyz").status, 200);
}

#[test]
fn nothing_is_told_where_nobody_asked_for_it() {
    let origin = Origin::echo();
    let gate = Gate::on(&reference(&origin));
    assert!(!gate.stderr.text().contains("telling health"), "{}", gate.stderr.text());
}

#[test]
fn a_reload_that_moves_the_admin_listener_is_refused() {
    let origin = Origin::echo();
    let files = |admin: &str| upstream(&origin) + &one_location("header = \"X\"\n", "") + admin;
    let gate = Gate::on(&files(ADMIN));
    gate.write("keygate.toml", &files("[admin]\nlisten = \"127.0.0.1:1\"\n"));
    gate.stderr.wait_for("the refusal", |line| line.contains("[admin] cannot change"));
    gate.wait_for_metric("keygate_config_last_reload_successful", 0.0);
    gate.write("keygate.toml", &files(""));
    gate.signal("HUP");
    wait_until("it is refused again", || {
        gate.stderr.text().matches("[admin] cannot change").count() >= 2
    });
    assert_eq!(gate.ask_admin("/readyz").status, 200);
}

#[test]
fn a_listener_that_others_can_reach_is_warned_of() {
    let origin = Origin::echo();
    let config = reference(&origin) + "[admin]\nlisten = \"0.0.0.0:9090\"\n";
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    fs::write(folder.path().join("keygate.toml"), config).expect("the folder can be written");
    let check = run(&["check", "--config", "keygate.toml"], folder.path(), &[]);
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.stdout.contains("whoever reaches 0.0.0.0:9090 reads the metrics"), "{check:?}");
}

/// Two descriptors a connection of a client, 64 in reserve, and 19 for who asks here.
#[test]
fn who_asks_here_takes_no_descriptors_from_clients() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nmax_connections = 475\n";
    for (admin, doubt) in [("", ""), (ADMIN, "allows 470 connections, not 475")] {
        let config = format!("{server}{}{admin}", reference(&origin));
        fs::write(folder.path().join("keygate.toml"), config).expect("the folder can be written");
        let limited = ["prlimit", "--nofile=1024"];
        let check = run_under(&limited, &["check", "--config", "keygate.toml"], folder.path(), &[]);
        assert_eq!(check.code, Some(0), "{check:?}");
        assert!(check.stdout.contains(doubt), "{check:?}");
        assert_eq!(check.stdout.contains("file-descriptor limit"), !doubt.is_empty(), "{check:?}");
    }
}

#[test]
fn without_a_descriptor_it_waits_until_there_is_one_and_says_so() {
    let origin = Origin::echo();
    let gate = told(&origin);
    gate.limit_files(gate.open_files());
    let mut client = gate.admin_client();
    client.send("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
    gate.stderr.wait_for("the trouble", |line| line.contains("cannot accept connections"));
    gate.limit_files(1_000);
    assert_eq!(client.response().status, 200);
}
