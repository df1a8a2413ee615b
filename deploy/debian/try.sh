#!/bin/sh
# Installs a package on a copy of this system, uses it, removes and purges it: try.sh PACKAGE, as root.
# The copy is a layer above this system that nobody else sees, and that is gone with this script.
# Where there can be none, as in most containers, it ends with 3.
set -eu
package=$(realpath "$1")
if [ "${2-}" != inside ]; then
  unshare --mount true || exit 3
  exec unshare --mount "$0" "$package" inside
fi

mount -t tmpfs tmpfs /mnt || exit 3
mkdir /mnt/changes /mnt/work /mnt/system
mount -t overlay -o lowerdir=/,upperdir=/mnt/changes,workdir=/mnt/work overlay /mnt/system || exit 3
mount -t proc proc /mnt/system/proc
mount --bind /dev /mnt/system/dev
cp "$package" /mnt/system/keygate.deb

there() { chroot /mnt/system "$@"; }
fails() { echo "$*" >&2 && exit 1; }
is() { [ "$(there stat -c '%A %U:%G' "$1")" = "$2" ] || fails "$1 is not $2: $(there stat -c '%A %U:%G' "$1")"; }

named() { there find /etc /usr /var/lib -name '*keygate*'; }

before=$(named)
there dpkg --install /keygate.deb >/dev/null
[ "$(there keygate --version)" = "keygate $(there dpkg-query -W -f '${Version}' keygate | cut -d- -f1)" ] ||
  fails 'keygate does not say the version of its package'
there dpkg-query -L keygate | while read -r file; do
  there test -e "$file" || fails "$file is not there"
done
there dpkg --verify keygate | grep . && fails 'what was installed is not what is in the package'

# Whoever it runs as reads the configuration and the keys, and nobody else.
is /etc/keygate 'drwxr-x--- root:keygate'
is /etc/keygate/keygate.toml '-rw-r----- root:keygate'
is /etc/keygate/keys.toml '-rw-r----- root:keygate'
there keygate keys add first --file /etc/keygate/keys.toml >/dev/null
is /etc/keygate/keys.toml '-rw-r----- root:keygate'
there setpriv --reuid=keygate --regid=keygate --clear-groups keygate check --config /etc/keygate >/dev/null
if there setpriv --reuid=nobody --clear-groups cat /etc/keygate/keys.toml 2>/dev/null; then
  fails 'others read the keys'
fi

# An upgrade keeps the keys, a removal does too, and a purge leaves nothing.
there dpkg --install /keygate.deb >/dev/null
there grep -q '"first"' /etc/keygate/keys.toml || fails 'an upgrade loses the keys'
there dpkg --remove keygate >/dev/null
if there test -e /usr/bin/keygate; then fails 'the binary outlives its removal'; fi
there grep -q '"first"' /etc/keygate/keys.toml || fails 'a removal loses the keys'
there dpkg --purge keygate >/dev/null
[ "$(named)" = "$before" ] || fails "a purge leaves something: $(named)"
