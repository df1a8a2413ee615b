#!/usr/bin/env bash
# Changes the code that lets requests through, one operator, arm or function at a time, and sees a
# test fail for each change: first the unit tests, then the black-box tests for what they missed.
# Prints the totals, and fails if a change stayed unseen. What is changed, and which changes no test
# can see, says .cargo/mutants.toml. It takes hours at the lowest priority, so continuous integration
# does not run it. Broken off, it goes on where it was; when some stayed unseen, the next pass tries
# only those; `rm -r target/mutants` begins anew. CARGO_MUTANTS_JOBS says how many are tried at once.
# Usage: scripts/mutants.sh [FILE...]   Only these files, as scripts/mutants.sh src/query.rs.
set -euo pipefail
cd "$(dirname "$0")/.."

# require NAME VERSION: pinned, because another release makes other changes.
require() {
  if ! cargo "${1#cargo-}" --version 2>/dev/null | grep -q "^$1 $2\b"; then
    cargo install --locked --debug "$1@$2"
  fi
}
require cargo-mutants 27.1.0
# It ends at the first failure, which the tests' own runner cannot.
require cargo-nextest 0.9.143

# A change can make a loop endless, and what it fills too.
ulimit -v $((8 << 20))
renice -n 19 $$ >/dev/null
# A failure that is written down would make the next change fail sooner than the tests alone do.
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 PROPTEST_MAX_SHRINK_ITERS=0
export NEXTEST_PROFILE=mutants

# What is known of each change: a file for every outcome of a round, units-caught for example.
known=target/mutants
mkdir -p "$known"

chosen=()
if [ $# -gt 0 ]; then
  # Files that are named would only be added to those of the configuration.
  sed '/^examine_globs/,/^]/d' .cargo/mutants.toml >"$known/mutants.toml"
  chosen=(--config "$known/mutants.toml" "${@/#/--file=}")
fi
changes=$(cargo mutants --list "${chosen[@]}")

# count OUTCOME...: how many of the changes ended so.
count() {
  cat "${@/#/$known/}" /dev/null 2>/dev/null | grep -cxFf - <(echo "$changes") || true
}

# note ROUND: keeps what came of each change so far.
note() {
  for outcome in unviable caught timeout missed; do
    cat "$known/mutants.out/$outcome.txt" >>"$known/$1-$outcome" 2>/dev/null || true
  done
  rm -rf "$known"/mutants.out*
}

# try ROUND OUTCOME... -- ARGUMENT...: tests every change that did not end so before.
try() {
  local round=$1 status=0 decided=()
  shift
  while [ "$1" != -- ]; do
    decided+=("$known/$1")
    shift
  done
  shift
  rm -rf "$known"/mutants.out*
  mkdir "$known/mutants.out"
  cat "${decided[@]}" >"$known/mutants.out/previously_caught.txt" 2>/dev/null || true
  trap 'note '"$round" EXIT
  cargo mutants --iterate --no-shuffle --output "$known" "${chosen[@]}" "$@" || status=$?
  note "$round"
  trap - EXIT
  # 2 and 3 mean that changes were missed, or never ended.
  [ "$status" = 0 ] || [ "$status" = 2 ] || [ "$status" = 3 ] || exit "$status"
}

seen=(units-unviable units-caught units-timeout box-caught box-timeout)
try units "${seen[@]}" units-missed -- --minimum-test-timeout 60 --cargo-arg=--lib
if [ "$(count units-missed)" -gt "$(count box-caught box-timeout box-missed)" ]; then
  try box "${seen[@]}" box-missed -- --test-tool nextest --timeout 600 --cargo-arg=--test=it
fi

mapfile -t files < <(cargo mutants --list-files "${chosen[@]}")
all=$(cargo mutants --list --no-config "${files[@]/#/--file=}" | wc -l)
unseen=$(grep -xFf "$known/box-missed" <(echo "$changes") || true)
# The next pass tries these again, and the unit tests first.
rm -f "$known/units-missed" "$known/box-missed"
made=$(echo "$changes" | wc -l)
cat <<END

changes                      $all
  that no test can see       $((all - made)) (.cargo/mutants.toml says why)
  that do not compile        $(count units-unviable)
  caught by the unit tests   $(count units-caught)
  caught by the black box    $(count box-caught)
  that never end             $(count units-timeout box-timeout)
  unseen                     $(echo -n "$unseen" | grep -c '' || true)
END
if [ -n "$unseen" ]; then
  echo "$unseen"
  exit 1
fi
