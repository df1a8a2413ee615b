//! `examples/edge`, as its README tells it.

use super::Example;

#[test]
fn tls_the_key_and_a_new_certificate() {
    Example::of("edge").follow_readme();
}
