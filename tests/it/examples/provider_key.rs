//! `examples/provider-key`.

use super::Example;

#[test]
fn the_callers_key_for_the_providers() {
    let mut example = Example::of("provider-key");
    let shown = example.follow_readme();
    assert!(!shown[0].contains("key-for-user"), "{}", shown[0]);
    let wrote = example.servers_wrote();
    assert!(!wrote.contains("pk-known") && !wrote.contains("key-for-user"), "{wrote}");
}
