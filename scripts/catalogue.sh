#!/usr/bin/env bash
# Runs every row of the catalogue (tests/it/catalogue) and prints each with its outcome, then the
# totals. The reports stay in target/catalogue/GROUP.tsv. Fails if a row fails.
set -euo pipefail
cd "$(dirname "$0")/.."

reports=${CARGO_TARGET_DIR:-target}/catalogue
rm -rf "$reports"
failed=0
cargo test --locked --test it -- catalogue:: || failed=$?

grep --no-filename --invert-match '\smissing\s' "$reports"/*.tsv | cut -f1-5 | column -t -s "$(printf '\t')"
echo
awk -F '\t' '
  { group = substr($1, 1, 2); all[group]++; count[group, $2]++; total++; sum[$2]++ }
  function row(name, rows, held, failed, elsewhere, left, missing) {
    printf "%-8s%6d%8d%8d%11d%10d%9d\n", name, rows, held, failed, elsewhere, left, missing
  }
  END {
    printf "%-8s%6s%8s%8s%11s%10s%9s\n", "group", "rows", "held", "failed", "elsewhere", "left out", "missing"
    for (g in all)
      row(g, all[g], count[g, "held"], count[g, "failed"], count[g, "elsewhere"], count[g, "left out"], count[g, "missing"])
    row("all", total, sum["held"], sum["failed"], sum["elsewhere"], sum["left out"], sum["missing"])
  }' "$reports"/*.tsv
exit "$failed"
