//! Digests and compares a key that valgrind takes for undefined memory: it then reports every
//! branch and every address that depends on the key. `run.sh` runs it.

use std::hint::black_box;
use std::process::ExitCode;

use crabgrind::memcheck::{MemState, mark_mem};
use crabgrind::{RunMode, run_mode};
use keygate::keys::digest::Digest;
use subtle::ConstantTimeEq;

fn main() -> ExitCode {
    let mut key = *b"k1_9f86d081884c7d659a2feaa0c55ad015";
    let stored = Digest::of(b"k1_9f86d081884c7d659a2feaa0c55ad016");
    if matches!(run_mode(), RunMode::Native) {
        eprintln!("this runs under valgrind only");
        return ExitCode::from(2);
    }
    // Its result is an error in any case: under valgrind the request returns -1.
    let _ = mark_mem(key.as_mut_ptr().cast(), key.len(), MemState::Undefined);
    let mut same = match std::env::args().nth(1).as_deref() {
        // What keygate does.
        Some("digests") => Digest::of(black_box(&key)).ct_eq(&stored).unwrap_u8(),
        // What it must not do; it shows that valgrind would find it.
        Some("keys") => byte_by_byte(black_box(&key)),
        _ => return ExitCode::from(2),
    };
    // The verdict is no secret.
    let _ = mark_mem(std::ptr::from_mut(&mut same).cast(), 1, MemState::Defined);
    println!("{same}");
    ExitCode::SUCCESS
}

/// Compares, and stops at the first byte that differs.
fn byte_by_byte(key: &[u8]) -> u8 {
    let stored = black_box(*b"k1_9f86d081884c7d659a2feaa0c55ad016");
    u8::from(key.iter().zip(&stored).all(|(a, b)| a == b))
}
