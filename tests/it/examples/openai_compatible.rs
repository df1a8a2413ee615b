//! `examples/openai-compatible`.

use std::fs;

use super::Example;

#[test]
fn keys_for_an_openai_compatible_server() {
    let mut example = Example::of("openai-compatible");
    // What `pip install openai` gives a reader, scripts/test-deps.sh has installed there.
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/.venv/bin");
    example.paste(&format!("PATH={python}:$PATH"));
    example.follow_readme();
    let env = fs::read_to_string(example.folder().join(".env")).unwrap();
    let key = env.lines().find_map(|line| line.strip_prefix("PROVIDER_KEY=")).unwrap();
    assert_eq!(key.len(), 64, "a key of 256 bits");
    let wrote = example.servers_wrote();
    assert!(!wrote.contains(key) && !wrote.contains("key-for-"), "{wrote}");
    // The quota of one request was used up by then, and the SDK has asked once.
    assert_eq!(wrote.matches(" 429 ").count(), 2, "{wrote}");
}
