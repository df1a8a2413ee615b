//! A page in a browser, at a gate that speaks TLS: what it fetches goes over HTTP/2, and a
//! WebSocket beside it over HTTP/1.1.

use std::process::Command;

use super::PROVIDERS;
use super::program::command;
use crate::support::reference::{K1, keyed};
use crate::support::tls::Authority;
use crate::support::{Gate, Program};

/// Chromium under the names that it has in Debian and elsewhere.
const BROWSERS: [&str; 4] =
    ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

/// A browser that shows one page.
pub(super) struct Browser {
    _program: Program,
    _profile: tempfile::TempDir,
}

/// Opens a page, where there is a browser: `scripts/test.sh` says so if there is none.
pub(super) fn open(page: &str, more: &[&str]) -> Option<Browser> {
    let is_there = |browser: &&&str| Command::new(browser).arg("--version").output().is_ok();
    let browser = BROWSERS.iter().find(is_there)?;
    let profile = tempfile::tempdir().expect("there is room for a temporary folder");
    let mut command = Command::new(browser);
    // Without a port for debugging the headless shell ends as soon as the page is loaded.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.args(more).arg(page);
    Some(Browser { _program: Program::start(&mut command), _profile: profile })
}

/// A gate with TLS in front of a provider, for the pages of one site.
fn gate(provider: &str, site: &str) -> Gate {
    let certificate = Authority::new().issue(&["localhost"]);
    let config = keyed(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[server.tls]\n\
         certificates = [{{ cert = \"site.pem\", key = \"site.key\" }}]\n\
         [upstreams.rec]\naddrs = [\"{provider}\"]\n\
         [plugins.key-auth]\nsources = [\"bearer\", \"websocket\"]\nkeys = [\"K1\"]\n\
         hide_credentials = true\n\
         [plugins.cors]\nallow_origins = [\"{site}\"]\nallow_methods = [\"GET\", \"POST\"]\n\
         allow_headers = [\"Authorization\"]\n\
         [plugins.request-headers.set]\nAuthorization = \"Bearer {PROVIDERS}\"\n\
         [plugins.response-headers.set]\nTiming-Allow-Origin = \"*\"\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\n\
         plugins = [\"cors\", \"key-auth\", \"request-headers\", \"response-headers\"]\n"
    ));
    let mut gate = Gate::with(&[
        ("keygate.toml", &*config),
        ("site.pem", &certificate.cert),
        ("site.key", &certificate.key),
    ]);
    gate.secret(PROVIDERS);
    gate
}

#[test]
fn a_page_uses_an_api_over_tls_if_it_may() {
    // It is shown a certificate that nobody has told it to believe.
    let any = ["--ignore-certificate-errors"];
    for (host, report) in [
        ("127.0.0.1", "200 h2, 401, 401, chat, refused, 200 h2"),
        // The key is right, but the page is another site's. WebSockets know no such rule.
        ("localhost", "kept, kept, kept, chat, refused, kept"),
    ] {
        let provider = Program::start(&mut command("provider.mjs"));
        let port = provider.line(1).replace("port ", "");
        let gate = gate(&format!("127.0.0.1:{port}"), &format!("http://127.0.0.1:{port}"));
        let api = format!("https://localhost:{}", gate.address.port());
        let page = format!("http://{host}:{port}/secure.html#{api}%20{K1}");
        let Some(_browser) = open(&page, &any) else { return };
        assert_eq!(provider.line(2), format!("offered [\"chat\",\"Bearer {PROVIDERS}\"]"));
        assert_eq!(provider.line(3), format!("report {report}"));
    }
}
