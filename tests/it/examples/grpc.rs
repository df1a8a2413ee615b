//! `examples/grpc`: a service and its client.

use super::Example;

#[test]
fn calls_of_grpc_with_a_key_in_their_metadata() {
    let mut example = Example::of("grpc");
    example.install(&["grpc", "typing_extensions.py"]);
    example.follow_readme();
}
