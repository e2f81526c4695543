#!/bin/sh
# packages.sh PACKAGE...: installs Debian packages. A builder that has them all
# already needs no mirror.
set -eu

if dpkg -s "$@" >/dev/null 2>&1; then
    exit 0
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
