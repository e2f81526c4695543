// Command run is `make chaos`: three NATS servers, three workers, a thousand
// tasks, and faults; all out of one seed. What happened is written into the
// stream STORY; a checker that knows nothing else says what it came to.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dispatchd/dispatchd/test/chaos/effect"
	"github.com/dispatchd/dispatchd/test/chaos/plan"
)

// settings are the flags.
type settings struct {
	seed          uint64
	short, keep   bool
	bin, dir      string
	previous      string
	kinds, points string
	settle        time.Duration
}

func main() {
	var s settings
	flag.Uint64Var(&s.seed, "seed", 1, "makes the plan: the same seed, the same tasks and faults")
	flag.BoolVar(&s.short, "short", false, "a run of under a minute, with faster workers")
	flag.StringVar(&s.bin, "bin", "", "directory with the programs node, worker and checker")
	flag.StringVar(&s.previous, "previous", "", "the last worker's program, where that is of an earlier version")
	flag.StringVar(&s.dir, "dir", "", "directory for logs and stores; a temporary one where empty")
	flag.BoolVar(&s.keep, "keep", false, "keep that directory")
	flag.StringVar(&s.kinds, "faults", "", "comma-separated kinds of fault in the place of the usual ones (with -short)")
	flag.StringVar(&s.points, "points", "", "comma-separated messages at which workers are stopped (with -faults)")
	flag.DurationVar(&s.settle, "settle", 3*time.Minute, "how long the last tasks may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func (s settings) scale() plan.Scale {
	switch {
	case s.kinds != "":
		return plan.Mutant(list(s.kinds), list(s.points))
	case s.short:
		return plan.Short()
	default:
		return plan.Long()
	}
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func run(ctx context.Context, s settings) (err error) {
	logger := log.New(os.Stderr, "", log.Ltime)
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "chaos-"); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	logger.Printf("seed %d, load %s, logs in %s", s.seed, load(), s.dir)
	d, err := newDriver(ctx, s, logger)
	defer func() {
		d.close()
		if err == nil && !s.keep {
			err = os.RemoveAll(s.dir)
		}
	}()
	if err != nil {
		return err
	}
	d.play(ctx, plan.Make(s.seed, d.scale))
	settled := d.settle(ctx)
	return errors.Join(settled, d.check(ctx))
}

// load is the machine's load average.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return "unknown"
	}
	return strings.Join(fields[:3], " ")
}

// driver is everything that runs.
type driver struct {
	settings settings
	scale    plan.Scale
	log      *log.Logger
	cluster  *cluster
	fleet    *fleet
	story    *story
}

func newDriver(ctx context.Context, s settings, logger *log.Logger) (*driver, error) {
	d := &driver{settings: s, scale: s.scale(), log: logger}
	var err error
	if d.cluster, err = newCluster(s.dir, filepath.Join(s.bin, "node")); err != nil {
		return d, err
	}
	if d.story, err = openStory(ctx, d.cluster.urls(), logger); err != nil {
		return d, err
	}
	began := effect.Run{Seed: s.seed, Began: time.Now(), AckWait: d.scale.AckWait, LeaseTTL: d.scale.LeaseTTL, Load: load()}
	d.story.tell(ctx, effect.RunSubject, began)
	env := []string{"DISPATCHD_SLOTS=8", "DISPATCHD_SUPERSEDE=super-*"}
	if d.scale.AckWait > 0 {
		env = append(env, "CHAOS_ACK_WAIT="+d.scale.AckWait.String(), "CHAOS_LEASE_TTL="+d.scale.LeaseTTL.String())
	}
	d.fleet = &fleet{dir: s.dir, binary: filepath.Join(s.bin, "worker"), previous: s.previous, cluster: d.cluster, env: env, log: logger}
	if err := d.fleet.raise(); err != nil {
		return d, err
	}
	d.story.whole(ctx, nodes)
	logger.Print("the cluster is whole and the workers have begun")
	return d, nil
}

// play does what the plan says: tasks one after the other, the rest beside them.
func (d *driver) play(ctx context.Context, steps []plan.Step) {
	began := time.Now()
	trouble := &trouble{fleet: d.fleet, cluster: d.cluster, story: d.story, trapped: d.scale.Between * 3}
	var beside sync.WaitGroup
	supervised, stop := context.WithCancel(ctx)
	defer stop()
	beside.Go(func() {
		d.fleet.supervise(supervised, 2*time.Second, func(worker int) *sync.Mutex { return &trouble.workers[worker] })
	})
	tasks := make(chan plan.Task, len(steps))
	beside.Go(func() {
		for t := range tasks {
			d.story.send(ctx, t)
		}
	})
	for _, step := range steps {
		pause(ctx, step.At-time.Since(began))
		if ctx.Err() != nil {
			break
		}
		switch {
		case step.Fault != nil:
			d.log.Printf("%4.0fs %s %d %s", step.At.Seconds(), step.Fault.Kind, step.Fault.Victim, step.Fault.Point)
			trouble.begin(ctx, *step.Fault)
		case step.Task != nil && step.Task.Once:
			beside.Go(func() { d.once(ctx, *step.Task) })
		case step.Task != nil:
			tasks <- *step.Task
		case step.Cancel != "":
			beside.Go(func() { d.story.cancel(ctx, step.Cancel) })
		default:
			beside.Go(func() { d.story.again(ctx, step.Again, step.Other) })
		}
	}
	close(tasks)
	trouble.running.Wait()
	stop()
	beside.Wait()
}

// settle waits until nothing waits and nothing runs, and ends the workers.
func (d *driver) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.settings.settle)
	defer cancel()
	d.log.Print("all is sent; waiting for the rest")
	err := d.story.until(ctx, "wait for the rest", func(ctx context.Context) error {
		ctx = context.WithoutCancel(ctx) // the last look must say what is left
		queued, open := d.story.left(ctx, "DISPATCH_TASKS"), d.story.left(ctx, "KV_dispatch_run")
		if queued != 0 || open != 0 {
			return fmt.Errorf("%d messages wait and %d runs are open", queued, open)
		}
		return nil
	})
	if killed := d.fleet.drain(40 * time.Second); killed > 0 {
		err = errors.Join(err, fmt.Errorf("%d workers did not end after SIGTERM", killed))
	}
	return err
}

// check has the checker read the streams.
func (d *driver) check(ctx context.Context) error {
	d.log.Printf("load %s", load())
	checker := exec.CommandContext(ctx, filepath.Join(d.settings.bin, "checker"))
	checker.Env = []string{"NATS_SERVERS=" + strings.Join(d.cluster.urls(), ",")}
	checker.Stdout, checker.Stderr = os.Stdout, os.Stderr
	if err := checker.Run(); err != nil {
		return fmt.Errorf("the checker: %w", err)
	}
	return nil
}

func (d *driver) close() {
	if d.fleet != nil {
		d.fleet.close()
	}
	if d.story != nil {
		d.story.nc.Close()
	}
	if d.cluster != nil {
		d.cluster.close()
	}
}
