//go:build e2e

package bench_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// contender works off n tasks with so many slots.
type contender struct {
	name string
	run  func(b *testing.B, slots, n int) spent
}

// spent is what a number of tasks took by the clock, and of the processors: the
// worker's and the server's share. The second changes little on a busy machine.
type spent struct{ took, worker, server time.Duration }

// clock stops when the last task has ended.
type clock struct {
	platform *platform
	left     atomic.Int64
	stop     context.CancelFunc

	began  time.Time
	before spent
	result spent
}

// startClock calls stop when n tasks have ended.
func (p *platform) startClock(n int, stop context.CancelFunc) *clock {
	c := &clock{platform: p, stop: stop}
	c.left.Store(int64(n))
	c.start()
	return c
}

// start lets the clock begin anew.
func (c *clock) start() {
	c.before = spent{worker: ownTime(), server: c.platform.server.time()}
	c.began = time.Now()
}

// ended counts a task.
func (c *clock) ended() {
	if c.left.Add(-1) != 0 {
		return
	}
	c.result = spent{
		took: time.Since(c.began), worker: ownTime() - c.before.worker, server: c.platform.server.time() - c.before.server,
	}
	c.stop()
}

// ownTime is the processor time that this process has used.
func ownTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// time is the processor time that the server has used, in steps of 10 ms.
func (s natsServer) time() time.Duration {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.pid), "stat"))
	if err != nil {
		return 0
	}
	// The name before it may hold anything; user and system time are the twelfth
	// and the thirteenth field after it.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	var ticks int64
	for _, field := range fields[11:13] {
		n, _ := strconv.ParseInt(string(field), 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// turns holds the rounds of each contender.
type turns [][]spent

// takeTurns lets each contender warm up and then take its turn in each round.
// Who begins changes, so that nobody always follows the same one.
func takeTurns(b *testing.B, contenders []contender, slots int) turns {
	b.Helper()
	for _, c := range contenders {
		c.run(b, slots, warmUpTasks)
	}
	took := make(turns, len(contenders))
	for b.Loop() {
		for round := range rounds {
			for turn := range contenders {
				who := (turn + round) % len(contenders)
				took[who] = append(took[who], contenders[who].run(b, slots, roundTasks))
			}
		}
	}
	if b.Failed() {
		b.FailNow()
	}
	return took
}

// speeds are a contender's tasks in a second, of each round.
func (t turns) speeds(who int) []float64 {
	var speeds []float64
	for _, s := range t[who] {
		speeds = append(speeds, roundTasks/s.took.Seconds())
	}
	return speeds
}

// ratios compares two contenders' speeds round by round.
func (t turns) ratios(who, beside int) []float64 {
	var ratios []float64
	for round, s := range t[who] {
		ratios = append(ratios, t[beside][round].took.Seconds()/s.took.Seconds())
	}
	return ratios
}

// show says how fast a contender was and what a task cost.
func (t turns) show(who int) string {
	var worker, server []time.Duration
	for _, s := range t[who] {
		worker, server = append(worker, s.worker/roundTasks), append(server, s.server/roundTasks)
	}
	return fmt.Sprintf("%.0f tasks/s; a task takes %d µs of processor time here and %d µs at the server",
		median(t.speeds(who)), median(worker).Microseconds(), median(server).Microseconds())
}

// spread shows the middle of some ratios and how far they lie apart.
func spread(ratios []float64) string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
}
