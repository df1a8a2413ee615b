//! `examples/metrics`.

use super::Example;

#[test]
fn what_keygate_tells_of_itself() {
    let mut example = Example::of("metrics");
    example.follow_readme();
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/alerts.yaml");
    let copied = format!("cp {rules} . && sed -i 's#\\.\\./.*alerts#alerts#' prometheus.yml");
    let check = format!("{copied} && promtool check config prometheus.yml && echo all right");
    let checked = example.paste(&check);
    assert!(checked.ends_with("all right\n"), "{checked}");
}
