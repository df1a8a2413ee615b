//! Settings at the ends of their ranges: each is refused with a sentence, or serves.

use std::fs;

use crate::support::reference::keyed;
use crate::support::{DEADLINE, Failures, Gate, Origin, run};

/// The table that a setting stands in, and the setting.
const SETTINGS: [(&str, &str); 52] = [
    ("server", "workers = 1"),
    ("server", "workers = 64"),
    ("server", "workers = 100000"),
    ("server", "max_connections = 1"),
    ("server", "max_connections = 10000000"),
    ("server", "client_header_timeout = \"0s\""),
    ("server", "client_header_timeout = \"1ms\""),
    ("server", "client_header_timeout = \"1000years\""),
    ("server", "client_body_timeout = \"0s\""),
    ("server", "client_body_timeout = \"1000years\""),
    ("server", "keepalive_timeout = \"0s\""),
    ("server", "keepalive_timeout = \"1ms\""),
    ("server", "keepalive_timeout = \"1000years\""),
    ("server", "shutdown_timeout = \"0s\""),
    ("server", "shutdown_timeout = \"1000years\""),
    ("server", "max_header_size = \"0B\""),
    ("server", "max_header_size = \"1B\""),
    ("server", "max_header_size = \"1KiB\""),
    ("server", "max_header_size = \"1GiB\""),
    ("server", "trusted_proxies = []"),
    ("server", "trusted_proxies = [\"0.0.0.0/0\", \"::/0\"]"),
    ("upstreams.rec", "connect_timeout = \"0s\""),
    ("upstreams.rec", "connect_timeout = \"1000years\""),
    ("upstreams.rec", "response_timeout = \"0s\""),
    ("upstreams.rec", "response_timeout = \"1000years\""),
    ("upstreams.rec", "read_timeout = \"0s\""),
    ("upstreams.rec", "read_timeout = \"1000years\""),
    ("upstreams.rec", "max_idle = 0"),
    ("upstreams.rec", "max_idle = 1"),
    ("upstreams.rec", "max_idle = 65535"),
    ("upstreams.rec", "max_idle = 65536"),
    ("upstreams.rec", "host = \"\""),
    ("upstreams.rec", "host = \"a b\""),
    ("upstreams.rec", "balance = \"least-conn\""),
    ("locations.all", "client_max_body_size = \"0B\""),
    ("locations.all", "client_max_body_size = \"16EiB\""),
    ("locations.all", "max_processing = 0"),
    ("locations.all", "max_processing = 1"),
    ("locations.all", "max_processing = 4294967295"),
    ("locations.all", "methods = []"),
    ("locations.all", "host = \"\""),
    ("plugins.key-auth", "delay = \"0s\""),
    ("plugins.key-auth", "delay = \"1000years\""),
    ("plugins.key-auth", "max_failures = \"0/1s\""),
    ("plugins.key-auth", "max_failures = \"1/0s\""),
    ("plugins.key-auth", "max_failures = \"1/1000years\""),
    ("plugins.key-auth", "max_failures = \"4294967295/1ns\""),
    ("plugins.key-auth", "realm = \"\""),
    ("plugins.key-auth", "realm = \"\\\" \\\\ \\u00e9\""),
    ("plugins.key-auth", "realm = \"a\\r\\nb: c\""),
    ("plugins.key-auth", "errors = { missing = \"\" }"),
    ("plugins.key-auth", "errors = { missing = \"a\\r\\nb\", invalid = \"\\u00e9\\u0000\" }"),
];

/// The configuration with one setting more.
fn with(origin: &Origin, table: &str, setting: &str) -> String {
    let address = origin.address;
    let config = keyed(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[upstreams.rec]\naddrs = [\"{address}\"]\n\
         [plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\nplugins = [\"key-auth\"]\n"
    ));
    let head = format!("[{table}]\n");
    assert!(config.contains(&head), "there is no {table}");
    config.replace(&head, &format!("{head}{setting}\n"))
}

/// Sends what every setting must survive: a good request, a missing and a wrong key, an upload.
fn exercise(gate: &Gate) {
    for lines in ["X-API-Key: K1\r\n", "", "X-API-Key: K1\r\nContent-Length: 5\r\n"] {
        let body = if lines.contains("Length") { "hello" } else { "" };
        let request = keyed(&format!("POST /x HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n{body}"));
        let mut client = gate.client();
        if client.send(&request).answer().is_some() {
            client.send(request).answer();
        }
    }
    gate.client().send("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: wrong\r\n\r\n");
    gate.signal("HUP");
}

#[test]
fn every_extreme_is_refused_with_its_place_or_serves() {
    let origin = Origin::echo();
    let mut failures = Failures::new();
    for (table, setting) in SETTINGS {
        let config = with(&origin, table, setting);
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        fs::write(folder.path().join("k.toml"), &config).expect("the folder can be written");
        let checked = run(&["check", "--config", "k.toml"], folder.path(), &[]);
        match checked.code {
            Some(0) => {
                let gate = Gate::with(&[("keygate.toml", &config)]);
                exercise(&gate);
                gate.signal("TERM");
                let code = gate.ends_within(DEADLINE).and_then(|status| status.code());
                let sound = !gate.has_panicked() && matches!(code, Some(0 | 3));
                failures.row(sound, || format!("{table} {setting}: {code:?} {}", gate.output()));
            }
            code => {
                let told = code == Some(1) && checked.stderr.contains("k.toml:");
                failures.row(told, || format!("{table} {setting}: {checked:?}"));
            }
        }
    }
    failures.report();
}
