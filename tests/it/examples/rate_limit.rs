//! `examples/rate-limit`.

use super::Example;

#[test]
fn two_requests_an_hour() {
    Example::of("rate-limit").follow_readme();
}
