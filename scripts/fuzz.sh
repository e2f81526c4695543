#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, one after the other.
set -euo pipefail
time=${1:-3s}
said=$(mktemp)
trap 'rm -f "$said"' EXIT

# fuzz runs one target. Go's fuzzer sometimes takes the end of its own time for a
# failure (go.dev/issue/75804): it then says only "context deadline exceeded" and
# has no input to blame.
fuzz() {
  go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -tags grpcnotrace,nethttpomithttp2 "./$1" </dev/null 2>&1 | tee "$said" && return
  grep -qE '^ +context deadline exceeded$' "$said" && ! grep -qE 'Failing input|_test\.go:|panic:' "$said"
}

grep -rlE '^func Fuzz' --include='*_test.go' internal | xargs -n1 dirname | sort -u | while read -r dir; do
  grep -hoE '^func Fuzz[A-Za-z0-9]+' "$dir"/*_test.go | awk '{print $2}' | sort -u | while read -r target; do
    echo "fuzz $dir $target for $time"
    fuzz "$dir" "$target"
  done
done
