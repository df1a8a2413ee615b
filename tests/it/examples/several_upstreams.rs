//! `examples/several-upstreams`.

use super::Example;

#[test]
fn requests_go_where_they_are_served() {
    Example::of("several-upstreams").follow_readme();
}
