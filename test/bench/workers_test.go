//go:build e2e

package bench_test

import (
	"fmt"
	"testing"
)

// BenchmarkWorkers lets 1 to 8 workers share one server. Each has its own
// connection, its own slots and its own lanes; they share this process, and with
// it the processors.
func BenchmarkWorkers(b *testing.B) {
	server, dir := startServer(b), memoryDir(b)
	var contenders []contender
	for _, count := range []int{1, 2, 4, 8} {
		prefix := fmt.Sprintf("workers%d", count)
		var workers []*whole
		for range count {
			workers = append(workers, &whole{platform: newPlatform(b, server, prefix), dir: dir})
		}
		contenders = append(contenders, contender{
			fmt.Sprintf("%d workers", count),
			func(b *testing.B, slots, n int) spent { return runAll(b, workers, slots, n) },
		})
	}
	took := takeTurns(b, contenders, partsSlots)
	for i, c := range contenders {
		results.note("10 slots each: "+c.name, "%s; %s of one worker's speed", took.show(i), spread(took.ratios(i, 0)))
	}
}
