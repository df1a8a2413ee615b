#!/bin/sh
# Holds what a request costs, in user-space instructions and system calls, to the figures of budget.toml.
# Usage: budget.sh [check | record | show | native] [--cases get,limited,missing,invalid,connect]
# `check` is what continuous integration runs; `record` writes the figures of now; `show` names the system calls;
# `native` counts the instructions as the processor executes them, which valgrind does not where it has some of its own.
# KEYGATE=path measures that binary instead of building one.
set -eu
[ -z "${KEYGATE:-}" ] || KEYGATE=$(realpath "$KEYGATE")
cd "$(dirname "$0")"

if [ -z "${KEYGATE:-}" ]; then
    cargo build --release --locked --manifest-path ../Cargo.toml
    KEYGATE=${CARGO_TARGET_DIR:-../target}/release/keygate
fi
exec python3 compare/budget.py "$@" --keygate "$KEYGATE"
