//! `examples/secrets-manager`.

use std::fs;

use super::Example;

#[test]
fn keys_from_a_secrets_manager() {
    let mut example = Example::of("secrets-manager");
    example.follow_readme();
    let log = fs::read_to_string(example.folder().join("tmp/aws.log")).unwrap();
    let wrote = example.servers_wrote() + &log;
    assert!(!wrote.contains("key-for-"), "{wrote}");
}

#[test]
fn the_unit_gives_the_keys_file_that_the_configuration_names() {
    let example = Example::of("secrets-manager");
    let read = |name| fs::read_to_string(example.folder().join(name)).unwrap();
    let unit = read("keygate.service");
    let credential = unit.lines().find_map(|line| line.strip_prefix("LoadCredential="));
    let (name, _) = credential.and_then(|credential| credential.split_once(':')).unwrap();
    let file = format!("keys_file = \"${{CREDENTIALS_DIRECTORY}}/{name}\"\n");
    assert!(read("systemd.toml").contains(&file), "{unit}");
}
