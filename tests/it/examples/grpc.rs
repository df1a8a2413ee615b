//! `examples/grpc`: a service and its client.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::Example;

#[test]
fn calls_of_grpc_with_a_key_in_their_metadata() {
    let mut example = Example::of("grpc");
    // What `pip install grpcio` gives a reader, scripts/test-deps.sh has installed there; Python
    // looks beside the program first.
    let libraries = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/.venv/lib");
    let mut versions = fs::read_dir(libraries).expect("it is installed").flatten();
    let packages = versions.next().expect("a version of Python").path().join("site-packages");
    for package in ["grpc", "typing_extensions.py"] {
        let place = Path::new(&example.folder()).join(package);
        symlink(packages.join(package), place).expect("the folder can be written");
    }
    example.follow_readme();
}
