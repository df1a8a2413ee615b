//! What a job leaves behind on the stack.

use std::hint::black_box;

/// How deep a job may reach; what reads a configuration takes less than half of it.
const DEPTH: usize = 512 * 1024;

/// Does a job, and then wipes the stack below: what functions leave there when they return stays
/// until others need the place, and pieces of the text that they read are among it.
pub(crate) fn wiping<T>(job: impl FnOnce() -> T) -> T {
    let result = job();
    wipe();
    result
}

#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "it is there to be overwritten")]
fn wipe() {
    black_box(&mut [0_u8; DEPTH]);
}
