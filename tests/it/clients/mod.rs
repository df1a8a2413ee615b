//! Real client libraries at a gate, with a fake of the provider behind it: only the base URL and
//! the key are changed.

mod browser;
mod grpc;
mod grpc_web;
mod program;
mod provider;
mod sdks;
mod websocket;

use std::net::SocketAddr;

use keygate::keys::digest::Digest;

use crate::support::Gate;
use crate::support::reference::{K1, K2, K3, K4};

/// The key that the provider knows, and no client.
const PROVIDERS: &str = "sk-its-own-5d41402abc4b2a76b9719d911017c592";

/// A gate for a provider's clients. Their key is swapped for the provider's; `K1` may do
/// everything, `K2` may only read, `K3` has a quota of one request a day, `K4` a rate.
#[track_caller]
fn guarding(provider: SocketAddr) -> Gate {
    guarding_over("h1", provider)
}

/// The same, where the provider is spoken to in this version of HTTP.
#[track_caller]
fn guarding_over(protocol: &str, provider: SocketAddr) -> Gate {
    let hash = |key: &str| Digest::of(key.as_bytes()).written();
    let records = [
        ("all", K1, ""),
        ("reader", K2, "methods = [\"GET\"]"),
        ("quota", K3, "limits = { requests = \"1/1d\" }"),
        ("rate", K4, "limits = { rate = \"1/3s\" }"),
    ]
    .map(|(id, key, rules)| format!("[[key]]\nid = \"{id}\"\nhash = \"{}\"\n{rules}\n", hash(key)));
    let config = format!(
        "[upstreams.rec]\naddrs = [\"{provider}\"]\nprotocol = \"{protocol}\"\n[plugins.key-auth]\nsources = [\"bearer\", \"header:x-api-key\", \"websocket\"]\n\
         keys_file = \"keys.toml\"\nhide_credentials = true\nerrors = \"json\"\n\
         [plugins.request-headers.set]\nAuthorization = \"Bearer {PROVIDERS}\"\n\
         X-Api-Key = \"{PROVIDERS}\"\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\n\
         plugins = [\"key-auth\", \"request-headers\"]\n[server]\nlisten = \"127.0.0.1:0\"\n"
    );
    let mut gate = Gate::with(&[("keygate.toml", &config), ("keys.toml", &records.concat())]);
    gate.secret(PROVIDERS);
    gate
}
