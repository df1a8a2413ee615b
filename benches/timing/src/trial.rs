//! One test: samples of two classes in random order, so that whatever disturbs the machine disturbs
//! both.

use std::env;

use dudect_bencher::rand::RngExt;
use dudect_bencher::{BenchRng, Class, CtRunner};

use crate::gate::Gate;

/// How many samples a test takes when SAMPLES says nothing.
const SAMPLES: usize = 1_000_000;

/// What a sample is about: a gate and a candidate of the left class, and of the right. Both are
/// made whichever it will be, so that making them leaves the same traces in the caches.
pub struct Pair<'g> {
    pub gates: [&'g Gate; 2],
    pub candidates: [String; 2],
}

/// Takes the samples. Gates are made anew after every `batch` of them, so that where a key happens
/// to lie in memory evens out.
pub fn run<G>(
    runner: &mut CtRunner,
    rng: &mut BenchRng,
    batch: usize,
    make: impl Fn(&mut BenchRng) -> G,
    pair: impl for<'g> Fn(&'g G, &mut BenchRng) -> Pair<'g>,
) {
    let samples = env::var("SAMPLES").ok().and_then(|samples| samples.parse().ok());
    let samples = samples.unwrap_or(SAMPLES);
    let mut times = [Vec::with_capacity(samples), Vec::with_capacity(samples)];
    for _ in 0..samples.div_ceil(batch) {
        let made = make(rng);
        for _ in 0..batch {
            let Pair { gates, candidates } = pair(&made, rng);
            let right = usize::from(rng.random::<bool>());
            let class = [Class::Left, Class::Right][right];
            let time = gates[right].time(runner, class, &candidates[right]);
            times[right].push(u32::try_from(time.as_nanos()).unwrap_or(u32::MAX));
        }
    }
    let [left, right] = times.map(mean);
    print!("{left:.1} and {right:.1} ns, ");
}

/// The mean of all but the slowest tenth, which is what others did meanwhile. A median would be as
/// coarse as the clock.
fn mean(mut times: Vec<u32>) -> f64 {
    let count = times.len() * 9 / 10;
    times.select_nth_unstable(count);
    times[..count].iter().copied().map(f64::from).sum::<f64>() / count as f64
}
