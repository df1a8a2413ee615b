#!/bin/sh
# Runs every fuzz target for some seconds, two at a time: fuzz/run.sh [SECONDS], 60 when nothing is said.
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
# No sanitizer: the crate forbids unsafe code, and without one a run tries two to five times as much.
cargo +nightly fuzz build --sanitizer none

# run TARGET: shows what it said only if it found something.
run() {
    log=fuzz/corpus/$1.log
    mkdir -p "fuzz/corpus/$1"
    case $1 in
    path_readings | query_strip) longest=256 ;;
    *) longest=1024 ;;
    esac
    set -- "$1" "fuzz/corpus/$1" "fuzz/seeds/$1" -- -timeout=20 \
        -max_total_time="$seconds" -max_len="$longest" -print_final_stats=1
    if [ -f "fuzz/dictionaries/$1" ]; then
        set -- "$@" -dict="fuzz/dictionaries/$1"
    fi
    if cargo +nightly fuzz run --sanitizer none "$@" >"$log" 2>&1; then
        echo "== $1: $(grep DONE "$log" | tr -s '\t ' ' ')"
    else
        cat "$log"
        echo "== $1: found something" >&2
        return 1
    fi
}

failed=0
other=
for source in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    if [ -z "$other" ]; then
        run "$target" &
        other=$!
    else
        run "$target" || failed=1
        wait "$other" || failed=1
        other=
    fi
done
[ -z "$other" ] || wait "$other" || failed=1
exit "$failed"
