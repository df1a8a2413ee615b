//! What is accepted, the table that says who guards what, and what draws a warning.

use super::{BASE, check, folder};
use crate::support::run;

/// Checks files as `x.toml` beside what a configuration needs.
#[track_caller]
fn accepted(text: &str) -> String {
    let output = check(&[("base.toml", BASE), ("x.toml", text)], &[("A_PORT", "8081")]);
    assert!(output.code == Some(0) && output.stderr.is_empty(), "{text}\n{output:?}");
    output.stdout
}

#[test]
fn every_field_in_every_form() {
    for text in [
        "",
        "[server]\n",
        "[server]\nlisten = \"[::1]:8080\"\n",
        "[server]\nlisten = [\"127.0.0.1:0\", \"unix:/run/keygate.sock\"]\n",
        "[server]\nlisten = \"127.0.0.1:${A_PORT}\"\nworkers = 0\nmax_connections = 100\n",
        "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"127.0.0.1\", \"::1\", \"fd00::/8\", \"unix\"]\n",
        "[server]\nclient_header_timeout = \"10s\"\nclient_body_timeout = \"1m 30s\"\n",
        "[server]\nkeepalive_timeout = \"75s\"\nshutdown_timeout = \"7days\"\n",
        "[server]\nmax_header_size = \"8KiB\"\n",
        "[server]\nmax_header_size = \"1 MiB\"\n",
        "[server]\nmax_header_size = \"64k\"\n",
        "server = { listen = \"127.0.0.1:1\" }\n",
        "server.listen = \"127.0.0.1:1\"\nserver.workers = 2\n",
        "[log]\nformat = \"json\"\naccess = false\n",
    ] {
        accepted(text);
    }
}

#[test]
fn upstreams_and_locations_in_every_form() {
    let upstream = |text: &str| {
        accepted(&format!(
            "[upstreams.b]\n{text}\n[locations.b]\npath = \"/b\"\nupstream = \"b\"\npublic = true\n"
        ));
    };
    upstream("addrs = [\"app:8000\"]");
    upstream("addrs = \"127.0.0.1:8000\"");
    upstream(
        "addrs = [\"127.0.0.1:8000\", \"127.0.0.1:8001 2\", \"[::1]:8000\", \"unix:/run/a.sock 3\"]",
    );
    upstream("addrs = [\"http://my_app.local:8000\", \"http://app\", \"http://app:81/\"]");
    upstream("addrs = [\"a:1\"]\nbalance = \"least-conn\"\nprotocol = \"h1\"\nmax_idle = 0");
    upstream("addrs = [\"a:1\"]\nhost = \"upstream\"\nconnect_timeout = \"1ms\"");
    upstream("addrs = [\"a:1\"]\nhost = \"api.example.com:8443\"\nread_timeout = \"1day\"");
    let location = |text: &str| {
        accepted(&format!("[locations.b]\nupstream = \"app\"\n{text}\n"));
    };
    location("path = \"/b/\"\nplugins = [\"key-auth\"]");
    location("path = \"=/b\"\npublic = true");
    location("path = \"~^/b/[0-9]+$\"\npublic = true");
    location("path = '~^/b\\.(js|css)$'\npublic = true");
    location("path = \"/b\"\npublic = false\nplugins = [\"key-auth\"]");
    location("path = \"/\"\nhost = \"a.example, *.b.example\"\npublic = true");
    location("path = \"/b\"\nmethods = [\"GET\", \"HEAD\", \"PROPFIND\"]\npublic = true");
    location("path = \"/b\"\nclient_max_body_size = \"10MiB\"\nmax_processing = 1\npublic = true");
}

#[test]
fn a_kind_is_named_by_its_plugin_or_by_category() {
    for name in ["key_auth_2", "key-auth.b", "key-auth-header", "KEY", "\"a name\""] {
        let category = if name.starts_with("key") { "" } else { "category = \"key_auth\"\n" };
        accepted(&format!(
            "[plugins.{}]\n{category}header = \"X-Key\"\nkeys = [\"another-key-of-no-interest\"]\n\
             hide_credentials = true\n[locations.b]\npath = \"/b\"\nupstream = \"app\"\nplugins = [{}]\n",
            if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() },
            if name.starts_with('"') { name.to_owned() } else { format!("\"{name}\"") },
        ));
    }
}

#[test]
fn what_differs_in_host_or_method_does_not_conflict() {
    for (first, second) in [
        ("host = \"a.example\"", "host = \"b.example\""),
        ("host = \"a.example\"", ""),
        ("host = \"a.example\"", "host = \"*.example\""),
        ("methods = [\"GET\"]", "methods = [\"POST\"]"),
    ] {
        accepted(&format!(
            "[locations.b]\npath = \"/b\"\nupstream = \"app\"\npublic = true\n{first}\n\
             [locations.c]\npath = \"/b\"\nupstream = \"app\"\npublic = true\n{second}\n"
        ));
    }
}

#[test]
fn the_table_says_who_guards_what() {
    let table = accepted(
        "[locations.docs]\npath = \"=/docs\"\nhost = \"a.example\"\nmethods = [\"GET\", \"HEAD\"]\n\
         upstream = \"app\"\npublic = true\n",
    );
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows,
        [
            vec!["LOCATION", "HOST", "METHODS", "PATH", "GUARDED", "BY", "UPSTREAM"],
            vec!["app", "any", "any", "/", "key-auth", "app"],
            vec!["docs", "a.example", "GET,HEAD", "=/docs", "PUBLIC", "app"],
        ]
    );
}

#[test]
fn check_says_of_upstreams_what_is_more_than_an_address() {
    let of_upstreams = |more: &str| {
        let table = accepted(more);
        let (_, below) = table.split_once("UPSTREAM  ADDRESSES").unwrap_or_default();
        let rows = below.lines().skip(1).take_while(|line| !line.is_empty());
        rows.map(|row| row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .map(|cells: Vec<_>| cells.join("; "))
            .collect::<Vec<_>>()
    };
    let used = "[locations.b]\npath = \"/b\"\nupstream = \"b\"\npublic = true\n[upstreams.b]\n";
    let b = |lines: &str| of_upstreams(&format!("{used}{lines}")).pop().unwrap_or_default();
    assert!(of_upstreams("").is_empty());
    assert_eq!(b("addrs = \"a:1\""), "");
    assert_eq!(
        b("addrs = [\"a:1\", \"unix:/b 3\"]\nbalance = \"least-conn\""),
        "b; a:1, unix:/b 3; least-conn; not checked; any number"
    );
    assert_eq!(
        b(
            "addrs = \"[::1]:1\"\nhealth = { path = \"/up\", interval = \"90s\" }\nmax_connections = 5"
        ),
        "b; [::1]:1; round-robin; /up every 1m 30s; 5, then 1000 wait for 30s"
    );
    assert_eq!(
        b("addrs = \"a:1\"\nmax_connections = 5\nmax_queue = 0"),
        "b; a:1; round-robin; not checked; 5"
    );
}

#[test]
fn what_is_allowed_but_odd_draws_a_warning() {
    let other = "header = \"X-Key\"\nkeys = [\"another-key-of-no-interest\"]";
    for (text, warning) in [
        (
            "[server]\ntrusted_proxies = [\"0.0.0.0/0\"]\n".to_owned(),
            "every client is a trusted proxy",
        ),
        ("[server]\ntrusted_proxies = [\"::/0\"]\n".to_owned(), "every client is a trusted proxy"),
        (
            "[locations.r]\npath = \"~^/r\"\nupstream = \"app\"\npublic = true\n".to_owned(),
            "no request reaches location `r`",
        ),
        ("[server]\nmax_connections = 9999999\n".to_owned(), "the file-descriptor limit allows"),
        ("[upstreams.b]\naddrs = [\"a:1\"]\n".to_owned(), "no location uses upstream `b`"),
        (
            format!("[plugins.key-auth-b]\n{other}\nhide_credentials = true\n"),
            "no location uses plugin `key-auth-b`",
        ),
        (
            format!(
                "[plugins.key-auth-b]\n{other}\n[locations.b]\npath = \"/b\"\nupstream = \"app\"\n\
                 plugins = [\"key-auth-b\"]\n"
            ),
            "the key is forwarded to the upstream",
        ),
    ] {
        let stdout = accepted(&text);
        assert!(stdout.contains(&format!("\nwarning: {warning}")), "{text}\n{stdout}");
        assert!(stdout.contains(" --> config/x.toml:"), "{text}\n{stdout}");
    }
    let open = "[upstreams.app]\naddrs = [\"a:1\"]\n\
                [locations.app]\npath = \"/\"\nupstream = \"app\"\npublic = true\n";
    let output = check(&[("x.toml", open)], &[]);
    assert!(output.stdout.contains("warning: no location is guarded"), "{output:?}");
    assert!(!accepted("").contains("warning"));
}

#[test]
fn the_shipped_configuration_needs_a_key_and_nothing_else() {
    // A folder of its own: whoever works on keygate may have a .env beside the shipped one.
    let folder = folder(&[
        ("config/keygate.toml", include_bytes!("../../../config/keygate.toml")),
        ("config/plugins.key-auth.toml", include_bytes!("../../../config/plugins.key-auth.toml")),
    ]);
    let root = folder.path();
    let key = ("API_KEY", "an-api-key-of-no-interest-at-all");
    let output = run(&["check"], root, &[key]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
    assert!(!output.stdout.contains("warning"), "{output:?}");
    let output = run(&["check"], root, &[]);
    let place = "config/plugins.key-auth.toml:4:10\n";
    assert!(output.code == Some(1) && output.stderr.contains(place), "{output:?}");
    assert!(output.stderr.contains("the environment variable `API_KEY` is not set"), "{output:?}");
    let output = run(&["check"], root, &[("API_KEY", "")]);
    assert_eq!(output.code, Some(1), "{output:?}");
}
