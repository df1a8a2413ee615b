//! Looks for what the time of a key check says about the stored keys: dudect's test of one class of
//! requests against another. `run.sh` judges the figures.

mod gate;
mod tests;
mod trial;

use std::env;

use dudect_bencher::ctbench::{BenchMetadata, BenchName, BenchOpts, run_benches_console};

fn main() -> std::io::Result<()> {
    let options = BenchOpts { filter: env::args().nth(1), ..BenchOpts::default() };
    let benches = tests::ALL.iter().map(|&(name, benchfn)| BenchMetadata {
        name: BenchName(name),
        seed: None,
        benchfn,
    });
    run_benches_console(options, benches.collect())
}
