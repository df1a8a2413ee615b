#!/usr/bin/env bash
# Changes the code that lets requests through, one operator, arm or function at a time, and sees a
# test fail for each change: first the unit tests, then the black-box tests for what they missed.
# Prints the totals, and fails if a change stayed unseen. What is changed, and which changes no test
# can see, says .cargo/mutants.toml. It takes hours, so continuous integration does not run it.
# Usage: scripts/mutants.sh [FILE...]   Only these files, as scripts/mutants.sh src/query.rs.
set -euo pipefail
cd "$(dirname "$0")/.."

# Pinned, because another release makes other changes.
version=27.1.0
if [ "$(cargo mutants --version 2>/dev/null)" != "cargo-mutants $version" ]; then
  cargo install --locked --debug "cargo-mutants@$version"
fi

files=()
for file in "$@"; do
  files+=(--file "$file")
done

# A failure that is written down would make the next change fail sooner than the tests alone do.
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 PROPTEST_MAX_SHRINK_ITERS=0

# count FILE: how many changes ended so.
count() {
  if [ -f "target/mutants.out/$1.txt" ]; then wc -l <"target/mutants.out/$1.txt"; else echo 0; fi
}

# run [ARGUMENT...]: fails only if it could not run; 2 and 3 mean that changes were missed.
run() {
  local status=0
  cargo mutants --output target "${files[@]}" "$@" || status=$?
  [ "$status" = 0 ] || [ "$status" = 2 ] || [ "$status" = 3 ] || exit "$status"
}

rm -rf target/mutants.out target/mutants.out.old
run -- --lib
made=$(cargo mutants --list "${files[@]}" | wc -l)
all=$(cargo mutants --list --no-config $(cargo mutants --list-files "${files[@]}" | sed 's/^/--file /') | wc -l)
unviable=$(count unviable)
# What never ends is seen; another run would wait for it again.
cat target/mutants.out/timeout.txt >>target/mutants.out/caught.txt
by_units=$(count caught)
by_black_box=0
if [ "$(count missed)" -gt 0 ]; then
  run --iterate -- --test it
  by_black_box=$(($(count caught) + $(count timeout)))
fi
missed=$(count missed)

cat <<END

changes                      $((all))
  that no test can see       $((all - made)) (.cargo/mutants.toml says why)
  that do not compile        $unviable
  caught by the unit tests   $by_units
  caught by the black box    $by_black_box
  unseen                     $missed
END
if [ "$missed" -gt 0 ]; then
  cat target/mutants.out/missed.txt
  exit 1
fi
