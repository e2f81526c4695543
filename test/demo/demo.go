package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// demo is one run: what it has started, and what its steps have shown.
type demo struct {
	settings settings
	screen   *screen
	began    time.Time
	// dir holds the logs, the tasks' files and the bed's data.
	dir     string
	binary  string
	base    string
	bed     *testbed.Bed
	streams *streams
	worker  *worker
	env     []string
	results []result
}

func newDemo(s settings, screen *screen) *demo {
	return &demo{settings: s, screen: screen, began: time.Now()}
}

// run shows everything and cleans up. Where something fails, the logs stay and
// the error says where.
func (d *demo) run(ctx context.Context, plan *testbed.Plan) error {
	if err := d.open(); err != nil {
		return err
	}
	err := d.show(ctx, plan)
	if err != nil && ctx.Err() != nil {
		err = errInterrupted
	}
	d.screen.heading("Cleaning up")
	err = also(err, d.close())
	if err != nil && !errors.Is(err, errInterrupted) {
		return fmt.Errorf("%w; the logs are in %s", err, filepath.Join(d.dir, "log"))
	}
	if err = also(err, os.RemoveAll(d.dir)); err != nil {
		return err
	}
	d.screen.heading("Everything worked, and nothing is left behind (%s in all)", time.Since(d.began).Round(100*time.Millisecond))
	return nil
}

// errInterrupted means that somebody did not want to see the rest.
var errInterrupted = errors.New("stopped before the end")

// also puts the second error behind the first, in one sentence.
func also(first, second error) error {
	if first == nil || second == nil {
		return errors.Join(first, second)
	}
	return fmt.Errorf("%w; %w", first, second)
}

// open makes the directory and finds the program.
func (d *demo) open() (err error) {
	if d.binary, err = filepath.Abs(d.settings.binary); err != nil {
		return err
	}
	if _, err := os.Stat(d.binary); err != nil {
		return fmt.Errorf("find dispatchd: %w; make build makes it", err)
	}
	if d.dir, err = os.MkdirTemp("", "dispatchd-demo-"); err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	return os.MkdirAll(filepath.Join(d.dir, "log"), 0o755)
}

// show ends as soon as the service does: its end explains every later error.
func (d *demo) show(ctx context.Context, plan *testbed.Plan) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := d.showAll(ctx, cancel, plan)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (d *demo) showAll(ctx context.Context, ended func(error), plan *testbed.Plan) error {
	if err := d.start(ctx, plan); err != nil {
		return err
	}
	if err := d.startWorker(ctx, ended); err != nil {
		return err
	}
	for i, s := range d.steps() {
		d.screen.heading("%d. %s", i+1, s.title)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	newTable(d.results).print(d.screen)
	if d.settings.keep {
		return d.wait(ctx)
	}
	return nil
}

// start brings up the platform: the parts and the backend's streams.
func (d *demo) start(ctx context.Context, plan *testbed.Plan) error {
	if !plan.Empty() {
		d.screen.heading("Installing and building what is missing")
	}
	tools, err := plan.Apply(ctx)
	if err != nil {
		return err
	}
	d.screen.heading("Starting a platform on 127.0.0.1: Nomad, Docker, BuildKit, a registry, a git server, NATS")
	d.bed, err = testbed.Start(ctx, testbed.Options{Dir: d.dir, Log: d.screen, Tools: &tools})
	if err != nil {
		return err
	}
	if err := allowMemoryMax(ctx, d.bed.Nomad); err != nil {
		return err
	}
	if d.base, err = d.bed.PushBase(ctx); err != nil {
		return err
	}
	d.streams, err = openStreams(ctx, d.bed.NATS.ClientURL())
	return err
}

func (d *demo) startWorker(ctx context.Context, ended func(error)) error {
	port, err := d.bed.Port()
	if err != nil {
		return fmt.Errorf("start dispatchd: %w", err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	d.env = append(d.bed.Env(),
		"DISPATCHD_REGISTRY="+d.bed.Registry.Addr()+"/demo",
		"DISPATCHD_GITHUB_URL="+d.bed.Git.Addr(),
		"DISPATCHD_HTTP_ADDR="+addr,
		"DISPATCHD_WORK_DIR="+d.workDir(),
		"DISPATCHD_DRAIN_TIMEOUT="+drainTimeout,
		"DISPATCHD_LOG_FORMAT=console",
	)
	began := time.Now()
	d.worker, err = startWorker(workerOptions{
		// The bed's mark has the next bed end the service where we were killed.
		binary: d.binary, env: append(d.environ(), "DISPATCHD_TESTBED="+d.bed.SlotDir()),
		addr: addr, log: filepath.Join(d.dir, "log", "dispatchd.log"), ended: ended,
	})
	if err != nil {
		return err
	}
	if err := d.worker.ready(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(d.screen, "dispatchd run is ready after %s\n", time.Since(began).Round(10*time.Millisecond))
	return err
}

// environ is the environment of our dispatchd processes: what the user
// has set for a platform of his own must not reach them.
func (d *demo) environ() []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.dir, "LANG=C.UTF-8"}, d.env...)
}

func (d *demo) workDir() string { return filepath.Join(d.dir, "work") }

// close ends everything that was started, the last thing first, and says what
// is left of it.
func (d *demo) close() error {
	var err error
	if d.worker != nil && d.worker.running() {
		err = also(d.worker.stop(), d.workLeft())
	}
	if d.streams != nil {
		d.streams.close()
	}
	if d.bed != nil {
		err = also(err, d.bed.Close())
	}
	return err
}

// workLeft says what the service has left of its tasks' directories.
func (d *demo) workLeft() error {
	left, err := filepath.Glob(filepath.Join(d.workDir(), "*"))
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("dispatchd left %v behind", left)
	}
	return err
}
