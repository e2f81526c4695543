#!/bin/sh
# Breaks the protocol on purpose, one patch of test/chaos/testdata/mutants at a
# time, in a copy of the tree, and has a short chaos run show that the checker
# sees it. Fails where a mutant goes unseen.
#   chaos-mutants.sh [name...]   SEEDS="1 2 3" to try more than one plan
set -eu
cd "$(dirname "$0")/.."
go=${GO:-go}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
./scripts/chaos-build.sh "$dir/bin"
mkdir "$dir/tree"
[ $# -gt 0 ] || set -- $(ls test/chaos/testdata/mutants | sed 's/\.patch$//')
unseen=
for name; do
	patch=test/chaos/testdata/mutants/$name.patch
	rm -rf "$dir/tree" && mkdir "$dir/tree"
	tar -c --exclude=./.git --exclude=./bin . | tar -x -C "$dir/tree"
	patch -s -p1 -d "$dir/tree" <"$patch"
	(cd "$dir/tree" && $go build -tags grpcnotrace -o "$dir/bin/worker" ./test/chaos/worker)
	seen=
	for seed in ${SEEDS:-1 2 3}; do
		"$dir/bin/run" -short -seed "$seed" -bin "$dir/bin" -settle 30s \
			-faults "$(sed -n 's/^faults: //p' "$patch")" -points "$(sed -n 's/^points: //p' "$patch")" >"$dir/out" 2>&1 || true
		if grep -qE '^(lost|twice|contradicted|out of order): ' "$dir/out"; then
			seen=$seed
			break
		fi
	done
	if [ -z "$seen" ]; then
		unseen="$unseen $name"
		tail -n 20 "$dir/out"
		continue
	fi
	printf '%-20s seen with seed %s: ' "$name" "$seen"
	grep -E '^(lost|twice|contradicted|out of order): ' "$dir/out" | cut -d: -f1 | sort | uniq -c | tr -s ' \n' ' '
	echo
	grep -E '^(lost|twice|contradicted|out of order): ' "$dir/out" | head -n 1
done
[ -z "$unseen" ] || { echo "not seen:$unseen" >&2; exit 1; }
