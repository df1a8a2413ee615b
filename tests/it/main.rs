//! The integration tests: one binary, a file a topic.

#[allow(dead_code, unused_imports, reason = "the topics that use the rest are being written")]
mod support;

mod harness;
