#!/bin/sh
# Compares keygate with nginx and HAProxy: installs what is missing, builds keygate, runs compare.py with the given options.
# KEYGATE=path measures that binary instead of building one.
set -eu
[ -z "${KEYGATE:-}" ] || KEYGATE=$(realpath "$KEYGATE")
cd "$(dirname "$0")"

missing=
for tool in nginx haproxy wrk valgrind strace; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "installing:$missing" >&2
    # shellcheck disable=SC2086 # one word a package
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >&2
fi

if [ -z "${KEYGATE:-}" ]; then
    cargo build --release --manifest-path ../../Cargo.toml
    KEYGATE=${CARGO_TARGET_DIR:-../../target}/release/keygate
fi
exec python3 compare.py --keygate "$KEYGATE" "$@"
