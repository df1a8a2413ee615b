#!/usr/bin/env bash
# Runs every check there is: what it prints last says whether all passed and what was skipped.
# What is missing is installed first: Debian packages (scripts/test-deps.sh), cargo-deny, nightly Rust.
# FUZZ_SECONDS=N fuzzes each target for N seconds instead of 30; 0 leaves fuzzing out.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"

# Pinned, so that a new release of it cannot fail a tree that has not changed.
cargo_deny=0.20.2
fuzz_seconds=${FUZZ_SECONDS:-30}
skipped=()

step() {
  printf '\n== %s (%d s)\n' "$*" "$SECONDS"
  "$@"
}

skip() {
  printf '\n== SKIPPED: %s\n' "$1"
  skipped+=("$1")
}

step scripts/test-deps.sh
if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
  step rustup component add rustfmt clippy
fi

step cargo fmt --check
step rustfmt --check --edition 2024 fuzz/src/*.rs fuzz/fuzz_targets/*.rs benches/*/src/*.rs
step cargo clippy --locked --all-targets -- --deny warnings
if cargo nextest --version >/dev/null 2>&1; then
  step cargo nextest run --locked --no-fail-fast
  # nextest does not run the examples in the documentation.
  step cargo test --locked --doc
else
  step cargo test --locked --no-fail-fast
fi
# tests/it/clients/browser.rs looks for the same.
if ! command -v chromium-headless-shell chromium chromium-browser google-chrome >/dev/null; then
  skip 'a page in a browser: there is no Chromium here (package chromium-headless-shell)'
fi
# A million of them are for a release build: judges/differential.py 1000000.
status=0
step env KEYGATE="${CARGO_TARGET_DIR:-target}/debug/keygate" judges/differential.py 10000 || status=$?
case $status in
  0) ;;
  3) skip 'judges/differential.py: h11 cannot be fetched from PyPI here' ;;
  *) exit "$status" ;;
esac
# Packages, units and manifests, each read or run by what it is for.
status=0
step scripts/check-deploy.sh || status=$?
case $status in
  0) ;;
  3) skip 'a part of scripts/check-deploy.sh: it says above which, and what it needs' ;;
  *) exit "$status" ;;
esac
# What a request costs in instructions and system calls, of the release build.
status=0
step benches/budget.sh check || status=$?
case $status in
  0) ;;
  3) skip 'benches/budget.sh: the record was made with another compiler, C library or valgrind' ;;
  *) exit "$status" ;;
esac
RUSTDOCFLAGS='--deny warnings' step cargo doc --locked --no-deps --document-private-items

if ! cargo deny --version >/dev/null 2>&1; then
  # Without optimization it builds in half the time; it has little to do.
  step cargo install --locked --debug "cargo-deny@$cargo_deny"
fi
step cargo deny --locked check bans licenses sources
if timeout 120 cargo deny --locked fetch db; then
  step cargo deny --locked check advisories
else
  skip 'cargo deny check advisories: the database (github.com/rustsec/advisory-db) cannot be fetched here'
fi

if [ "$fuzz_seconds" -eq 0 ]; then
  skip 'fuzzing: FUZZ_SECONDS=0'
elif cargo +nightly --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal; then
  step fuzz/run.sh "$fuzz_seconds"
else
  skip 'fuzzing: it needs a nightly Rust, which cannot be installed here (rustup toolchain install nightly)'
fi

printf '\nEverything passed in %d s.\n' "$SECONDS"
for what in "${skipped[@]}"; do
  printf 'Skipped: %s\n' "$what"
done
