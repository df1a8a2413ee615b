#!/bin/sh
# Runs every fuzz target for some seconds: fuzz/run.sh [SECONDS], 60 when nothing is said.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzzing needs the nightly toolchain: rustup toolchain install nightly" >&2
    exit 1
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install cargo-fuzz --locked
fi

for source in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    mkdir -p "fuzz/corpus/$target"
    echo "== $target: $seconds seconds"
    # No sanitizer: the crate forbids unsafe code, and without one a run tries two to five times as much.
    cargo +nightly fuzz run --sanitizer none "$target" \
        "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=256 -print_final_stats=1
done
