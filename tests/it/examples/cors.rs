//! `examples/cors`: pages in browsers.

use super::Example;

#[test]
fn a_page_that_uses_the_api() {
    let shown = Example::of("cors").follow_readme();
    assert!(!shown[1].contains("evil"), "{}", shown[1]);
}
