//! `examples/header-key`.

use super::Example;

/// The delay in the example's configuration.
const DELAY_SECONDS: f64 = 0.5;

#[test]
fn a_key_in_a_header() {
    let mut example = Example::of("header-key");
    let shown = example.follow_readme();
    let [valid, invalid, missing] = shown.as_slice() else { panic!("{shown:?}") };
    assert!(!valid.to_lowercase().contains("x-api-key"), "{valid}");
    assert!(seconds(invalid) >= DELAY_SECONDS, "{invalid}");
    // On a busy machine one call may be slow; that none is fast would be a delay.
    let at_once = seconds(missing) < DELAY_SECONDS
        || (0..5).any(|_| {
            let again = example.blocks().last().expect("it has blocks").command().to_owned();
            seconds(&example.paste(&again)) < DELAY_SECONDS
        });
    assert!(at_once, "{missing}");
}

#[test]
fn only_valid_keys_reach_the_origin() {
    let mut example = Example::of("header-key");
    example.follow_readme();
    let url = format!("http://{}/api/v1/users", example.address("127.0.0.1:8080"));
    let command =
        format!("curl -sS -o /dev/null -w '%{{http_code}}' {url} -H 'x-api-key: key-for-user-B'");
    assert_eq!(example.paste(&command).trim_end(), "200");
    // One line for the README's valid call, and one for this.
    let wrote = example.servers_wrote();
    assert_eq!(wrote.matches("\"GET /api/v1/users HTTP/1.1\" 200").count(), 2, "{wrote}");
    assert!(!wrote.contains("key-for-user"), "{wrote}");
}

/// The time in `401 after 0.501 s`.
fn seconds(shown: &str) -> f64 {
    let words: Vec<&str> = shown.split_whitespace().collect();
    match words.as_slice() {
        [.., "after", seconds, "s"] => seconds.parse().expect("curl prints a number"),
        _ => panic!("no time in {shown:?}"),
    }
}
