//! What a plan takes over from the one that it replaces, and what it is made of.

use std::path::Path;
use std::sync::Arc;

use http::Method;

use super::{Plan, compile};
use crate::config::{self, Environment};
use crate::route::Choice;

const BASE: &str = r#"
[upstreams.app]
addrs = ["127.0.0.1:8000"]

[plugins.key-auth]
header = "X-API-Key"
keys = ["a-key-of-no-interest-at-all"]

[plugins.key-auth-query]
query = "key"
keys = ["a-key-of-no-interest-at-all"]

[locations.app]
path = "/"
upstream = "app"
plugins = ["key-auth"]
max_processing = 5
"#;

fn plan(text: &str, previous: Option<&Plan>) -> Plan {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("keygate.toml");
    std::fs::write(&path, text).expect("a file can be written");
    plan_of(&path, previous)
}

#[track_caller]
fn plan_of(path: &Path, previous: Option<&Plan>) -> Plan {
    let config = config::load(path, &Environment::default()).expect("it is TOML");
    compile(&config, previous).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn what_has_not_changed_is_taken_over() {
    let old = plan(BASE, None);
    let new = plan(&format!("[log]\naccess = false\n{BASE}"), Some(&old));
    assert!(Arc::ptr_eq(&old.upstreams[0], &new.upstreams[0]));
    let in_flight = |plan: &Plan| plan.locations[0].max_processing.clone().expect("it is set");
    assert!(Arc::ptr_eq(&in_flight(&old), &in_flight(&new)));
    assert!(!new.log.access);
}

#[test]
fn what_has_changed_begins_anew() {
    let old = plan(BASE, None);
    let new = plan(&BASE.replace(":8000", ":8001").replace("= 5", "= 6"), Some(&old));
    assert!(!Arc::ptr_eq(&old.upstreams[0], &new.upstreams[0]));
    assert_eq!(new.locations[0].max_processing.as_ref().expect("it is set").max, 6);
    let renamed = plan(&BASE.replace("[locations.app]", "[locations.other]"), Some(&old));
    let (Some(a), Some(b)) =
        (&old.locations[0].max_processing, &renamed.locations[0].max_processing)
    else {
        panic!("both are set");
    };
    assert!(!Arc::ptr_eq(a, b));
}

#[test]
fn what_only_a_restart_can_change_is_named() {
    let server = |text: &str| plan(&format!("[server]\n{text}\n{BASE}"), None);
    let old = server("workers = 1");
    assert_eq!(server("workers = 1").needs_restart(&old), [""; 0]);
    let new = server("workers = 2\nlisten = \"127.0.0.1:1\"");
    assert_eq!(new.needs_restart(&old), ["listen", "workers"]);
}

#[test]
fn every_place_of_a_credential_is_known_to_the_plan() {
    let text = format!(
        "{BASE}\n[locations.q]\npath = \"/q\"\nupstream = \"app\"\nplugins = [\"key-auth-query\"]\n"
    );
    let plan = plan(&text, None);
    assert_eq!(plan.credential_headers, ["x-api-key"]);
    assert_eq!(plan.credential_names, [b"key".to_vec(), b"x-api-key".to_vec()]);
}

#[test]
fn locations_keep_the_order_of_the_files() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let location = |name: &str, path: &str| {
        format!("[locations.{name}]\npath = \"{path}\"\nupstream = \"app\"\npublic = true\n")
    };
    let last = location("z", "~^/a") + &location("a", "~^/ab");
    let base = BASE.replace("path = \"/\"", "path = \"/app\"");
    for (name, text) in [("1.toml", &base), ("2.toml", &last), ("0.toml", &location("m", "~^/abc"))]
    {
        std::fs::write(folder.path().join(name), text).expect("a file can be written");
    }
    let plan = plan_of(folder.path(), None);
    let names: Vec<_> = plan.locations.iter().map(|location| &*location.name).collect();
    assert_eq!(names, ["m", "app", "z", "a"]);
    // The first regex that matches wins, and an index of the router is one of the locations.
    let chosen = |path: &str| match plan.router.choose(&Method::GET, None, path) {
        Choice::Location { index, .. } => &*plan.locations[index].name,
        other => panic!("{other:?}"),
    };
    assert_eq!([chosen("/abc"), chosen("/ab")], ["m", "z"]);
}

#[test]
fn zero_means_what_the_machine_allows() {
    let plan = plan(BASE, None);
    assert!(plan.workers >= 1);
    assert!(plan.server.max_connections >= 16);
}

#[test]
fn more_connections_than_the_machine_allows_are_doubtful_and_so_are_few() {
    const FEW: usize = super::connections::FEW;
    for (number, allowed, expected) in [
        (FEW, FEW, None),
        (1, FEW, None),
        (FEW + 1, FEW, Some("not")),
        (FEW - 1, FEW - 1, Some("only")),
        (FEW, FEW - 1, Some("not")),
    ] {
        let doubt = super::compile::doubt(number, allowed);
        let says = |word| doubt.as_ref().is_some_and(|doubt| doubt.contains(word));
        assert!(expected.map_or(doubt.is_none(), says), "{number} of {allowed}: {doubt:?}");
    }
}

/// What is wrong with the base and these tables.
#[track_caller]
fn problems(base: &str, tables: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("keygate.toml");
    std::fs::write(&path, format!("{base}{tables}")).expect("a file can be written");
    let config = config::load(&path, &Environment::default()).expect("it is TOML");
    compile(&config, None).err().expect("it is wrong").to_string()
}

#[test]
fn what_could_not_be_read_may_guard() {
    let base = BASE.replace("app\"\nplugins", "other\"\nplugins");
    let open = "[locations.open]\npath = \"/open\"\nupstream = \"app\"\npublic = true\n";
    let problems = problems(&base, open);
    assert!(
        problems.contains("unknown upstream") && !problems.contains("is guarded"),
        "{problems}"
    );
}

#[test]
fn a_location_without_methods_has_every_method_in_common() {
    for (first, second) in [
        ("methods = [\"GET\"]", ""),
        ("", "methods = [\"GET\"]"),
        ("methods = [\"GET\", \"PUT\"]", "methods = [\"PUT\"]"),
    ] {
        let location = |name: &str, methods: &str| {
            let fields = "path = \"/b\"\nupstream = \"app\"\npublic = true";
            format!("[locations.{name}]\n{fields}\n{methods}\n")
        };
        let problems = problems(BASE, &(location("b", first) + &location("c", second)));
        assert!(problems.contains("a method in common"), "{first} {second}: {problems}");
    }
}
