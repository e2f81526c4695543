#!/bin/sh
# Breaks the protocol on purpose, one patch of test/chaos/testdata/mutants at a
# time, in a copy of the tree, and has a short chaos run show that the checker
# sees it; the same plan with the tree as it is must show nothing. Fails where a
# mutant goes unseen.
#   chaos-mutants.sh [name...]   SEEDS="1 2 3" to try more than one plan
set -eu
cd "$(dirname "$0")/.."
go=${GO:-go}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
./scripts/chaos-build.sh "$dir/sound"
mkdir "$dir/tree" "$dir/broken"
ln -s "$dir/sound/node" "$dir/sound/checker" "$dir/broken/"
# broken <programs> <seed> <patience> <patch> says what the checker has against them.
broken() {
	"$dir/sound/run" -short -seed "$2" -bin "$1" -settle "$3" \
		-faults "$(sed -n 's/^faults: //p' "$4")" -points "$(sed -n 's/^points: //p' "$4")" >"$dir/out" 2>&1 || true
	grep -E '^(lost|twice|contradicted|out of order|checker): ' "$dir/out" || true
}
[ $# -gt 0 ] || set -- $(ls test/chaos/testdata/mutants | sed 's/\.patch$//')
unseen=
for name; do
	patch=test/chaos/testdata/mutants/$name.patch
	rm -rf "$dir/tree" && mkdir "$dir/tree"
	tar -c --exclude=./.git --exclude=./bin . | tar -x -C "$dir/tree"
	patch -s -p1 -d "$dir/tree" <"$patch"
	(cd "$dir/tree" && $go build -tags grpcnotrace,nethttpomithttp2 -o "$dir/broken/worker" ./test/chaos/worker)
	seen=
	for seed in ${SEEDS:-1 2 3}; do
		broken "$dir/broken" "$seed" 30s "$patch" >"$dir/seen"
		[ -s "$dir/seen" ] && seen=$seed && break
	done
	if [ -z "$seen" ]; then
		unseen="$unseen $name"
		tail -n 20 "$dir/out"
		continue
	fi
	printf '%-20s seed %s: %s\n' "$name" "$seen" "$(cut -d: -f1 "$dir/seen" | sort | uniq -c | tr -s ' \n' ' ')"
	head -n 1 "$dir/seen"
	broken "$dir/sound" "$seen" 3m "$patch" >"$dir/seen"
	grep -E '^chaos: ' "$dir/out" >>"$dir/seen" || true
	if [ -s "$dir/seen" ]; then
		echo "the tree as it is:" && cat "$dir/seen"
		unseen="$unseen $name(control)"
	fi
done
[ -z "$unseen" ] || { echo "not seen:$unseen" >&2; exit 1; }
