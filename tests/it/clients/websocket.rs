//! A page that uses WebSockets, in a browser and in Node: with its key as one of the subprotocols,
//! and with OpenAI's realtime client, which sends it so by itself.

use std::process::Command;

use super::program::{command, run};
use super::{PROVIDERS, guarding};
use crate::support::reference::K1;
use crate::support::{Gate, Program};

/// What `websocket.mjs` says of its connections, in order.
const REPORT: &str = "bearer chat refused refused realtime refused refused";

/// What the provider gets to see of those that are let in.
const OFFERED: [&str; 4] = ["null", "\"chat\"", "\"realtime\"", "\"chat\""];

/// A provider of WebSockets, and a gate in front of it.
fn stand() -> (Program, Gate) {
    let provider = Program::start(&mut command("provider.mjs"));
    let port = provider.line(1).replace("port ", "").parse::<u16>().expect("a port");
    let gate = guarding(([127, 0, 0, 1], port).into());
    (provider, gate)
}

/// What the provider was offered arrived without the caller's key, and with the provider's.
#[track_caller]
fn check_offered(provider: &Program) {
    for (number, offered) in (2..).zip(OFFERED) {
        let expected = format!("offered [{offered},\"Bearer {PROVIDERS}\"]");
        assert_eq!(provider.line(number), expected);
    }
}

#[test]
fn a_websocket_in_node_sends_its_key_as_a_subprotocol() {
    let (provider, gate) = stand();
    assert_eq!(run("websocket_node.mjs", &[], &gate, K1), REPORT);
    check_offered(&provider);
}

/// Chromium under the names that it has in Debian and elsewhere.
const BROWSERS: [&str; 4] =
    ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

/// Where there is no browser there is nothing to be seen: `scripts/test.sh` says so.
#[test]
fn a_page_in_a_browser_sends_its_key_as_a_subprotocol() {
    let version = |browser: &&&str| Command::new(browser).arg("--version").output().is_ok();
    let Some(browser) = BROWSERS.iter().find(version) else { return };
    let (provider, gate) = stand();
    let profile = tempfile::tempdir().expect("there is room for a temporary folder");
    let site = provider.line(1).replace("port ", "127.0.0.1:");
    let mut command = Command::new(browser);
    // Without a port for debugging the headless shell ends as soon as the page is loaded.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("http://{site}/page.html#http://{}%20{K1}", gate.address));
    let _browser = Program::start(&mut command);
    check_offered(&provider);
    assert_eq!(provider.line(OFFERED.len() + 2), format!("report {REPORT}"));
}
