//! Every folder of `examples/`, run as its README tells a newcomer to.

mod example;
mod output;
mod port;
mod readme;
mod terminal;

mod concurrency;
mod cors;
mod edge;
mod forward_auth;
mod grpc;
mod header_key;
mod ip_restriction;
mod llm_sidecar;
mod many_users;
mod metrics;
mod nginx;
mod openai_compatible;
mod provider_key;
mod query_key;
mod rate_limit;
mod response_headers;
mod rotation;
mod secrets_manager;
mod several_upstreams;
mod traces;

use std::fs;
use std::path::Path;

use example::Example;
pub(crate) use port::Port;
pub(crate) use readme::fenced;
pub(crate) use terminal::{Terminal, open};

/// The folder of the examples.
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// The folder of their tests.
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/examples");

fn folders() -> Vec<String> {
    let entries = fs::read_dir(EXAMPLES).expect("there is a folder of examples");
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_example_has_a_readme_and_a_test_and_is_listed() {
    let list = fs::read_to_string(Path::new(EXAMPLES).join("README.md")).unwrap();
    let folders = folders();
    assert!(folders.len() >= 4, "{folders:?}");
    for folder in folders {
        let module = folder.replace('-', "_");
        let test = Path::new(TESTS).join(format!("{module}.rs"));
        let test = fs::read_to_string(&test).unwrap_or_else(|_| panic!("no {}", test.display()));
        assert!(test.contains(&format!("Example::of(\"{folder}\")")), "{folder} is not tested");
        assert!(test.contains(".follow_readme()"), "the README of {folder} is not followed");
        let declared = include_str!("mod.rs").contains(&format!("\nmod {module};\n"));
        assert!(declared, "{module}.rs is not compiled");
        assert!(list.contains(&format!("[{folder}]({folder})")), "{folder} is not listed");
        assert!(!Example::of(&folder).blocks().is_empty(), "nothing to run in {folder}");
    }
}
