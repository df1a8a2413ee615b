//! `examples/many-users`.

use std::fs;

use super::Example;

#[test]
fn several_users() {
    let mut example = Example::of("many-users");
    example.follow_readme();
    let key = example.paste("echo $KEY");
    assert!(key.trim_end().len() == 52, "{key}");
    let log = fs::read_to_string(example.folder().join("tmp/access.log")).unwrap();
    let wrote = example.servers_wrote() + &log;
    assert!(!wrote.contains("key-for-") && !wrote.contains(key.trim_end()), "{wrote}");
}
