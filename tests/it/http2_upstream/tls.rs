//! HTTP/2 over TLS: agreed on before anything is said.

use super::request;
use crate::support::reference::one_location;
use crate::support::tls::{Authority, Ending, before_address, shows};
use crate::support::{Gate, Http2Origin};

/// A gate before an origin of HTTP/2 behind TLS that agrees to these protocols.
fn agreeing(origin: &Http2Origin, protocols: &[&str]) -> Gate {
    let authority = Authority::new();
    let mut config = shows(&authority.issue(&["localhost"]));
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let port = before_address(origin.address, config, Ending::Proper).port();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[upstreams.rec]\n\
         addrs = [\"https://localhost:{port}\"]\nprotocol = \"h2\"\ntls = {{ ca = \"ca.pem\" }}\n{}",
        one_location("header = \"X-API-Key\"\n", "")
    );
    Gate::with(&[("keygate.toml", &config), ("ca.pem", &authority.pem())])
}

#[test]
fn an_upstream_that_agrees_to_it_is_spoken_to_in_http_2() {
    let origin = Http2Origin::echo();
    let gate = agreeing(&origin, &["http/1.1", "h2"]);
    for _ in 0..3 {
        assert_eq!(gate.send(request("GET /x")).status, 200);
    }
    let asked = origin.last();
    assert_eq!(asked.head.uri.scheme_str(), Some("https"));
    assert_eq!(asked.values("x-forwarded-proto"), ["http"]);
    assert_eq!((origin.count(), origin.connections()), (3, 1));
}

#[test]
fn an_upstream_that_does_not_agree_to_it_gets_no_request() {
    for protocols in [&["http/1.1"][..], &[]] {
        let origin = Http2Origin::echo();
        let gate = agreeing(&origin, protocols);
        assert_eq!(gate.send(request("GET /x")).status, 502, "{protocols:?}");
        assert_eq!(origin.count(), 0);
    }
}
