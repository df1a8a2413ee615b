#!/bin/sh
# Installs what the tests run besides cargo: nginx, nghttpd, python3 with venv, node with npm, curl, nghttp, openssl, prometheus, strace,
# faketime, valgrind, systemd-analyze, musl-gcc, lintian, g++ and git, with apt, and only what is missing (not as root, it prints the command
# instead); a browser, if there is one to be had; varnishtest; and the client libraries of tests/clients, from PyPI and npm.
# Run again, it does nothing.
set -eu
cd "$(dirname "$0")/.."

missing=''
# need COMMAND PACKAGE: the package is wanted if there is no such command.
need() {
  if command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; then
    echo "$1: there"
  else
    echo "$1: missing (package $2)"
    missing="$missing $2"
  fi
}
need nginx nginx
# An upstream that speaks HTTP/2.
need nghttpd nghttp2-server
need python3 python3
need node nodejs
need npm npm
# For the client libraries, and for judges/differential.py, which has an environment of its own with h11.
if ! python3 -c 'import ensurepip' 2>/dev/null; then
  echo 'python3 -m venv: missing (package python3-venv)'
  missing="$missing python3-venv"
fi
need curl curl
need nghttp nghttp2-client
need openssl openssl
# For the dashboard and the alerts of deploy/, which are asked of a real one.
need prometheus prometheus
need promtool prometheus
# For system calls that fail and clocks that jump.
need strace strace
need faketime faketime
# For benches/budget.sh, which counts instructions.
need valgrind valgrind
# For systemd-analyze, which reads the units in deploy/; and what else scripts/check-deploy.sh runs.
need systemd-analyze systemd
need musl-gcc musl-tools
need lintian lintian
# For the fuzzer's library, and for cargo-deny, which needs git to fetch advisories.
need c++ g++
need git git

if [ -n "$missing" ]; then
  install="apt-get install --yes --no-install-recommends$missing"
  if ! command -v apt-get >/dev/null; then
    echo "There is no apt-get here; install these with your package manager:$missing" >&2
    exit 1
  elif [ "$(id -u)" -ne 0 ]; then
    echo "Not root; run: sudo apt-get update && sudo $install" >&2
    exit 1
  fi
  echo "Running: apt-get update && $install"
  apt-get update --quiet=2
  # shellcheck disable=SC2086 # several packages are several words
  DEBIAN_FRONTEND=noninteractive $install
fi

# A browser, for one test. Not every distribution has one that is a package, and the rest goes without.
has_browser() {
  for browser in chromium-headless-shell chromium chromium-browser google-chrome; do
    if command -v "$browser" >/dev/null; then return; fi
  done
  return 1
}
if has_browser; then
  echo 'a browser: there'
elif [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo 'Running: apt-get update && apt-get install chromium-headless-shell'
  apt-get update --quiet=2
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends chromium-headless-shell ||
    echo 'a browser: cannot be installed'
else
  echo 'a browser: missing (package chromium-headless-shell)'
fi

# varnishtest comes with a cache that starts where it is installed; so it is only taken out of its package.
tools=tests/vtc/.varnish
if command -v varnishtest >/dev/null || [ -x "$tools/varnishtest" ]; then
  echo 'varnishtest: there'
elif command -v apt-get >/dev/null; then
  echo 'Running: apt-get download varnish'
  [ "$(id -u)" -ne 0 ] || apt-get update --quiet=2
  packages=$(mktemp -d)
  (
    cd "$packages"
    apt-get download --quiet=2 varnish "$(apt-cache depends varnish | sed -n 's/.*Depends: \(libvarnishapi[0-9]*\)$/\1/p' | head -n 1)"
    for package in *.deb; do dpkg-deb --extract "$package" .; done
  )
  mkdir -p "$tools"
  find "$packages/usr" \( -name varnishtest -o -name 'libvarnishapi.so.*' \) -exec cp --no-dereference {} "$tools" \;
  rm -r "$packages"
else
  echo 'varnishtest: missing (package varnish)'
fi

# oldest COMMAND MAJOR MINOR, "X.Y…" on the standard input: fails if that is older.
oldest() {
  IFS=. read -r major minor _
  if [ "$major" -lt "$2" ] || { [ "$major" -eq "$2" ] && [ "$minor" -lt "$3" ]; }; then
    echo "$1 is $major.$minor; the tests need $2.$3 or later" >&2
    exit 1
  fi
}
python3 --version | cut -d' ' -f2 | oldest python3 3 10
node --version | tr -d v | oldest node 18 0

# The libraries are those of the lock files, by their hashes; a copy of the file says what is installed.
cd tests/clients
if ! cmp -s requirements.txt .venv/installed.txt; then
  echo 'Installing tests/clients/requirements.txt'
  python3 -m venv --clear .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
  cp requirements.txt .venv/installed.txt
fi
if ! cmp -s package-lock.json node_modules/installed.json; then
  echo 'Installing tests/clients/package-lock.json'
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/installed.json
fi
echo 'The tests have all they need.'
