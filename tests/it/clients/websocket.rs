//! A page that uses WebSockets, in a browser and in Node: with its key as one of the subprotocols,
//! and with OpenAI's realtime client, which sends it so by itself.

use super::program::{command, run};
use super::{PROVIDERS, browser, guarding};
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

#[test]
fn a_page_in_a_browser_sends_its_key_as_a_subprotocol() {
    let (provider, gate) = stand();
    let site = provider.line(1).replace("port ", "127.0.0.1:");
    let page = format!("http://{site}/page.html#http://{}%20{K1}", gate.address);
    let Some(_browser) = browser::open(&page, &[]) else { return };
    check_offered(&provider);
    assert_eq!(provider.line(OFFERED.len() + 2), format!("report {REPORT}"));
}
