//! keygate without files: everything from arguments and the environment.

use std::fs;

use crate::support::reference::{K3 as KEY, K4 as OTHER};
use crate::support::{Failures, Gate, Head, Origin, Output, run};

/// Starts keygate before an origin with these further arguments and variables.
fn start(origin: &Origin, arguments: &[&str], env: &[(&str, &str)]) -> Gate {
    let url = format!("http://{}", origin.address);
    let mut all = vec!["serve", "--upstream", &url, "--listen", "127.0.0.1:0"];
    all.extend(arguments);
    Gate::launch(&[], &all, env)
}

fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n")
}

/// Field lines of `GET /x` and the status that they get.
#[track_caller]
fn play(gate: &Gate, rows: &[(&str, u16)]) {
    let mut failures = Failures::new();
    for (lines, expected) in rows {
        let status = gate.send(get("/x", lines)).status;
        failures.row(status == *expected, || format!("{lines:?}: {status}, not {expected}"));
    }
    failures.report();
}

#[test]
fn one_key_guards_everything_but_health() {
    let origin = Origin::echo();
    let gate = start(&origin, &[], &[("API_KEY", KEY)]);
    play(
        &gate,
        &[
            ("", 401),
            (&format!("X-API-Key: {KEY}\r\n"), 200),
            (&format!("Authorization: Bearer {KEY}\r\n"), 200),
            (&format!("authorization: bearer {KEY}\r\n"), 200),
            ("X-API-Key: wrong\r\n", 401),
            ("Authorization: Bearer wrong\r\n", 401),
            (&format!("Authorization: Basic {KEY}\r\n"), 401),
            (&format!("X-API-Key: {KEY}\r\nX-API-Key: {KEY}\r\n"), 401),
        ],
    );
    assert_eq!(gate.send(get("/health", "")).text(), "/health");
    for target in ["/health/", "/healthy", "/x/health", "/", "/HEALTH", "/x/../health", "//health"]
    {
        let status = gate.send(get(target, "")).status;
        assert!(matches!(status, 400 | 401), "{target}: {status}");
    }
}

#[test]
fn the_credentials_are_hidden_from_the_upstream() {
    let origin = Origin::echo();
    let gate = start(&origin, &[], &[("API_KEY", KEY)]);
    let lines = format!("X-API-Key: {KEY}\r\nAuthorization: Bearer {KEY}\r\n");
    assert_eq!(gate.send(get("/x", &lines)).status, 200);
    let head: Head = origin.last().head;
    assert!(!String::from_utf8_lossy(&head.raw).contains(KEY), "{head:?}");
}

#[test]
fn errors_are_json_and_an_invalid_key_waits() {
    let origin = Origin::echo();
    let gate = start(&origin, &[], &[("API_KEY", KEY)]);
    let started = std::time::Instant::now();
    let response = gate.send(get("/x", "X-API-Key: wrong\r\n"));
    assert!(started.elapsed() >= std::time::Duration::from_millis(500), "{:?}", started.elapsed());
    let body: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(body["error"]["code"], "invalid_api_key");
    assert!(response.value("WWW-Authenticate").starts_with("Bearer "), "{:?}", response.head);
}

#[test]
fn several_keys_stand_beside_each_other() {
    let origin = Origin::echo();
    let both = format!("{KEY},{OTHER}");
    let gate = start(&origin, &[], &[("API_KEY", &both)]);
    play(
        &gate,
        &[
            (&format!("X-API-Key: {KEY}\r\n"), 200),
            (&format!("X-API-Key: {OTHER}\r\n"), 200),
            (&format!("X-API-Key: {both}\r\n"), 401),
        ],
    );
}

#[test]
fn a_file_names_one_key_a_line() {
    let origin = Origin::echo();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let file = folder.path().join("keys");
    let keys = format!("# the key of production\n{KEY}\n\n{OTHER}\n");
    fs::write(&file, keys).expect("the folder can be written");
    let path = file.to_str().expect("the path is text");
    let gate = start(&origin, &[], &[("API_KEY_FILE", path)]);
    play(
        &gate,
        &[
            (&format!("X-API-Key: {KEY}\r\n"), 200),
            (&format!("X-API-Key: {OTHER}\r\n"), 200),
            ("", 401),
            ("X-API-Key: wrong\r\n", 401),
            ("X-API-Key: # the key of production\r\n", 401),
        ],
    );
}

#[test]
fn open_replaces_the_list_of_open_paths() {
    let origin = Origin::echo();
    let gate = start(&origin, &["--open", "/ping", "--open", "/docs"], &[("API_KEY", KEY)]);
    for (target, open) in [("/ping", true), ("/docs", true), ("/health", false), ("/pings", false)]
    {
        let expected = if open { 200 } else { 401 };
        assert_eq!(gate.send(get(target, "")).status, expected, "{target}");
    }
}

#[test]
fn a_header_of_ones_own() {
    let origin = Origin::echo();
    let gate = start(&origin, &["--header", "X-Token"], &[("API_KEY", KEY)]);
    assert_eq!(gate.send(get("/x", &format!("X-Token: {KEY}\r\n"))).status, 200);
    assert!(!origin.last().head.has("x-token"));
    assert_eq!(gate.send(get("/x", &format!("X-API-Key: {KEY}\r\n"))).status, 401);
}

#[test]
fn a_query_parameter_of_ones_own() {
    let origin = Origin::echo();
    let gate = start(&origin, &["--query", "token"], &[("API_KEY", KEY)]);
    assert_eq!(gate.send(get(&format!("/x?a=1&token={KEY}"), "")).text(), "/x?a=1");
    assert_eq!(gate.send(get("/x", &format!("X-API-Key: {KEY}\r\n"))).status, 401);
}

#[test]
fn variables_stand_for_flags() {
    let origin = Origin::echo();
    let url = format!("http://{}", origin.address);
    let env =
        [("API_KEY", KEY), ("KEYGATE_UPSTREAM", url.as_str()), ("KEYGATE_LISTEN", "127.0.0.1:0")];
    let gate = Gate::launch(&[], &[], &env);
    play(&gate, &[("", 401), (&format!("X-API-Key: {KEY}\r\n"), 200)]);
}

#[test]
fn variables_in_dot_env_stand_for_flags_too() {
    let origin = Origin::echo();
    let text = format!(
        "API_KEY={KEY}\nKEYGATE_UPSTREAM=http://{}\nKEYGATE_LISTEN=127.0.0.1:0\n\
         KEYGATE_QUERY=token\n",
        origin.address
    );
    let gate = Gate::launch(&[("../.env", &text)], &[], &[]);
    assert_eq!(gate.send(get(&format!("/x?token={KEY}"), "")).text(), "/x");
    let folder = tempfile::tempdir().unwrap();
    let text = "KEYGATE_UPSTREAM=http://127.0.0.1:1\nKEYGATE_CONFIG=conf\n";
    fs::write(folder.path().join(".env"), text).unwrap();
    let both = run(&["serve"], folder.path(), &[]);
    assert_eq!(both.code, Some(1), "{}", both.stderr);
    assert!(both.stderr.contains("cannot both be set"), "{}", both.stderr);
}

#[test]
fn a_dot_env_file_is_read_and_the_environment_wins() {
    let origin = Origin::echo();
    let url = format!("http://{}", origin.address);
    let arguments = ["serve", "--upstream", &url, "--listen", "127.0.0.1:0"];
    let text = format!("API_KEY={KEY}\n");
    let gate = Gate::launch(&[("../.env", &text)], &arguments, &[]);
    play(&gate, &[("", 401), (&format!("X-API-Key: {KEY}\r\n"), 200)]);
    let gate = Gate::launch(&[("../.env", &text)], &arguments, &[("API_KEY", OTHER)]);
    play(
        &gate,
        &[(&format!("X-API-Key: {KEY}\r\n"), 401), (&format!("X-API-Key: {OTHER}\r\n"), 200)],
    );
}

const SENTENCE: &str = "API_KEY must be set in production \
    (put it in .env, or set ENVIRONMENT=development for local use)";

#[track_caller]
fn says_what_is_missing(output: &Output) {
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(SENTENCE), "{output:?}");
}

#[test]
fn in_production_there_is_no_start_without_a_key() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let arguments = ["serve", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0"];
    let rows: [&[(&str, &str)]; 8] = [
        &[],
        &[("API_KEY", "")],
        &[("API_KEY", "  ")],
        &[("ENVIRONMENT", "production")],
        &[("ENVIRONMENT", "")],
        &[("ENVIRONMENT", "prod")],
        &[("ENVIRONMENT", "Development-ish")],
        &[("ENVIRONMENT", "staging"), ("API_KEY", "")],
    ];
    for env in rows {
        let output = run(&arguments, folder.path(), env);
        assert_eq!(output.code, Some(1), "{env:?}: {output:?}");
        says_what_is_missing(&output);
    }
}

#[test]
fn an_empty_key_among_others_is_refused() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let arguments = ["serve", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0"];
    for keys in [",", &format!("{KEY},"), &format!("{KEY},,{OTHER}"), &format!(" ,{KEY}")] {
        for environment in ["production", "development"] {
            let env = [("API_KEY", keys), ("ENVIRONMENT", environment)];
            let output = run(&arguments, folder.path(), &env);
            assert_eq!(output.code, Some(1), "{keys:?}: {output:?}");
            assert!(!output.stderr.contains(KEY), "{output:?}");
        }
    }
}

#[test]
fn in_development_everything_passes_with_a_warning() {
    let origin = Origin::echo();
    let gate = start(&origin, &[], &[("ENVIRONMENT", "development")]);
    assert_eq!(gate.send(get("/x", "")).text(), "/x");
    let words = gate.stderr.text().to_ascii_lowercase();
    assert!(words.contains("warn") && words.contains("key"), "{words}");
}

#[test]
fn in_development_a_key_that_is_set_still_guards() {
    let origin = Origin::echo();
    let gate = start(&origin, &[], &[("ENVIRONMENT", "development"), ("API_KEY", "short")]);
    play(&gate, &[("", 401), ("X-API-Key: short\r\n", 200)]);
}

#[test]
fn a_short_key_in_production_draws_a_warning_that_does_not_show_it() {
    let origin = Origin::echo();
    let gate = start(&origin, &[], &[("API_KEY", "short-canary")]);
    gate.stderr.wait_for("32", |line| line.contains("32"));
    assert!(!gate.output().contains("short-canary"), "{}", gate.output());
    let long = start(&origin, &[], &[("API_KEY", KEY)]);
    assert!(!long.stderr.text().contains("32 "), "{}", long.stderr.text());
}

/// Arguments, variables, and the exit code that they end with.
type Refused<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32);

const WRONG: [Refused<'static>; 8] = [
    (&["serve", "--nonsense"], &[], 2),
    (&["nonsense"], &[], 2),
    (&["serve", "--upstream"], &[], 2),
    (&["serve", "--config", "nowhere"], &[], 1),
    (&["serve"], &[], 1),
    (&["serve", "--upstream", "not a url"], &[("API_KEY", KEY)], 1),
    (&["serve", "--upstream", UPSTREAM, "--listen", "nonsense"], &[("API_KEY", KEY)], 1),
    (&["serve", "--upstream", UPSTREAM], &[("API_KEY_FILE", "/nowhere")], 1),
];
const UPSTREAM: &str = "http://127.0.0.1:9";

#[test]
fn wrong_settings_are_refused_with_the_right_code() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let mut failures = Failures::new();
    for (arguments, env, code) in WRONG {
        let output = run(arguments, folder.path(), env);
        let right = output.code == Some(code) && !output.stderr.is_empty();
        failures.row(right, || format!("{arguments:?}: {output:?}"));
        failures.row(!output.stderr.contains(KEY), || format!("the key: {output:?}"));
    }
    failures.report();
}

#[test]
fn the_help_shows_no_value_of_a_variable() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let names = ["CONFIG", "UPSTREAM", "LISTEN", "HEADER", "QUERY", "OPEN"];
    let names = names.map(|name| format!("KEYGATE_{name}"));
    let env = names.each_ref().map(|name| (name.as_str(), "http://u:canary@127.0.0.1:1"));
    for arguments in [&["serve", "--help"][..], &["serve", "-h"], &["--help"]] {
        let output = run(arguments, folder.path(), &env);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(!format!("{output:?}").contains("canary"), "{output:?}");
    }
}
