//! `examples/rotation`.

use super::Example;

#[test]
fn a_new_key_for_an_old_one() {
    let mut example = Example::of("rotation");
    example.follow_readme();
    let keys = example.paste("echo $FIRST $SECOND $THIRD $FOURTH");
    let keys: Vec<_> = keys.split_whitespace().collect();
    assert_eq!(keys.len(), 4);
    let wrote = example.servers_wrote();
    for key in keys {
        assert!(key.len() == 52 && !wrote.contains(key), "{key}: {wrote}");
    }
}
