//! `examples/traces`.

use super::Example;

#[test]
fn requests_that_a_collector_lists() {
    let mut example = Example::of("traces");
    example.install(&["google", "opentelemetry"]);
    example.follow_readme();
}
