#!/usr/bin/env bash
# Tests whether the time of a key check tells anything about the stored keys: run.sh [NAME]
# SAMPLES=N takes N samples a test instead of a million. Only tests whose names hold NAME are run.
# Prints a line a test, and fails if one does not hold.
set -euo pipefail
cd "$(dirname "$0")"

cargo build --release --quiet
"${CARGO_TARGET_DIR:-target}"/release/keygate-timing "$@" | awk '
  /max t/ {
    name = $2
    match($0, /[0-9.]+ and [0-9.]+ ns/); split(substr($0, RSTART, RLENGTH), ns, " ")
    match($0, /max t = [-+0-9.]+/); t = substr($0, RSTART + 8, RLENGTH - 8) + 0
    difference = ns[1] - ns[3]
    if (name ~ /^known_/) verdict = "known"
    else verdict = (t * t < 4.5 * 4.5) ? "holds" : "FAILS (4.5)"
    if (verdict ~ /FAILS/) failed = 1
    if (!titles++) printf "%-40s %9s %9s %11s %10s  %s\n", "test", "left ns", "right ns", "difference", "t", ""
    printf "%-40s %9.1f %9.1f %+11.1f %+10.2f  %s\n", name, ns[1], ns[3], difference, t, verdict
    fflush()
  }
  END { if (!titles) print "no test has such a name"; exit failed || !titles }'
