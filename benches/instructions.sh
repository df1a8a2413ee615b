#!/bin/sh
# Prints how many user-space instructions keygate spends on one request, exactly and repeatably, and where.
# Usage: instructions.sh [FUNCTIONS] [CASE]   how many of the costliest functions to list; get, limited, missing, invalid or connect
# KEYGATE=path counts that binary instead of building one with line tables.
set -eu
[ -z "${KEYGATE:-}" ] || KEYGATE=$(realpath "$KEYGATE")
cd "$(dirname "$0")"

if [ -z "${KEYGATE:-}" ]; then
    # Its own target folder: the flag would otherwise rebuild the ordinary release binary each time.
    target=${CARGO_TARGET_DIR:-$PWD/../target}/instructions
    CARGO_PROFILE_RELEASE_DEBUG=line-tables-only cargo build --release --manifest-path ../Cargo.toml --target-dir "$target"
    KEYGATE=$target/release/keygate
fi
exec python3 compare/budget.py show --cases "${2:-get}" --functions "${1:-0}" --keygate "$KEYGATE"
