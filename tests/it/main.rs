//! The integration tests: one binary, a file a topic.

mod support;

mod access_log;
mod answers;
mod body_limit;
mod config;
mod demo;
mod environment;
mod examples;
mod failures;
mod framing;
mod harness;
mod hop_by_hop;
mod key_auth;
mod keygen;
mod mutations;
mod reference;
mod reload;
mod routing;
mod screening;
mod sockets;
mod sources;
mod stop;
mod streaming;
mod stripping;
mod tidy;
mod timeouts;
mod upstreams;
mod websocket;
