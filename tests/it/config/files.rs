//! Files and folders: how they are found, read and merged, and that everything is said at once.

use std::fs;
use std::os::unix::fs::symlink;

use super::{BASE, check, check_in, folder};
use crate::support::run;

const PLUGIN: &str =
    "header = \"X-API-Key\"\nkeys = [\"a-key-of-no-interest-at-all\"]\nhide_credentials = true\n";
const UPSTREAM: &str = "[upstreams.app]\naddrs = [\"127.0.0.1:8000\"]\n";
const LOCATION: &str =
    "[locations.app]\npath = \"/\"\nupstream = \"app\"\nplugins = [\"key-auth\"]\n";

#[track_caller]
fn accepts(files: &[(&str, &[u8])]) {
    let output = check_in(folder(files).path(), &[]);
    assert!(output.code == Some(0) && output.stderr.is_empty(), "{files:?}\n{output:?}");
}

/// Each of `parts` is in the output.
#[track_caller]
fn refuses(files: &[(&str, &[u8])], parts: &[&str]) {
    let output = check_in(folder(files).path(), &[]);
    assert_eq!(output.code, Some(1), "{output:?}");
    for part in parts {
        assert!(output.stderr.contains(part), "no {part:?} in:\n{}", output.stderr);
    }
}

#[test]
fn tables_may_stand_in_any_file() {
    let both = format!("{LOCATION}{UPSTREAM}");
    let all = [
        ("config/a.toml", UPSTREAM.as_bytes()),
        ("config/b.toml", LOCATION.as_bytes()),
        ("config/plugins.key-auth.toml", PLUGIN.as_bytes()),
        ("config/server.toml", b"[server]\nlisten = \"127.0.0.1:0\"\n"),
    ];
    accepts(&all);
    accepts(&[("config/a.toml", both.as_bytes()), all[2]]);
    accepts(&[("config", BASE.as_bytes())]);
}

#[test]
fn what_is_no_file_of_the_folder_is_left_alone() {
    let wrong = b"[wrong".as_slice();
    accepts(&[
        ("config/a.toml", BASE.as_bytes()),
        ("config/.hidden.toml", wrong),
        ("config/..data/b.toml", wrong),
        ("config/below/c.toml", wrong),
        ("config/d.toml.bak", wrong),
        ("config/README.md", wrong),
        ("config/toml", wrong),
    ]);
}

#[test]
fn a_mounted_config_map_is_read_through_its_links() {
    let folder = folder(&[("config/..2026/a.toml", BASE.as_bytes())]);
    let config = folder.path().join("config");
    symlink("..2026", config.join("..data")).expect("a link can be made");
    symlink("..data/a.toml", config.join("a.toml")).expect("a link can be made");
    let output = check_in(folder.path(), &[]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
}

#[test]
fn line_ends_and_a_byte_order_mark_do_not_matter() {
    let windows = format!("\u{feff}{}", BASE.replace('\n', "\r\n"));
    accepts(&[("config/a.toml", windows.as_bytes())]);
    let wrong = "\u{feff}[server]\r\nworkers = \"x\"\r\n";
    let parts = ["--> config/b.toml:2:11\n", "2 | workers = \"***\"\n"];
    refuses(&[("config/a.toml", BASE.as_bytes()), ("config/b.toml", wrong.as_bytes())], &parts);
}

#[test]
fn columns_are_characters() {
    let text = "[locations.\"größe\"]\npath = \"/ü\"\nupstream = \"app\"\npublic = 1\n\
                [locations.b]\n\"ß\" = 1\n";
    let parts = ["x.toml:2:8\n", "2 | path = \"/ü\"\n  |        ^^^^\n", "x.toml:6:1\n"];
    refuses(&[("config/a.toml", BASE.as_bytes()), ("config/x.toml", text.as_bytes())], &parts);
}

#[test]
fn what_cannot_be_read_is_named() {
    let base = ("config/a.toml", BASE.as_bytes());
    refuses(
        &[("other", b"")],
        &["there is no such file or folder", "--> config\n", "--config PATH"],
    );
    refuses(&[("config/x.txt", b"")], &["there is no *.toml file in this folder", "--> config\n"]);
    let parts = ["the file is not UTF-8 from here on", "--> config/b.toml:2:5\n"];
    refuses(&[base, ("config/b.toml", b"[log]\n# a \xff\n")], &parts);
    let parts = ["this is a folder, not a file", "--> config/b.toml\n"];
    refuses(&[base, ("config/b.toml/c", b"")], &parts);
    let linked = folder(&[base]);
    symlink("nowhere", linked.path().join("config/b.toml")).expect("a link can be made");
    let output = check_in(linked.path(), &[]);
    assert!(output.stderr.contains("cannot read the file: "), "{output:?}");
    assert!(output.stderr.contains("--> config/b.toml\n"), "{output:?}");
}

#[test]
fn an_empty_configuration_has_no_location() {
    refuses(&[("config/a.toml", b"")], &["there is no location", "[locations.NAME]"]);
    refuses(&[("config", b"")], &["there is no location"]);
    refuses(&[("config/a.toml", UPSTREAM.as_bytes())], &["there is no location"]);
}

#[test]
fn the_same_table_twice_names_both_places() {
    let base = ("config/a.toml", BASE.as_bytes());
    let parts =
        ["`[plugins.key-auth]` is there twice", "config/a.toml:5:10", "plugins.key-auth.toml\n"];
    refuses(&[base, ("config/plugins.key-auth.toml", PLUGIN.as_bytes())], &parts);
    let parts =
        ["`[server]` is there twice", "--> config/c.toml:1:2", "the first is at config/b.toml:1:2"];
    refuses(&[base, ("config/b.toml", b"[server]\n"), ("config/c.toml", b"[server]\n")], &parts);
}

#[test]
fn a_plugin_in_its_own_file_has_no_header() {
    let text = format!("[plugins.key-auth]\n{PLUGIN}");
    let other = format!("{UPSTREAM}{LOCATION}");
    let parts = ["--> config/plugins.key-auth.toml:1:2\n", "leave out `[plugins.key-auth]`"];
    let files =
        [("config/a.toml", other.as_bytes()), ("config/plugins.key-auth.toml", text.as_bytes())];
    refuses(&files, &parts);
    let output = check_in(folder(&files).path(), &[]);
    assert!(output.stderr.contains("\n1 error in the configuration"), "{output:?}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let output = check(
        &[
            (
                "a.toml",
                "[server]\nlisten = \"x\"\nworkers = -1\nlisten2 = 1\nkeepalive_timeout = 5\n",
            ),
            ("b.toml", "[upstreams.app]\naddrs = [\"a\", \"b:1\", \"c\"]\nbalance = \"x\"\n"),
            (
                "c.toml",
                "[locations.a]\npath = \"x\"\nupstream = \"ap\"\nplugins = [\"no\"]\n[locations.b]\n",
            ),
            (
                "plugins.key-auth.toml",
                "header = 5\nkyes = []\nerrors = { format = 1, mising = 2 }\n",
            ),
        ],
        &[],
    );
    for place in [
        "a.toml:2:10",
        "a.toml:3:11",
        "a.toml:4:1",
        "a.toml:5:21",
        "b.toml:2:10",
        "b.toml:2:22",
        "b.toml:3:11",
        "c.toml:2:8",
        "c.toml:3:12",
        "c.toml:4:12",
        "c.toml:5:12",
        "plugins.key-auth.toml:1:10",
        "plugins.key-auth.toml:2:1",
        "plugins.key-auth.toml:3:21",
        "plugins.key-auth.toml:3:24",
    ] {
        assert!(output.stderr.contains(&format!("--> config/{place}\n")), "{place}\n{output:?}");
    }
    assert!(output.stderr.ends_with("\n16 errors in the configuration\n"), "{}", output.stderr);
}

#[test]
fn a_broken_file_does_not_hide_what_is_wrong_elsewhere() {
    let output = check(
        &[
            ("a.toml", "[server]\nworkers = -1\n\n[upstreams.app]\naddrs = [\"a:1\"\n"),
            ("b.toml", "[log]\naccess = 1\n"),
            ("c.toml", LOCATION),
        ],
        &[],
    );
    for place in ["a.toml:2:11", "b.toml:2:10"] {
        assert!(output.stderr.contains(&format!("--> config/{place}\n")), "{place}\n{output:?}");
    }
    assert!(output.stderr.contains("not TOML: unclosed array"), "{}", output.stderr);
    // What the broken file would have held may be all that the others refer to.
    assert!(!output.stderr.contains("unknown"), "{}", output.stderr);
    assert!(output.stderr.ends_with("\n3 errors in the configuration\n"), "{}", output.stderr);
}

#[test]
fn serve_refuses_with_the_words_of_check() {
    let files = [("config/a.toml", BASE.as_bytes()), ("config/b.toml", b"[sever]\n".as_slice())];
    let folder = folder(&files);
    let check = run(&["check", "--config", "config"], folder.path(), &[]);
    let serve = run(&["serve", "--config", "config"], folder.path(), &[]);
    assert_eq!((check.code, &check.stderr), (serve.code, &serve.stderr));
}

#[test]
fn the_environment_wins_over_dotenv() {
    let base = BASE.replace("\"pz7Qm2Vx9Lk4Rt6Wn8Yb3Hd5Jf1Gs0Ac\"", "\"${THE_KEY}\"");
    let listen = "[server]\nlisten = \"127.0.0.1:${THE_PORT}\"\n";
    let files: [(&str, &[u8]); 3] = [
        (".env", b"THE_KEY='a$key of no interest'\nTHE_PORT=high\n"),
        ("config/a.toml", base.as_bytes()),
        ("config/b.toml", listen.as_bytes()),
    ];
    let folder = folder(&files);
    let output = check_in(folder.path(), &[("THE_PORT", "80")]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let output = check_in(folder.path(), &[]);
    assert!(output.code == Some(1) && output.stderr.contains("b.toml:2:10\n"), "{output:?}");
    fs::write(folder.path().join(".env"), "THE_KEY='x\n").expect("a file can be written");
    let output = check_in(folder.path(), &[]);
    assert!(output.code == Some(1) && output.stderr.contains("--> .env\n"), "{output:?}");
}

#[test]
fn a_literal_dollar_and_brace_can_be_written() {
    let text = "[locations.x]\npath = '~^/a$${b}?$'\nupstream = \"app\"\npublic = true\n";
    let output = check(&[("a.toml", BASE), ("x.toml", text)], &[]);
    assert!(output.stderr.contains("the regex does not compile"), "{output:?}");
    assert!(!output.stderr.contains("environment variable"), "{output:?}");
}
