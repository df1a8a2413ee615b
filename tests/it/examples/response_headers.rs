//! `examples/response-headers`.

use super::Example;

#[test]
fn what_clients_see() {
    let shown = Example::of("response-headers").follow_readme();
    assert!(!shown[0].to_lowercase().contains("server"), "{}", shown[0]);
}
