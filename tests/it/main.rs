//! The integration tests: one binary, a file a topic.

mod support;

mod access_log;
mod answers;
mod architecture;
mod body_limit;
mod config;
mod demo;
mod environment;
mod examples;
mod extremes;
mod failures;
mod framing;
mod harness;
mod hop_by_hop;
mod interim;
mod key_auth;
mod keygen;
mod mutations;
mod pools;
mod readme;
mod reference;
mod reload;
mod responses;
mod routing;
mod screening;
mod sockets;
mod sources;
mod stop;
mod streaming;
mod stripping;
mod tidy;
mod timeouts;
mod trailers;
mod upstreams;
mod websocket;
