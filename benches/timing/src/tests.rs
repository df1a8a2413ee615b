//! The tests: what is measured against what.

use dudect_bencher::ctbench::BenchFn;
use dudect_bencher::rand::RngExt;
use dudect_bencher::{BenchRng, CtRunner};

use crate::gate::{Gate, LENGTH, almost, almost_digest, any, key};
use crate::trial::{Pair, run};

/// Every test by its name. `run.sh` judges those that begin with `known_` not at all, and all
/// others by dudect's t.
pub const ALL: &[(&str, BenchFn)] = &[
    ("near_miss_of_one_key", |runner, rng| near_miss(1, runner, rng)),
    ("near_miss_of_1000_keys", |runner, rng| near_miss(1_000, runner, rng)),
    ("length_of_the_stored_key", length_of_the_stored_key),
    ("position_among_1000_keys", |runner, rng| position(1_000, runner, rng)),
    ("position_among_100000_keys", |runner, rng| position(100_000, runner, rng)),
    ("255_bits_of_the_only_digest", |runner, rng| digest_in_common(1, runner, rng)),
    ("255_bits_of_one_of_1000_digests", |runner, rng| digest_in_common(1_000, runner, rng)),
    ("255_bits_of_one_of_100000_digests", |runner, rng| digest_in_common(100_000, runner, rng)),
    ("known_length_of_the_candidate", length_of_the_candidate),
    ("known_1_or_1000_keys", |runner, rng| number_of_keys(1_000, runner, rng)),
    ("known_1_or_100000_keys", |runner, rng| number_of_keys(100_000, runner, rng)),
];

/// How many samples are taken with the same gates: more where more keys are to be stored.
fn batch(keys: usize) -> usize {
    keys.min(100_000)
}

fn keys(count: usize, rng: &mut BenchRng) -> Vec<String> {
    (0..count).map(|_| key(LENGTH, rng)).collect()
}

fn keys_and_gate(count: usize, rng: &mut BenchRng) -> (Vec<String>, Gate) {
    let keys = keys(count, rng);
    let gate = Gate::new(&keys);
    (keys, gate)
}

/// SC-01. Left: all of a key but its last character. Right: nothing of it.
fn near_miss(count: usize, runner: &mut CtRunner, rng: &mut BenchRng) {
    let make = |rng: &mut BenchRng| keys_and_gate(count, rng);
    run(runner, rng, batch(count), make, |(keys, gate), rng| Pair {
        gates: [gate; 2],
        candidates: [almost(any(keys, rng), rng), key(LENGTH, rng)],
    });
}

/// SC-02. Left: the key that is stored is as long as the candidate. Right: it has another length.
/// How long its own length takes is known to whoever sends a candidate.
fn length_of_the_stored_key(runner: &mut CtRunner, rng: &mut BenchRng) {
    let make = |rng: &mut BenchRng| {
        let other = [8, 16, 64, 256][rng.random_range(..4_usize)];
        // In this order or the other: which is made first must not matter.
        let swap: bool = rng.random();
        let lengths = if swap { [other, LENGTH] } else { [LENGTH, other] };
        let gates = lengths.map(|length| Gate::new([key(length, rng)]));
        (gates, swap)
    };
    run(runner, rng, 1, make, |([first, second], swap), rng| {
        let candidate = key(LENGTH, rng);
        Pair {
            gates: if *swap { [second, first] } else { [first, second] },
            candidates: [candidate.clone(), candidate],
        }
    });
}

/// SC-03. Valid keys. Left: from the first half of the list. Right: from the second half.
fn position(count: usize, runner: &mut CtRunner, rng: &mut BenchRng) {
    let make = |rng: &mut BenchRng| {
        let (keys, gate) = keys_and_gate(count, rng);
        gate.warm(&keys, rng);
        (keys, gate)
    };
    run(runner, rng, batch(count), make, |(keys, gate), rng| {
        let (first, second) = keys.split_at(count / 2);
        Pair {
            gates: [gate; 2],
            candidates: [any(first, rng).to_owned(), any(second, rng).to_owned()],
        }
    });
}

/// Left: a stored digest is the candidate's but for one bit. Right: none is.
fn digest_in_common(count: usize, runner: &mut CtRunner, rng: &mut BenchRng) {
    let make = |rng: &mut BenchRng| {
        // As many of the one as of the other: a candidate that comes again is known to the caches.
        let [near, far] = [keys(count, rng), keys(count, rng)];
        let gate = Gate::new(near.iter().map(|key| almost_digest(key, rng)));
        (near, far, gate)
    };
    run(runner, rng, batch(count), make, |(near, far, gate), rng| Pair {
        gates: [gate; 2],
        candidates: [any(near, rng).to_owned(), any(far, rng).to_owned()],
    });
}

/// SC-02 as seen from outside. Left: one block of SHA-256. Right: two.
fn length_of_the_candidate(runner: &mut CtRunner, rng: &mut BenchRng) {
    run(
        runner,
        rng,
        1,
        |rng| keys_and_gate(1, rng).1,
        |gate, rng| Pair { gates: [gate; 2], candidates: [key(LENGTH, rng), key(100, rng)] },
    );
}

/// SC-04. Wrong keys. Left: one key is stored. Right: many are.
fn number_of_keys(many: usize, runner: &mut CtRunner, rng: &mut BenchRng) {
    let make = |rng: &mut BenchRng| [1, many].map(|count| keys_and_gate(count, rng).1);
    run(runner, rng, batch(many), make, |[one, many], rng| Pair {
        gates: [one, many],
        candidates: [key(LENGTH, rng), key(LENGTH, rng)],
    });
}
