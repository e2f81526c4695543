#!/bin/sh
# git.sh SUITE ROOT: builds git and its helper for http and https from the
# sources of a Debian suite, patches included, and puts both under ROOT.
set -eu
suite=$1
root=$2

echo "deb-src http://deb.debian.org/debian $suite main" > /etc/apt/sources.list.d/git.list
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    gcc make libc6-dev libcurl4-gnutls-dev zlib1g-dev dpkg-dev xz-utils ca-certificates
mkdir /git-source
cd /git-source
apt-get source -q git
cd git-*/
version=$(dpkg-parsechangelog -S Version)

# No scripts, no translations and no TLS of git's own: libcurl has it. Sections
# of their own let the linker leave out what nothing calls.
hardening="-fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE"
make -j"$(nproc)" prefix=/usr gitexecdir=/usr/lib/git-core sysconfdir=/etc \
    NO_PERL=1 NO_PYTHON=1 NO_TCLTK=1 NO_GETTEXT=1 NO_EXPAT=1 NO_OPENSSL=1 \
    CFLAGS="-Os -ffunction-sections -fdata-sections $hardening" \
    LDFLAGS="-pie -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now -s" \
    git git-remote-http > /git-source/log 2>&1 || { tail -n 30 /git-source/log >&2; exit 1; }

mkdir -p "$root/usr/bin" "$root/usr/lib/git-core" "$root/var/lib/dpkg/status.d"
cp git "$root/usr/bin/git"
cp git-remote-http "$root/usr/lib/git-core/git-remote-http"
ln -s git-remote-http "$root/usr/lib/git-core/git-remote-https"
# For scanners, which know packages by these files.
printf 'Package: git\nStatus: install ok installed\nArchitecture: %s\nVersion: %s\nMaintainer: dispatchd\nDescription: git, built from Debian sources\n' \
    "$(dpkg --print-architecture)" "$version" > "$root/var/lib/dpkg/status.d/git"
