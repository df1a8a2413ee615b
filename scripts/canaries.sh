#!/usr/bin/env bash
# Runs the integration tests, of which every one searches all that came out of keygate, logs at the
# level trace included, for eight bytes of a key; then says how much was searched. Fails if a test
# fails. What follows goes to the test runner: `scripts/canaries.sh catalogue::`.
set -euo pipefail
cd "$(dirname "$0")/.."

counts=${CARGO_TARGET_DIR:-target}/canaries.txt
rm -f "$counts"
cargo test --locked --test it -- "$@"
awk '{ bytes += $1 } END { printf "%d processes, %d bytes that came out of them: no key but where a test says so\n", NR, bytes }' "$counts"
