//! `examples/concurrency`.

use super::Example;

#[test]
fn one_stream_a_key() {
    Example::of("concurrency").follow_readme();
}
