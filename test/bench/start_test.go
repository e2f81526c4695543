//go:build e2e

package bench_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// starts is how often each program is started.
const starts = 10

// BenchmarkRunOnceStart measures how long run-once takes from its exec to the
// refusal of a task, and to the first event of one: a deployment without a
// deployer, which asks nobody but NATS.
func BenchmarkRunOnceStart(b *testing.B) {
	p := newPlatform(b, startServer(b), "start")
	first := make(chan *nats.Msg, 1)
	_, err := p.nc.ChanSubscribe(p.subject("deployment.status.changed"), first)
	must(b, err)
	must(b, p.nc.Flush())
	env, program := p.environ(b), binary(b)
	node, _ := exec.LookPath("node")

	var refusals, events, nodes []time.Duration
	for b.Loop() {
		for i := range starts + 1 {
			refusal := untilExit(b, exec.Command(program, "run-once"), env)
			event := untilEvent(b, program, env, first)
			if i == 0 {
				continue // The first one reads the program from the disk.
			}
			refusals, events = append(refusals, refusal), append(events, event)
			if node != "" {
				nodes = append(nodes, untilExit(b, exec.Command(node, "-e", "0"), env))
			}
		}
	}
	judgeStart("run-once: exec to refusal", median(refusals), nodes)
	judgeStart("run-once: exec to first event", median(events), nodes)
	b.ReportMetric(float64(median(refusals).Microseconds())/1000, "ms/refusal")
	b.ReportMetric(float64(median(events).Microseconds())/1000, "ms/first-event")
}

func judgeStart(what string, took time.Duration, nodes []time.Duration) {
	const limit = 100 * time.Millisecond
	if len(nodes) == 0 {
		results.judge(what, ms(took)+" (no node here to compare with)", "< 100 ms", took < limit)
		return
	}
	ratio := float64(took) / float64(median(nodes))
	results.judge(what, fmt.Sprintf("%s, %.2f of node -e 0 (%s)", ms(took), ratio, ms(median(nodes))),
		"< 100 ms and ≤ 0.5", took < limit && ratio <= 0.5)
}

// untilExit runs a program to its end, whatever that is.
func untilExit(b *testing.B, cmd *exec.Cmd, env []string) time.Duration {
	b.Helper()
	cmd.Env = env
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.Fatal(err)
	}
	return took
}

// untilEvent runs a task and returns when its first event was heard.
func untilEvent(b *testing.B, program string, env []string, first <-chan *nats.Msg) time.Duration {
	b.Helper()
	cmd := exec.Command(program, "run-once")
	cmd.Env = append(env[:len(env):len(env)], "NOMAD_META_TASK=deploy-image", "NOMAD_META_PARAMS="+fmt.Sprintf(
		`{"jobId":"app","imageName":"acme/app","imageTag":"1","deploymentId":"dep-%s","deploymentJobId":1,"serviceId":"srv-1","deploy":"noop"}`, tasks.NewID()))
	out := &logBuffer{}
	cmd.Stderr = out
	began := time.Now()
	must(b, cmd.Start())
	defer func() {
		if err := cmd.Wait(); err != nil {
			b.Errorf("run-once: %v\n%s", err, out)
		}
	}()
	select {
	case <-first:
	case <-brief(b).Done():
		b.Errorf("no event:\n%s", out)
	}
	return time.Since(began)
}

// BenchmarkBinarySize is no benchmark, but belongs into the table.
func BenchmarkBinarySize(b *testing.B) {
	const limit = 22e6
	var size int64
	for b.Loop() {
		info, err := os.Stat(binary(b))
		must(b, err)
		size = info.Size()
	}
	results.judge("binary, stripped", mb(size), "< 22 MB", size < limit)
	b.ReportMetric(float64(size), "bytes")
}
