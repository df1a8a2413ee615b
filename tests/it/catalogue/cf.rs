//! Misconfiguration: what is refused, by `check` and at start alike, and what draws a warning.
//!
//! How each error is worded and where it points is in `config/mistakes.txt`; these rows show that
//! there is no start with it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::{Case, Stand, case};
use crate::config::{BASE, folder, set_mode};
use crate::support::reference::K1;
use crate::support::{Failures, Gate, Output, Then, run};
use crate::tls::config as tls;

/// A key without fault.
const KEY: &str = "pz7Qm2Vx9Lk4Rt6Wn8Yb3Hd5Jf1Gs0Ad";

/// Notes if keygate starts, or says less than it should, or says a key.
fn refusal(failures: &mut Failures, what: &str, output: &Output, says: &[&str]) {
    let missing: Vec<_> = says.iter().filter(|part| !output.stderr.contains(**part)).collect();
    let right = output.code == Some(1)
        && missing.is_empty()
        && !output.stderr.contains("listening on")
        && !output.stderr.contains("panicked")
        && !output.stderr.contains(KEY);
    failures.row(right, || format!("{what}\nlacks {missing:?}: {output:?}"));
}

/// `check` and `serve` refuse what is in this folder's `config`.
fn refused_in(failures: &mut Failures, folder: &Path, what: &str, says: &[&str]) {
    for command in ["check", "serve"] {
        let output = run(&[command, "--config", "config"], folder, &[]);
        refusal(failures, what, &output, says);
    }
}

/// Each text, in a file beside a right one, is refused with these words.
#[track_caller]
fn refused(rows: &[(&str, &str)]) {
    let mut failures = Failures::new();
    for (text, says) in rows {
        let text = text.replace("KEY", KEY);
        let files = [("config/base.toml", BASE.as_bytes()), ("config/x.toml", text.as_bytes())];
        refused_in(&mut failures, folder(&files).path(), &text, &[says, "config/x.toml:"]);
    }
    failures.report();
}

/// Each line is refused in the table of a plugin that has all else it needs.
#[track_caller]
fn refused_in_plugin(rows: &[(&str, &str)]) {
    let tables = rows.iter().map(|(lines, says)| {
        let header = if lines.contains("header") { "" } else { "header = \"X-Key\"\n" };
        let keys = if lines.contains("keys") { "" } else { "keys = [\"KEY\"]\n" };
        (format!("[plugins.key-auth-x]\n{header}{keys}{lines}\n"), *says)
    });
    let tables: Vec<_> = tables.collect();
    let rows: Vec<_> = tables.iter().map(|(text, says)| (text.as_str(), *says)).collect();
    refused(&rows);
}

/// Each line is refused in the table of a location that has all else it needs.
#[track_caller]
fn refused_in_location(rows: &[(&str, &str)]) {
    let tables = rows.iter().map(|(lines, says)| {
        let path = if lines.contains("path") { "" } else { "path = \"/x\"\n" };
        (format!("[locations.x]\n{path}upstream = \"app\"\npublic = true\n{lines}\n"), *says)
    });
    let tables: Vec<_> = tables.collect();
    let rows: Vec<_> = tables.iter().map(|(text, says)| (text.as_str(), *says)).collect();
    refused(&rows);
}

/// What `check` says of a configuration that is right.
#[track_caller]
fn accepted(files: &[(&str, &[u8])], env: &[(&str, &str)]) -> String {
    let output = run(&["check", "--config", "config"], folder(files).path(), env);
    assert!(output.code == Some(0) && output.stderr.is_empty(), "{output:?}");
    output.stdout
}

/// Each text is accepted with a warning, and without it where the warning is empty.
#[track_caller]
fn warned(rows: &[(&str, &str)]) {
    let mut failures = Failures::new();
    for (text, says) in rows {
        let text = text.replace("KEY", KEY);
        let files: [(&str, &[u8]); 2] =
            [("config/base.toml", BASE.as_bytes()), ("config/x.toml", text.as_bytes())];
        let said = accepted(&files, &[]);
        let right = match *says {
            "" => !said.contains("warning"),
            says => said.contains("\nwarning: ") && said.contains(says),
        };
        failures.row(right, || format!("{text}\nlacks {says:?}: {said}"));
    }
    failures.report();
}

/// A plugin with these lines, and a location that uses it.
fn used(lines: &str) -> String {
    format!(
        "[plugins.key-auth-x]\nhide_credentials = true\n{lines}\n\
         [locations.x]\npath = \"/x\"\nupstream = \"app\"\nplugins = [\"key-auth-x\"]\n"
    )
}

/// A start without files that ends when it would listen, for the address is another machine's.
const ENDS: &[&str] = &["serve", "--upstream", "127.0.0.1:9", "--listen", "192.0.2.1:1"];

/// Starts so, with keys from a file that holds these bytes.
fn with_key_file(bytes: &[u8]) -> (TempDir, Output) {
    let folder = folder(&[("keys", bytes)]);
    let output = run(ENDS, folder.path(), &[("API_KEY_FILE", "keys")]);
    (folder, output)
}

pub(super) const CASES: &[Case] = &[
    case("CF-01", "an empty list of keys", |_| {
        refused_in_plugin(&[("keys = []", "no key in the list")]);
    }),
    case("CF-02", "an empty key, a blank one", |_| {
        refused_in_plugin(&[
            ("keys = [\"\"]", "key 1 is empty"),
            ("keys = [\" \"]", "key 1 is blank"),
            ("keys = [\"KEY\", \"\\t\"]", "key 2 is blank"),
        ]);
    }),
    case("CF-03", "a key that anybody could guess draws a warning", |_| {
        for (key, says) in [
            ("changeme", "key 1 is shorter than 16"),
            ("test", "key 1 is shorter than 16"),
            ("123", "key 1 is shorter than 16"),
            ("please-change-me-before-use", "key 1 looks like the placeholder"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "key 1 is made of few different"),
            ("KEY", ""),
        ] {
            warned(&[(&used(&format!("header = \"X-Key\"\nkeys = [\"{key}\"]")), says)]);
        }
    }),
    case("CF-04", "white space around a key", |_| {
        refused_in_plugin(&[
            ("keys = [\"KEY \"]", "has blanks at its ends"),
            ("keys = [\" KEY\"]", "has blanks at its ends"),
            ("keys = [\"KEY\\n\"]", "has blanks at its ends"),
            ("keys = [\"\"\"KEY\n\"\"\"]", "has blanks at its ends"),
        ]);
        let mut failures = Failures::new();
        for bytes in [format!(" {KEY}\n"), format!("{KEY} \n"), format!("{KEY}\t")] {
            let (_, output) = with_key_file(bytes.as_bytes());
            refusal(&mut failures, &bytes, &output, &["has blanks at its ends"]);
        }
        failures.report();
    }),
    case("CF-05", "what a file of keys may hold", a_file_of_keys),
    case("CF-06", "a file of keys that others may read draws a warning", |_| {
        let (folder, output) = with_key_file(KEY.as_bytes());
        assert!(!output.stderr.contains("warning"), "{output:?}");
        for (mode, exposed) in [(0o644, true), (0o640, true), (0o604, true), (0o400, false)] {
            set_mode(&folder.path().join("keys"), mode);
            let output = run(ENDS, folder.path(), &[("API_KEY_FILE", "keys")]);
            let says = output.stderr.contains("warning: other users of this machine can read");
            assert!(says == exposed, "{mode:o}: {output:?}");
        }
    }),
    case("CF-07", "the same key twice", |_| {
        refused_in_plugin(&[("keys = [\"KEY\", \"KEY\"]", "key 2 is the same as key 1")]);
    }),
    case("CF-08", "a key that no field can carry", |_| {
        refused_in_plugin(&[
            ("keys = [\"KEY\\rx\"]", "control character"),
            ("keys = [\"KEY\\nx\"]", "control character"),
            ("keys = [\"KEY\\u0000x\"]", "control character"),
            ("keys = [\"KEY\\u007fx\"]", "control character"),
            ("keys = [\"KEYé\"]", "beyond ASCII"),
        ]);
    }),
    case("CF-09", "a header and a query at once", |_| {
        refused_in_plugin(&[
            ("header = \"X-Key\"\nquery = \"key\"", "only one of header, query and sources"),
            ("header = \"X-Key\"\nsources = [\"bearer\"]", "only one of"),
        ]);
    }),
    case("CF-10", "neither a header nor a query", |_| {
        refused(&[("[plugins.key-auth-x]\nkeys = [\"KEY\"]\n", "nothing says where the key is")]);
    }),
    case("CF-11", "a header that cannot carry a key", |_| {
        refused_in_plugin(&[
            ("header = \"X API\"", "no header name"),
            ("header = \"X-Key:\"", "no header name"),
            ("header = \"\"", "no header name"),
            ("header = \":path\"", "no header name"),
            ("header = \"Host\"", "frames messages"),
            ("header = \"Content-Length\"", "frames messages"),
            ("header = \"transfer_encoding\"", "frames messages"),
            ("header = \"Connection\"", "frames messages"),
            ("header = \"X-Forwarded-For\"", "is deleted from every request"),
        ]);
    }),
    case("CF-12", "a header with an underscore draws a warning", |_| {
        let with = |name| used(&format!("header = \"{name}\"\nkeys = [\"KEY\"]"));
        warned(&[(&with("X_Key"), "drop a header with `_`"), (&with("X-Key"), "")]);
    }),
    case("CF-13", "a parameter whose name would have to be escaped", |_| {
        for name in ["a&b", "a=b", "a%62", "a#b", "a b", ""] {
            let text = format!("[plugins.key-auth-x]\nquery = \"{name}\"\nkeys = [\"KEY\"]\n");
            refused(&[(&text, "no name of a parameter")]);
        }
    }),
    case("CF-14", "a variable that is not set, a file of keys that is not there", |_| {
        refused_in_plugin(&[("keys = [\"${NOT_SET_ANYWHERE}\"]", "`NOT_SET_ANYWHERE` is not set")]);
        let arguments = ["serve", "--upstream", "127.0.0.1:9"];
        let output = run(&arguments, folder(&[]).path(), &[("API_KEY_FILE", "nowhere")]);
        refusal(&mut Failures::new(), "a file", &output, &["cannot read the file"]);
    }),
    case("CF-15", "an unknown plugin", |_| {
        let text = "[locations.x]\npath = \"/x\"\nupstream = \"app\"\nplugins = [\"keyauht\"]\n";
        refused(&[(text, "did you mean `key-auth`?")]);
    }),
    case("CF-16", "a plugin with a fault, in use or not", |_| {
        refused(&[
            (&used("header = \"X-Key\"\nkeys = [\"KEY\"]\ndelay = \"x\""), "expected a duration"),
            ("[plugins.key-auth-x]\nheader = \"X-Key\"\nkeys = 1\n", "expected a list"),
        ]);
    }),
    case("CF-17", "an unknown upstream, one without addresses", |_| {
        refused(&[
            (
                "[locations.x]\npath = \"/x\"\nupstream = \"ap\"\npublic = true\n",
                "did you mean `app`?",
            ),
            ("[upstreams.b]\n", "upstream `b` has no addresses"),
            ("[upstreams.b]\naddrs = []\n", "the list is empty"),
        ]);
    }),
    case("CF-18", "two locations for the same requests", |_| {
        refused_in_location(&[
            ("path = \"/\"", "the same host, path and a method in common"),
            ("path = \"/\"\nmethods = [\"GET\"]", "the same host, path and a method in common"),
        ]);
    }),
    case("CF-19", "a location that no request reaches draws a warning", |_| {
        let below = |regex: &str| {
            format!(
                "[locations.a]\npath = \"/api\"\nupstream = \"app\"\nplugins = [\"key-auth\"]\n\
                 [locations.b]\npath = \"{regex}\"\nupstream = \"app\"\npublic = true\n"
            )
        };
        warned(&[(&below("~^/api/v[12]/"), "no request reaches location `b`")]);
        let own = "[upstreams.app]\naddrs = [\"127.0.0.1:9\"]\n\
                   [plugins.key-auth]\nheader = \"X-Key\"\nkeys = [\"sha256:\
                   6cd45ced5c19a7ac8f44eeb01e5bbbf6f6ec9ad30a0bf4f5a3e2bb8e9a4e2a07\"]\n\
                   hide_credentials = true\n";
        for (regex, reached) in [
            ("~^/api/v[12]/", false),
            ("~^/api/", false),
            ("~^/api/?", true),
            ("~^/apis/", true),
            ("~^/api", true),
            ("~^/api/|^/x", true),
            ("~^/(api|x)/", true),
        ] {
            let text = format!("{own}{}", below(regex));
            let said = accepted(&[("config/x.toml", text.as_bytes())], &[]);
            assert_eq!(!said.contains("no request reaches"), reached, "{regex}\n{said}");
        }
    }),
    case("CF-20", "an unknown field, an unknown table", |_| {
        refused_in_plugin(&[("hide_credential = true", "did you mean `hide_credentials`?")]);
        refused(&[
            ("[plugin.key-auth]\nheader = \"X-Key\"\n", "did you mean `plugins`?"),
            ("[sever]\n", "did you mean `server`?"),
        ]);
    }),
    case("CF-21", "a value of another type", |_| {
        refused_in_plugin(&[
            ("keys = \"KEY\"", "expected a list, found a string"),
            ("delay = 200", "expected a duration with a unit"),
            ("delay = true", "expected a duration with a unit"),
            ("hide_credentials = \"yes\"", "expected a boolean"),
        ]);
    }),
    case("CF-22", "a delay that is none", |_| {
        refused_in_plugin(&[
            ("delay = \"200\"", "expected a duration with a unit"),
            ("delay = \"-1s\"", "expected a duration with a unit"),
            ("delay = \"1y\"", "a duration is 7 days at most"),
            ("delay = \"61s\"", "a delay is at most 60s"),
            ("delay = \"99999999999999999999s\"", "expected a duration with a unit"),
            ("delay = \"0\"", "expected a duration with a unit"),
            ("delay = \"0s\"", "longer than 0"),
        ]);
    }),
    case("CF-23", "what is no TOML, or TOML of an odd form", odd_files),
    case("CF-24", "an empty file, no location", |_| {
        let mut failures = Failures::new();
        for text in ["", "\n", "# nothing\n", "[server]\n", "[upstreams.a]\naddrs = [\"a:1\"]\n"] {
            let folder = folder(&[("config/x.toml", text.as_bytes())]);
            refused_in(&mut failures, folder.path(), text, &["there is no location"]);
        }
        failures.report();
    }),
    case("CF-25", "a location that is neither guarded nor public", |_| {
        let text = "[locations.x]\npath = \"/x\"\nupstream = \"app\"\n";
        let public = format!("{text}plugins = [\"key-auth\"]\npublic = true\n");
        refused(&[
            (text, "has no plugin that authenticates"),
            (&format!("{text}plugins = []\n"), "has no plugin that authenticates"),
            (&format!("{text}public = false\n"), "has no plugin that authenticates"),
            (&public, "is public and guarded by `key-auth` at once"),
        ]);
    }),
    case("CF-26", "production without a key", |_| {
        let mut failures = Failures::new();
        let none: [&[(&str, &str)]; 4] =
            [&[], &[("API_KEY", "")], &[("API_KEY", " ")], &[("ENVIRONMENT", "production")]];
        for env in none {
            let arguments = ["serve", "--upstream", "127.0.0.1:9"];
            let output = run(&arguments, folder(&[]).path(), env);
            let says = ["API_KEY must be set in production"];
            refusal(&mut failures, &format!("{env:?}"), &output, &says);
        }
        failures.report();
    }),
    case("CF-27", "keys in the query from other machines draw a warning", |_| {
        for (listen, source, says) in [
            ("0.0.0.0:1", "query = \"key\"", "a key in the query comes to 0.0.0.0:1 unencrypted"),
            ("[::]:1", "query = \"key\"", "a key in the query comes to [::]:1 unencrypted"),
            ("0.0.0.0:1", "sources = [\"bearer\", \"query:key\"]", "a key in the query comes to"),
            ("127.0.0.1:1", "query = \"key\"", ""),
            ("unix:/run/x.sock", "query = \"key\"", ""),
            ("0.0.0.0:1", "header = \"X-Key\"", ""),
        ] {
            let plugin = used(&format!("{source}\nkeys = [\"KEY\"]"));
            warned(&[(&format!("[server]\nlisten = \"{listen}\"\n{plugin}"), says)]);
        }
    }),
    case("CF-28", "an upstream with a password, a path, a query", |_| {
        let addrs = |url: &str| format!("[upstreams.b]\naddrs = [\"{url}\"]\n");
        refused(&[
            (&addrs("http://user:KEY@a:1"), "no user and no password"),
            (&addrs("http://a:1/path"), "holds no path"),
            (&addrs("http://a:1?q=KEY"), "an address holds"),
        ]);
    }),
    case("CF-29", "a path that no request could match", |_| {
        refused_in_location(&[
            ("path = \"x\"", "a path begins with"),
            ("path = \"/a/../b\"", "servers differ on how they read this path"),
            ("path = \"/a//b\"", "servers differ on how they read this path"),
            ("path = \"/a%2fb\"", "write \"/\" as it is"),
            ("path = \"/a%\"", "two hexadecimal digits"),
            ("path = \"/a?b\"", "a path ends before"),
            ("path = \"/a#b\"", "a path ends before"),
            ("path = \"/a \"", "a path holds no blanks"),
            ("path = \"\"", "the path is empty"),
        ]);
    }),
    case("CF-30", "a regex that is none, too large, slow, or fits anywhere", regexes),
    case("CF-31", "a host in another form", |stand| {
        refused_in_location(&[
            ("host = \"http://a.test\"", "a host has no scheme"),
            ("host = \"a.test:80\"", "a host has no port"),
            ("host = \"a.test/x\"", "a host has no path"),
            ("host = \"\"", "the host is empty"),
            ("host = \"a..test\"", "not a host name"),
            ("host = \"ä.test\"", "a host holds ASCII only"),
        ]);
        stand.config(
            "[plugins.kh]\ncategory = \"key-auth\"\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\n\
             hide_credentials = true\n[locations.hdr]\npath = \"/api/v1\"\nhost = \"A.Test.\"\n\
             upstream = \"rec\"\nplugins = [\"kh\"]\n",
        );
        stand.get("X-API-Key: K1\r\n", Then::Forwarded("/api/v1/x"));
    }),
    case("CF-32", "a timeout of nothing; each is finite when nothing is said", |_| {
        refused(&[
            ("[server]\nclient_header_timeout = \"0s\"\n", "longer than 0"),
            ("[server]\nkeepalive_timeout = 0\n", "expected a duration with a unit"),
            ("[server]\nshutdown_timeout = \"8 days\"\n", "7 days at most"),
            ("[upstreams.b]\naddrs = [\"a:1\"]\nresponse_timeout = \"0ms\"\n", "longer than 0"),
        ]);
    }),
    case("CF-33", "trusting every client draws a warning", |_| {
        let trusting = |networks: &str| format!("[server]\ntrusted_proxies = [{networks}]\n");
        warned(&[
            (&trusting("\"0.0.0.0/0\""), "every client is a trusted proxy"),
            (&trusting("\"10.0.0.0/8\", \"::/0\""), "every client is a trusted proxy"),
            (&trusting("\"10.0.0.0/8\""), ""),
        ]);
    }),
    case("CF-34", "certificates and their keys", |_| {
        tls::a_pair_that_cannot_be_used_is_an_error_with_its_place();
        tls::files_that_are_not_there_are_all_named_at_once();
    }),
    case("CF-35", "a configuration that is not there; there are no includes", |_| {
        let mut failures = Failures::new();
        let empty = folder(&[]);
        refused_in(&mut failures, empty.path(), "nothing", &["there is no such file or folder"]);
        symlink("config", empty.path().join("config")).expect("the folder is ours");
        refused_in(&mut failures, empty.path(), "a circle of links", &["cannot read"]);
        let other = folder(&[("config/x.txt", b""), ("config/below/x.toml", b"")]);
        refused_in(&mut failures, other.path(), "no TOML", &["there is no *.toml file"]);
        let folders = folder(&[("config/x.toml/x.toml", b"")]);
        refused_in(&mut failures, folders.path(), "a folder", &["this is a folder, not a file"]);
        let dangling = folder(&[("config/base.toml", BASE.as_bytes())]);
        symlink("nowhere", dangling.path().join("config/x.toml")).expect("the folder is ours");
        refused_in(&mut failures, dangling.path(), "a link", &["cannot read the file"]);
        failures.report();
    }),
    case("CF-36", "a variable that is almost keygate's draws a warning", |_| {
        let files: [(&str, &[u8]); 1] = [("config/x.toml", BASE.as_bytes())];
        let said = accepted(&files, &[("KEYGATE_LISTN", "a:1"), ("KEYGATE_CONFG", "x")]);
        for name in ["LISTEN", "CONFIG"] {
            assert!(said.contains(&format!("did you mean `KEYGATE_{name}`?")), "{said}");
        }
        // As Kubernetes sets them for a service of this name.
        let service = [("KEYGATE_PORT", "tcp://10.0.0.1:80"), ("KEYGATE_SERVICE_HOST", "10.0.0.1")];
        assert!(!accepted(&files, &service).contains("warning"));
    }),
    case("CF-37", "keys in a configuration that others may read draw a warning", exposed_keys),
    case("CF-38", "`check` says who guards what, and no key", |_| {
        let files: [(&str, &[u8]); 1] = [("config/x.toml", BASE.as_bytes())];
        let said = accepted(&files, &[]);
        let row: Vec<_> = said.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        assert_eq!(row, ["app", "any", "any", "/", "key-auth", "app"]);
        assert!(!said.contains("pz7Qm2Vx"), "{said}");
    }),
    case("CF-39", "the command line", |_| {
        let folder = folder(&[]);
        let mut failures = Failures::new();
        for (arguments, code) in [
            (&["serve", "--nonsense"][..], 2),
            (&["nonsense"], 2),
            (&["serve", "--config"], 2),
            (&["serve", "--config", "a", "--config", "b"], 2),
            (&["serve", "--config", "a", "--upstream", "b:1"], 2),
            (&["serve", "--header", "A", "--query", "b", "--upstream", "b:1"], 2),
            (&["--help"], 0),
            (&["--version"], 0),
        ] {
            let output = run(arguments, folder.path(), &[]);
            let untouched = fs::read_dir(folder.path()).expect("it is there").next().is_none();
            let right = output.code == Some(code) && untouched;
            failures.row(right, || format!("{arguments:?}: {output:?}"));
        }
        failures.report();
    }),
    case("CF-40", "two gates share an address, as an upgrade needs", |stand| {
        stand.get("X-API-Key: K1\r\n", Then::Forwarded("/api/v1/x"));
        let address = stand.gate().address;
        let server = format!("[server]\nlisten = \"{address}\"\n");
        let second = Gate::with(&[("base.toml", BASE), ("server.toml", &server)]);
        assert_eq!(second.address, address);
    }),
];

fn a_file_of_keys(_: &mut Stand) {
    let mut failures = Failures::new();
    let long = "x".repeat(1 << 20);
    for (bytes, says) in [
        (format!("{KEY}\n"), ""),
        (KEY.to_owned(), ""),
        (format!("{KEY}\r\n{K1}\r\n"), ""),
        (format!("\u{feff}{KEY}\n"), ""),
        (String::new(), "API_KEY must be set in production"),
        ("\n \n".to_owned(), "API_KEY must be set in production"),
        (long, "is longer than 4096 bytes"),
        (format!("{KEY}\0"), "control character"),
        (format!("{KEY}\n{KEY}\n"), "key 2 is the same as key 1"),
    ] {
        let what: String = bytes.chars().take(80).collect();
        let (_, output) = with_key_file(bytes.as_bytes());
        let code = if says.is_empty() { 3 } else { 1 };
        let right = output.code == Some(code) && output.stderr.contains(says);
        failures.row(right && !output.stderr.contains(KEY), || format!("{what:?}: {output:?}"));
    }
    let (_, output) = with_key_file(&[KEY.as_bytes(), b"\xff\n"].concat());
    refusal(&mut failures, "no UTF-8", &output, &["the file is not UTF-8"]);
    failures.report();
}

fn odd_files(_: &mut Stand) {
    let balanced = [
        format!("a = {}1{}\n", "[".repeat(10_000), "]".repeat(10_000)),
        format!("a = {}1{}\n", "{a = ".repeat(10_000), "}".repeat(10_000)),
    ];
    let open = ["[", "a.", "a = [", "a = { b = "].map(|text| text.repeat(20_000));
    let deep: Vec<_> = open.iter().chain(&balanced).map(|text| (&**text, "not TOML")).collect();
    refused(&deep);
    refused(&[("[server]\nworkers = 1\nworkers = 2\n", "duplicate key")]);
    let mut failures = Failures::new();
    let files: [(&str, &[u8]); 2] =
        [("config/base.toml", BASE.as_bytes()), ("config/x.toml", b"[server]\n# \xff\n")];
    refused_in(&mut failures, folder(&files).path(), "no UTF-8", &["not UTF-8"]);
    let large = folder(&[("config/base.toml", BASE.as_bytes())]);
    let file = File::create(large.path().join("config/x.toml")).expect("the folder is ours");
    file.set_len(65 << 20).expect("a sparse file takes no room");
    refused_in(&mut failures, large.path(), "a large file", &["longer than 64 MiB"]);
    failures.report();
    for text in [format!("\u{feff}{BASE}"), BASE.replace('\n', "\r\n")] {
        accepted(&[("config/x.toml", text.as_bytes())], &[]);
    }
}

fn regexes(stand: &mut Stand) {
    refused_in_location(&[
        ("path = \"~(\"", "the regex does not compile"),
        ("path = \"~\"", "the regex is empty"),
        ("path = \"~^/(?!a)\"", "the regex does not compile"),
        ("path = \"~^/((a{100}){100}){100}\"", "the regex does not compile"),
    ]);
    let public = |path: &str| {
        format!("[locations.x]\npath = '{path}'\nhost = \"b\"\nupstream = \"app\"\npublic = true\n")
    };
    let anywhere = "the regex of location `x` fits in a path wherever it stands";
    warned(&[
        (&public("~admin"), anywhere),
        (&public("~(?i)admin"), anywhere),
        (&public("~(^/admin)?"), anywhere),
        (&public("~^/admin"), ""),
        (&public("~(?i)^/admin"), ""),
        (&public(r"~\A/admin"), ""),
    ]);
    stand.config(
        "[plugins.kh]\ncategory = \"key-auth\"\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\n\
         hide_credentials = true\n[locations.hdr]\npath = \"~^/(a+)+$\"\nupstream = \"rec\"\n\
         plugins = [\"kh\"]\n",
    );
    stand.probe("GET /a HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n");
    // With backtracking this would take longer than the world is old.
    stand.target(format!("/{}b", "a".repeat(20_000)), Then::Refused(&[404]));
}

fn exposed_keys(_: &mut Stand) {
    let says = "warning: other users of this machine can read the keys in this file";
    let digest = "sha256:6cd45ced5c19a7ac8f44eeb01e5bbbf6f6ec9ad30a0bf4f5a3e2bb8e9a4e2a07";
    let keys = |keys: &str| BASE.replace("\"pz7Qm2Vx9Lk4Rt6Wn8Yb3Hd5Jf1Gs0Ac\"", keys);
    let plain = format!("\"{digest}\", \"{KEY}\"");
    let mut failures = Failures::new();
    for (mode, keys, exposed) in [
        (0o600, keys(&plain), false),
        (0o400, keys(&plain), false),
        (0o644, keys(&plain), true),
        (0o640, keys(&plain), true),
        (0o604, keys(&plain), true),
        (0o644, keys(&format!("\"{digest}\"")), false),
        (0o644, keys("\"${SECRET}\""), false),
        (0o644, keys(&format!("\"${{SECRET}}\", \"{K1}\"")), true),
    ] {
        let folder = folder(&[("config/x.toml", keys.as_bytes())]);
        set_mode(&folder.path().join("config/x.toml"), mode);
        let arguments = ["check", "--config", "config"];
        let output = run(&arguments, folder.path(), &[("SECRET", KEY)]);
        let right = output.code == Some(0) && output.stdout.contains(says) == exposed;
        failures.row(right, || format!("{mode:o}: {output:?}"));
    }
    failures.report();
    let gate = Gate::on(BASE);
    gate.stderr.wait_for("the warning", |line| line.contains(&says["warning: ".len()..]));
}
