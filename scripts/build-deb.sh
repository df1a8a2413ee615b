#!/usr/bin/env bash
# Makes a Debian package of a binary: target/debian/keygate_VERSION_ARCHITECTURE.deb.
# Usage: scripts/build-deb.sh BINARY [amd64|arm64]
# BINARY is best a static one (scripts/build-static.sh), which every release of Debian and Ubuntu can run;
# it must run on this machine, because it writes its own manual pages and completions.
# dpkg-deb alone does it: there is nothing to compile here, and what is in the package stands below.
set -euo pipefail
binary=$(realpath "${1:?usage: scripts/build-deb.sh BINARY [ARCHITECTURE]}")
cd "$(dirname "$0")/.."
architecture=${2:-$(dpkg --print-architecture)}
version=$("$binary" --version | cut -d' ' -f2)
out=${CARGO_TARGET_DIR:-target}/debian
root=$out/root
umask 022
rm -rf "$root"

put() { install -D -m "${3:-0644}" "$1" "$root/$2"; }

put "$binary" usr/bin/keygate 0755
put deploy/systemd/keygate.service usr/lib/systemd/system/keygate.service
put deploy/systemd/keygate.socket usr/lib/systemd/system/keygate.socket
put deploy/systemd/keygate.sysusers usr/lib/sysusers.d/keygate.conf
put deploy/debian/keygate.toml etc/keygate/keygate.toml
put deploy/debian/copyright usr/share/doc/keygate/copyright
put deploy/debian/overrides usr/share/lintian/overrides/keygate
put docs/reference.md usr/share/doc/keygate/reference.md
put CHANGELOG.md usr/share/doc/keygate/changelog
mkdir -p "$root/usr/share/man/man1" "$root/DEBIAN"
"$binary" man "$root/usr/share/man/man1"
completions() { mkdir -p "$(dirname "$root/$2")" && "$binary" completions "$1" >"$root/$2"; }
completions bash usr/share/bash-completion/completions/keygate
completions zsh usr/share/zsh/vendor-completions/_keygate
completions fish usr/share/fish/vendor_completions.d/keygate.fish
# Debian's own log of changes; ours is for users.
{
  printf 'keygate (%s-1) stable; urgency=medium\n\n  * See changelog.gz.\n\n' "$version"
  printf ' -- keygate <keygate@localhost>  %s\n' "$(date -R -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}")"
} >"$root/usr/share/doc/keygate/changelog.Debian"
find "$root/usr/share/man" "$root/usr/share/doc/keygate" -type f ! -name copyright -exec gzip -9n {} +
find "$root/usr/share/man" "$root/usr/share/bash-completion" "$root/usr/share/zsh" "$root/usr/share/fish" \
  -type f -exec chmod 0644 {} +

for script in postinst prerm postrm; do
  install -m 0755 "deploy/debian/$script" "$root/DEBIAN/$script"
done
echo /etc/keygate/keygate.toml >"$root/DEBIAN/conffiles"
sed -e "s/@VERSION@/$version-1/" -e "s/@ARCHITECTURE@/$architecture/" \
  -e "s/@SIZE@/$(du -sk --exclude=DEBIAN "$root" | cut -f1)/" deploy/debian/control >"$root/DEBIAN/control"
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)

package=$out/keygate_$version-1_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
rm -rf "$root"
echo "$package"
