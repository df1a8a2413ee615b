//! A start without files: what is refused, and that everything is said at once.

use crate::support::run;

const KEY: &str = "a-key-of-more-than-thirty-two-characters";
const UPSTREAM: &str = "http://127.0.0.1:9";

/// Arguments after `serve`, variables, and parts of what is said.
type Refused<'t> = (&'t [&'t str], &'t [(&'t str, &'t str)], &'t [&'t str]);

const REFUSED: &[Refused<'static>] = &[
    (
        &["--upstream", UPSTREAM],
        &[],
        &[
            "error: API_KEY must be set in production (put it in .env, or set ENVIRONMENT=development \
           for local use)\n",
            "--> API_KEY\n",
            "1 error",
        ],
    ),
    (
        &["--upstream", UPSTREAM],
        &[("API_KEY", KEY), ("ENVIRONMENT", "prod")],
        &["ENVIRONMENT is neither `production` nor `development`", "did you mean `production`?"],
    ),
    (
        &["--upstream", UPSTREAM],
        &[("API_KEY", KEY), ("ENVIRONMENT", "Development")],
        &["did you mean `development`?", "1 error"],
    ),
    (
        &["--upstream", UPSTREAM],
        &[("API_KEY", KEY), ("API_KEY_FILE", "keys")],
        &["API_KEY and API_KEY_FILE are both set", "1 error"],
    ),
    (
        &["--upstream", UPSTREAM],
        &[("API_KEY_FILE", "keys")],
        &["cannot read the file", "--> API_KEY_FILE\n"],
    ),
    (
        &["--upstream", UPSTREAM],
        &[("API_KEY_FILE", ".")],
        &["this is a folder", "--> API_KEY_FILE\n"],
    ),
    (
        &["--upstream", UPSTREAM],
        &[("API_KEY", "one-key-that-is-long-enough, another-key-that-is-long")],
        &["key 2 has blanks at its ends", "--> API_KEY\n"],
    ),
    (
        &["--upstream", UPSTREAM],
        &[("API_KEY", "a,,b")],
        &["one of the keys is empty", "a comma too many?"],
    ),
    (
        &["--upstream", "http://127.0.0.1:9/v1"],
        &[("API_KEY", KEY)],
        &["holds no path", "--> --upstream\n"],
    ),
    (&["--upstream", "http://u:p@127.0.0.1:9"], &[("API_KEY", KEY)], &["no user and no password"]),
    (
        &["--upstream", UPSTREAM, "--listen", "https://127.0.0.1:9"],
        &[("API_KEY", KEY)],
        &["there is no certificate to speak TLS with"],
    ),
    (&["--upstream", "127.0.0.1"], &[("API_KEY", KEY)], &["the port is missing"]),
    (&["--upstream", "127.0.0.1:9 2"], &[("API_KEY", KEY)], &["expected one address"]),
    (&["--upstream", ""], &[("API_KEY", KEY)], &["expected a host and a port"]),
    (
        &["--upstream", UPSTREAM, "--listen", ":80"],
        &[("API_KEY", KEY)],
        &["the address is missing", "--> --listen\n"],
    ),
    (
        &["--upstream", UPSTREAM, "--header", "Host"],
        &[("API_KEY", KEY)],
        &["frames messages", "--> --header\n"],
    ),
    (
        &["--upstream", UPSTREAM, "--query", "a&b"],
        &[("API_KEY", KEY)],
        &["no name of a parameter", "--> --query\n"],
    ),
    (
        &["--upstream", UPSTREAM, "--open", "health"],
        &[("API_KEY", KEY)],
        &["a path begins with", "--> --open\n"],
    ),
    (&["--upstream", UPSTREAM, "--open", "/"], &[("API_KEY", KEY)], &["have the same host, path"]),
    (
        &["--upstream", "nonsense", "--listen", "nonsense", "--open", "nonsense"],
        &[("ENVIRONMENT", "nonsense")],
        &[
            "--> --upstream\n",
            "--> --listen\n",
            "--> --open\n",
            "--> ENVIRONMENT\n",
            "--> API_KEY\n",
            "5 errors",
        ],
    ),
];

#[test]
fn what_is_wrong_is_named_by_its_option_or_variable() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut wrong = String::new();
    for (arguments, env, parts) in REFUSED {
        let arguments = [&["serve"], *arguments].concat();
        let output = run(&arguments, folder.path(), env);
        let missing: Vec<_> = parts.iter().filter(|part| !output.stderr.contains(**part)).collect();
        let leaks = output.stderr.contains(KEY);
        if output.code != Some(1) || !missing.is_empty() || leaks {
            wrong += &format!("{arguments:?} {env:?}\nmissing: {missing:?}\n{}\n", output.stderr);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
