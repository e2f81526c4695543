#!/bin/sh
# with-prefix.sh PREFIX < permissions.conf > permissions-PREFIX.conf: the same
# rights for an installation with NATS_STREAM_PREFIX. A prefix of letters, digits,
# - and _ only: one with a dot has names with a hash, which `nats stream ls` shows.
set -eu
prefix=$1
case $prefix in
    '' | *[!A-Za-z0-9_-]*) echo "with-prefix.sh: not a plain prefix: $prefix" >&2; exit 1 ;;
esac
sed -E \
    -e "s/\"(dispatch|deployment|job|build)\\./\"$prefix.\\1./" \
    -e "s/\\.(DISPATCH_[A-Z]+)/.${prefix}_\\1/" \
    -e "s/\"_INBOX\\.(dispatchd|submit|operator)\\./\"_INBOX.${prefix}_\\1./" \
    -e "s/(KV_|KV\\.)dispatch_/\\1${prefix}_dispatch_/"
