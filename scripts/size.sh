#!/usr/bin/env bash
# Prints the size of the stripped binary and fails above the limit.
set -euo pipefail
limit=$((22 * 1000 * 1000))
bytes=$(stat -c %s "$1")
printf '%s: %d.%d MB of at most %d MB\n' "$1" $((bytes / 1000000)) $((bytes % 1000000 / 100000)) $((limit / 1000000))
if [ "$bytes" -ge "$limit" ]; then
  echo "the binary is too large" >&2
  exit 1
fi
