#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, one after the other.
set -euo pipefail
time=${1:-3s}
grep -rlE '^func Fuzz' --include='*_test.go' internal | xargs -n1 dirname | sort -u | while read -r dir; do
  grep -hoE '^func Fuzz[A-Za-z0-9]+' "$dir"/*_test.go | awk '{print $2}' | sort -u | while read -r target; do
    echo "fuzz $dir $target for $time"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -tags grpcnotrace,nethttpomithttp2 "./$dir" </dev/null
  done
done
