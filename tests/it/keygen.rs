//! `keygate keygen` from outside: what it prints opens a gate, and nothing else does.

use keygate::keys::format::{self, Form};
use regex::Regex;

use crate::support::{Gate, Origin, run};

fn keygen(arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let output = run(&[&["keygen"], arguments].concat(), folder.path(), &[]);
    (output.code, output.stdout, output.stderr)
}

#[test]
fn the_printed_line_lets_the_printed_key_in_and_no_other() {
    let (code, printed, _) = keygen(&["--prefix", "test", "-n", "2"]);
    let lines: Vec<_> = printed.lines().collect();
    let [key, line, other, _] = lines[..] else { panic!("two pairs were expected: {printed}") };
    assert_eq!(code, Some(0));
    assert!(key.starts_with("test_") && other.starts_with("test_"), "{printed}");
    assert!(line.starts_with("keys = [\"sha256:") && !line.contains(key), "{printed}");
    let origin = Origin::echo();
    let gate = Gate::on(&format!(
        "[upstreams.a]\naddrs = [\"{}\"]\n\
         [locations.a]\npath = \"/\"\nupstream = \"a\"\nplugins = [\"key-auth\"]\n\
         [plugins.key-auth]\nheader = \"X-API-Key\"\n{line}\n",
        origin.address
    ));
    for (key, status) in [(key, 200), (other, 401)] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n");
        assert_eq!(gate.send(request).status, status, "{key}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn wrong_usage_prints_no_key_and_exits_with_2() {
    for arguments in
        [&["-n", "0"][..], &["-n", "1001"], &["--prefix", "A"], &["--prefix", ""], &["x"]]
    {
        let (code, stdout, stderr) = keygen(arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!stderr.is_empty(), "{arguments:?}");
    }
}

/// The page's part on secret scanners.
fn scanners() -> &'static str {
    const PAGE: &str = include_str!("../../docs/reference.md");
    let (_, below) = PAGE.split_once("\n#### Secret scanners\n").expect("there is such a heading");
    below.split("\n#").next().unwrap_or_default()
}

/// The rule for gitleaks, whose regular expressions are written as those of this crate.
fn gitleaks() -> Regex {
    let (_, rest) = scanners().split_once("```toml\n").expect("there is a rule");
    let (rule, _) = rest.split_once("```").expect("it ends");
    let rule: toml::Value = toml::from_str(rule).expect("it is TOML");
    let rule = &rule["rules"][0];
    assert_eq!(rule["keywords"][0].as_str(), Some("kg_"));
    Regex::new(rule["regex"].as_str().expect("it has an expression")).expect("it is one")
}

/// The pattern for GitHub, put together as GitHub does.
fn github() -> Regex {
    let field = |name: &str| {
        let row = scanners().lines().find_map(|line| line.strip_prefix(&format!("| {name} | `")));
        let value = row.and_then(|row| row.strip_suffix("` |")).expect("there is such a row");
        value.replace("\\|", "|")
    };
    let [before, secret, after] = ["before secret", "secret format", "after secret"].map(field);
    Regex::new(&format!("(?:{before})({secret})(?:{after})")).expect("it is an expression")
}

#[test]
fn scanners_find_a_generated_key_and_none_of_another_length() {
    let (_, printed, _) = keygen(&["-n", "20"]);
    let keys: Vec<_> = printed.lines().step_by(2).collect();
    assert_eq!(keys.len(), 20);
    for (scanner, pattern) in [("gitleaks", gitleaks()), ("GitHub", github())] {
        for key in &keys {
            assert_eq!(format::form(key.as_bytes()), Form::Generated);
            for text in [key.to_string(), format!("K='{key}';"), format!("a: Bearer {key}\nb")] {
                assert!(pattern.find(&text).is_some_and(|found| found.as_str().contains(key)));
            }
            let (shorter, longer) = (&key[..key.len() - 1], format!("{key}a"));
            for other in [shorter, &longer, &key[1..], &format!("a{key}"), "kg_"] {
                assert!(!pattern.is_match(&format!("\"{other}\"")), "{scanner}: {other}");
            }
        }
    }
}
