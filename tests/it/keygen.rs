//! `keygate keygen` from outside: what it prints opens a gate, and nothing else does.

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
