//! `examples/ip-restriction`.

use super::Example;

#[test]
fn some_networks_only() {
    let mut example = Example::of("ip-restriction");
    example.follow_readme();
    let wrote = example.servers_wrote();
    assert_eq!(wrote.matches("\"GET /x HTTP/1.1\" 200").count(), 1, "{wrote}");
}
