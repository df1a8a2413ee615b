//! `examples/llm-sidecar`.

use std::fs;

use super::Example;

#[test]
fn a_key_in_front_of_a_chat_api() {
    let mut example = Example::of("llm-sidecar");
    example.follow_readme();
    let env = fs::read_to_string(example.folder().join(".env")).unwrap();
    let key = env.lines().find_map(|line| line.strip_prefix("API_KEY=")).unwrap();
    assert_eq!(key.len(), 64, "a key of 256 bits");
    let wrote = example.servers_wrote();
    assert!(wrote.contains("POST /v1/chat"), "{wrote}");
    assert!(!wrote.contains(key));
}

#[test]
fn without_a_key_it_does_not_start() {
    let mut example = Example::of("llm-sidecar");
    example.paste("cp .env.example .env");
    let shown = example.paste("keygate; [ $? -eq 1 ] && echo refused");
    assert!(shown.trim_end().ends_with("refused"), "{shown}");
    let shown =
        example.paste("keygate --upstream http://127.0.0.1:1; [ $? -eq 1 ] && echo refused");
    assert!(shown.contains("API_KEY must be set in production"), "{shown}");
    assert!(shown.trim_end().ends_with("refused"), "{shown}");
}

#[test]
fn the_env_file_stays_out_of_git() {
    let ignored = include_str!("../../../.gitignore").lines().any(|line| line == ".env");
    assert!(ignored, ".gitignore does not name .env");
}
