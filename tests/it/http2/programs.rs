//! Other people's clients.

use std::process::Command;

use crate::support::reference::{K1, guarded};
use crate::support::{Gate, Origin};

/// What a program prints.
fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The URL of a target behind a gate.
fn url(gate: &Gate, target: &str) -> String {
    format!("http://{}{target}", gate.address)
}

#[test]
fn curl_is_served() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let key = format!("X-API-Key: {K1}");
    let ask = |more: &[&str]| {
        let url = url(&gate, "/api/v1/x");
        let common = ["-sS", "--http2-prior-knowledge", "-w", " %{http_code} %{http_version}"];
        let arguments: Vec<_> = common.iter().chain(more).copied().chain([&*url]).collect();
        printed("curl", &arguments)
    };
    assert_eq!(ask(&["-H", &key]), "/api/v1/x 200 2");
    assert_eq!(ask(&["-H", &key, "-d", "hello"]), "/api/v1/x 200 2");
    assert_eq!(origin.last().body, b"hello");
    // Far more than all windows.
    let large = tempfile::NamedTempFile::new().expect("there is room for a temporary file");
    large.as_file().set_len(3_000_000).expect("a file can be made longer");
    let data = format!("@{}", large.path().display());
    assert_eq!(ask(&["-H", &key, "--data-binary", &data]), "/api/v1/x 200 2");
    assert_eq!(origin.last().body.len(), 3_000_000);
    assert_eq!(ask(&[]), "Key missing 401 2");
}

#[test]
fn nghttp_is_served() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let key = format!("x-api-key: {K1}");
    let url = url(&gate, "/api/v1/x");
    let output = printed("nghttp", &["-m", "5", "-H", &key, &url]);
    assert_eq!(output.matches("/api/v1/x").count(), 5, "{output}");
}

#[test]
fn h2load_sees_no_request_fail() {
    let origin = Origin::echo();
    let gate = guarded(&origin);
    let key = format!("x-api-key: {K1}");
    let url = url(&gate, "/api/v1/x");
    let load = ["-n", "2000", "-c", "4", "-m", "50", "-H", &key, &url];
    let output = printed("h2load", &load);
    assert!(output.contains("2000 succeeded, 0 failed, 0 errored"), "{output}");
    assert!(output.contains("2000 2xx"), "{output}");
}
