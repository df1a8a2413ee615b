#!/usr/bin/env bash
# Builds keygate as one file without libraries (musl), for containers and for systems of any age, and
# lays out what deploy/docker/Dockerfile is built from: target/image.
# Usage: scripts/build-static.sh [amd64|arm64]...   Without arguments: for this machine.
# Needs musl-tools (Debian), which is installed where that is possible; for another architecture also
# its C compiler, as CC_aarch64_unknown_linux_musl.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${CARGO_TARGET_DIR:-target}/image

# native: the name that Debian and containers have for this machine.
native() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) echo "there is no static build for $(uname -m)" >&2; exit 1 ;;
  esac
}

if ! command -v musl-gcc >/dev/null; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo 'musl-gcc is missing (Debian: apt-get install musl-tools)' >&2
    exit 3
  fi
  apt-get update --quiet=2
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends musl-tools
fi

mkdir -p "$image/config"
cp deploy/docker/keygate.toml "$image/config/keygate.toml"
[ $# -gt 0 ] || set -- "$(native)"
for architecture in "$@"; do
  case $architecture in
    amd64) cpu=x86_64 ;;
    arm64) cpu=aarch64 ;;
    *) echo "usage: scripts/build-static.sh [amd64|arm64]..." >&2; exit 2 ;;
  esac
  target=$cpu-unknown-linux-musl
  if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ] && ! rustup target add "$target"; then
    echo "SKIPPED: $architecture: rustup cannot fetch the target $target here" >&2
    exit 3
  fi
  if [ "$architecture" = "$(native)" ]; then
    # For what is in C. Rust links by itself: with musl-gcc the binary breaks as soon as it starts.
    export "CC_${cpu}_unknown_linux_musl=${CC_MUSL:-musl-gcc}"
  fi
  # AES in the 512 bits of AVX is a twelfth of the binary, and gains where bodies are large only.
  export "CFLAGS_${cpu}_unknown_linux_musl=-DMY_ASSEMBLER_IS_TOO_OLD_FOR_512AVX"
  # Relocations are packed (musl 1.2.4 reads them), and names of functions left out: 2 MB of 12.
  RUSTFLAGS="${RUSTFLAGS:-} -Clink-arg=-Wl,-z,pack-relative-relocs" \
    cargo build --release --locked --target "$target" --config 'profile.release.strip = "symbols"' \
      --config 'profile.release.opt-level = 2'
  install -m 0755 "${CARGO_TARGET_DIR:-target}/$target/release/keygate" "$image/keygate-$architecture"
  if [ "$architecture" = "$(native)" ]; then
    "$image/keygate-$architecture" --version
  fi
done
ls -l "$image"/keygate-*
