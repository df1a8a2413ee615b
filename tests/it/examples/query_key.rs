//! `examples/query-key`.

use super::Example;

#[test]
fn a_key_in_the_query() {
    let mut example = Example::of("query-key");
    let shown = example.follow_readme();
    for call in &shown[..2] {
        assert!(!call.contains("apiKey") && !call.contains("key-for-user"), "{call}");
    }
    let wrote = example.servers_wrote();
    assert!(!wrote.contains("key-for-user"), "{wrote}");
    assert_eq!(wrote.matches("\"GET /legacy-api/data").count(), 2, "{wrote}");
}
