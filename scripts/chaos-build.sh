#!/bin/sh
# Builds the programs of a chaos run into a directory: chaos-build.sh <dir> [skew]
# Where PREVIOUS names a revision, worker-previous is the worker of that one.
# With "skew" the workers' wall clock can be set off by CHAOS_CLOCK_SHIFT: for that
# one build time.Now of the standard library is replaced. The monotonic clock
# stays as it is, as it does on a machine whose clock is wrong.
set -eu
bin=$1
go=${GO:-go}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
for program in node checker run; do
	$go build -tags grpcnotrace,nethttpomithttp2 -o "$bin/$program" "./test/chaos/$program"
done
if [ "${2:-}" = skew ]; then
	original=$($go env GOROOT)/src/time/time.go
	sed 's/sec, nsec, mono := runtimeNow()$/sec, nsec, mono := runtimeNow(); sec += chaosShift/' "$original" >"$bin/time.go.txt"
	cat >>"$bin/time.go.txt" <<'GO'

var chaosShift = func() int64 {
	text, _ := syscall.Getenv("CHAOS_CLOCK_SHIFT")
	shift, _ := ParseDuration(text)
	return int64(shift / Second)
}()
GO
	sed -i 's/^import (/import (\n\t"syscall"/' "$bin/time.go.txt"
	grep -q 'sec += chaosShift' "$bin/time.go.txt"
	printf '{"Replace": {"%s": "%s"}}\n' "$original" "$bin/time.go.txt" >"$bin/overlay.json"
	$go build -tags grpcnotrace,nethttpomithttp2 -overlay "$bin/overlay.json" -o "$bin/worker" ./test/chaos/worker
else
	$go build -tags grpcnotrace,nethttpomithttp2 -o "$bin/worker" ./test/chaos/worker
fi
rm -f "$bin/worker-previous"
if [ -n "${PREVIOUS:-}" ]; then
	tree=$(mktemp -d)
	trap 'rm -rf "$tree"' EXIT
	git archive "$PREVIOUS" | tar -x -C "$tree"
	(cd "$tree" && $go build -tags grpcnotrace,nethttpomithttp2 -o "$bin/worker-previous" ./test/chaos/worker)
fi
