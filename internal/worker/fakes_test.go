package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// world is one queue, its records and its audience, in memory, with everything
// that a worker did to them in the order in which it did it. Real NATS is
// tested in queue, events and service; here the order of the verbs is.
type world struct {
	mu       sync.Mutex
	verbs    []string
	runs     map[string]*worker.Run
	terminal map[string]worker.Settlement
	pending  []*fakeDelivery
	added    chan struct{}
	closed   bool
	// lanes keep IN_PROGRESS single however often it is said.
	lanes bool
	// flushHangs makes the log wait for its context.
	flushHangs bool
	// fail makes a verb fail as often as it says.
	fail map[string]int
	// claims is what every claim answers.
	claims error
	// fence is that under which the last claim was asked for.
	fence uint64
	// lease is what renewing a lease answers.
	lease error
	// beforeRetake is what others do before a lease is taken again; may be nil.
	beforeRetake func(*world)
	// valid is how a stream asks whether the task is its own; heldValid is true
	// where that was so while a claim could not be saved.
	valid     func() bool
	heldValid bool
	// cancelled are the ids whose end was asked for.
	cancelled map[string]bool
	// log is what was written to the task's error output.
	log bytes.Buffer
}

func newWorld() *world {
	return &world{runs: map[string]*worker.Run{}, terminal: map[string]worker.Settlement{}, added: make(chan struct{}, 100), fail: map[string]int{}, cancelled: map[string]bool{}}
}

var errFake = errors.New("made to fail")

// did notes a verb, or fails where the test wants it to.
func (w *world) did(format string, args ...any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	verb := fmt.Sprintf(format, args...)
	if w.fail[verb] > 0 {
		w.fail[verb]--
		w.verbs = append(w.verbs, verb+" fails")
		return errFake
	}
	w.verbs = append(w.verbs, verb)
	return nil
}

func (w *world) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.verbs...)
}

func (w *world) add(d *fakeDelivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d.world = w
	w.pending = append(w.pending, d)
	w.added <- struct{}{}
}

// close makes the queue exhausted once it is empty.
func (w *world) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	close(w.added)
}

func (w *world) Fetch(ctx context.Context) (worker.Delivery, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case _, open := <-w.added:
		w.mu.Lock()
		defer w.mu.Unlock()
		if !open && len(w.pending) == 0 {
			return nil, io.EOF
		}
		d := w.pending[0]
		w.pending = w.pending[1:]
		return d, nil
	}
}

type fakeDelivery struct {
	world   *world
	task    tasks.Task
	invalid error
	extends int
	// blocked is who goes first, newer what waits behind.
	blocked *worker.BlockedError
	newer   string
	// crowd is who goes first where it has come into a crowd.
	crowd *worker.BlockedError
	// once is true for a delivery that no queue brings again; number counts it.
	once   bool
	number int
}

func (d *fakeDelivery) Message() worker.Message {
	if d.once {
		return worker.Message{Deliveries: 1}
	}
	return worker.Message{Deliveries: max(d.number, 1), Subject: "dispatch.task.deploy-image.web." + d.task.ID}
}

func (d *fakeDelivery) Crowd() *worker.BlockedError { return d.crowd }
func (d *fakeDelivery) Decode() (tasks.Task, error) { return d.task, d.invalid }
func (d *fakeDelivery) Extend(context.Context) error {
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	d.extends++
	if d.world.fail["extend"] > 0 {
		return errFake
	}
	return nil
}
func (d *fakeDelivery) Done(context.Context) error { return d.world.did("ack %s", d.task.ID) }
func (d *fakeDelivery) Retry(_ context.Context, after time.Duration) error {
	when := "at once"
	if after > 0 {
		when = "later"
	}
	return d.world.did("hand back %s %s", d.task.ID, when)
}

func (d *fakeDelivery) Discard(_ context.Context, why worker.DeadLetter) error {
	return d.world.did("discard %s", why.Reason)
}

// Turn is given unless the test says who goes first.
func (d *fakeDelivery) Turn(_ context.Context, holder worker.Holder) (worker.Lease, error) {
	if d.blocked != nil {
		return nil, d.blocked
	}
	return &fakeLease{world: d.world, id: holder.TaskID}, nil
}

func (d *fakeDelivery) Newer(context.Context) (string, error) { return d.newer, nil }

// fakeLease is lost, or gone, where the test says so.
type fakeLease struct {
	world *world
	id    string
	// retaken counts how often it was taken again.
	retaken uint64
}

func (l *fakeLease) Renew(context.Context) error {
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	return l.world.lease
}

func (l *fakeLease) Retake(context.Context) error {
	if l.world.beforeRetake != nil {
		l.world.set(l.world.beforeRetake)
	}
	l.retaken++
	return l.world.did("retake %s", l.id)
}
func (l *fakeLease) Valid() bool   { return true }
func (l *fakeLease) Fence() uint64 { return 7 + l.retaken }

func (l *fakeLease) Release(context.Context) error { return l.world.did("release %s", l.id) }

// Claim implements worker.Runs.
func (w *world) Claim(_ context.Context, request worker.ClaimRequest) (worker.Claim, error) {
	id, resume := request.TaskID, request.Resume
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fence = request.Fence
	if w.claims != nil {
		return nil, w.claims
	}
	if w.fail["claim"] > 0 {
		w.fail["claim"]--
		return nil, errFake
	}
	run, open := w.runs[id]
	if !open && resume {
		return nil, worker.ErrNoRun
	}
	if request.Respect && open && run.Worker != "" {
		return nil, worker.ErrHeld
	}
	if !open {
		fresh := request.New
		run = &fresh
		run.Claims, run.Attempts = 0, 0
		w.runs[id] = run
	}
	run.Claims++
	if request.Sweep == 0 {
		run.Attempts++
	}
	return &fakeClaim{world: w, id: id, run: *run, number: run.Claims}, nil
}

type fakeClaim struct {
	world  *world
	id     string
	run    worker.Run
	number int
	age    time.Duration
}

func (c *fakeClaim) Holds(context.Context) error {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if stored, open := c.world.runs[c.id]; !open || stored.Claims != c.number {
		return worker.ErrClaimLost
	}
	return nil
}

func (c *fakeClaim) Run() worker.Run    { return c.run }
func (c *fakeClaim) Age() time.Duration { return c.age }

func (c *fakeClaim) Save(ctx context.Context, change func(*worker.Run)) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	next := c.run
	change(&next)
	what := "save"
	if next.Outcome != nil {
		what = "record outcome"
	}
	err := c.world.did("%s %s", what, c.id)
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if err != nil {
		c.world.heldValid = c.world.heldValid || c.world.valid()
		return err
	}
	if stored, open := c.world.runs[c.id]; !open || stored.Claims != c.number {
		return worker.ErrClaimLost
	}
	c.run = next
	stored := next
	c.world.runs[c.id] = &stored
	return nil
}

func (c *fakeClaim) Delete(context.Context) error {
	c.world.mu.Lock()
	delete(c.world.runs, c.id)
	c.world.mu.Unlock()
	return c.world.did("delete run %s", c.id)
}

func (w *world) Ended(_ context.Context, id string) (*worker.Settlement, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.terminal[id]; ok {
		return &s, nil
	}
	return nil, nil
}

func (w *world) Duplicate(_ context.Context, id, _ string) { _ = w.did("duplicate %s", id) }

func (w *world) Waiting(_ context.Context, about worker.Subject, what worker.Wait) {
	if what.Behind == "" {
		_ = w.did("%s cannot begin", about.Task.ID)
		return
	}
	_ = w.did("%s waits for %s", about.Task.ID, what.Behind)
}

func (w *world) Cancelled(_ context.Context, id string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail["cancelled"] > 0 {
		w.fail["cancelled"]--
		return false, errFake
	}
	return w.cancelled[id], nil
}

func (w *world) Begin(_ context.Context, about worker.Subject) (worker.Run, error) {
	will := worker.Settlement{TaskID: about.Task.ID, Status: worker.StatusFailed, Reason: tasks.ReasonWorkerLost}
	return worker.Run{Will: &will}, nil
}

func (w *world) Open(_ context.Context, about worker.Subject) (worker.Stream, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail["open"] > 0 {
		w.fail["open"]--
		return nil, errFake
	}
	w.valid = about.Valid
	return &fakeStream{world: w, about: about}, nil
}

type fakeStream struct {
	world *world
	about worker.Subject
}

func (s *fakeStream) Stage(stage tasks.Stage) { _ = s.world.did("stage %s", stage) }
func (s *fakeStream) Stdout() io.Writer       { return io.Discard }
func (s *fakeStream) Stderr() io.Writer       { return &s.world.log }
func (s *fakeStream) Started(context.Context) (bool, error) {
	return s.world.lanes, s.world.did("IN_PROGRESS %s", s.about.Task.ID)
}

func (s *fakeStream) Flush(ctx context.Context) (uint64, error) {
	if s.world.flushHangs {
		<-ctx.Done()
	}
	return 0, s.world.did("flush")
}
func (s *fakeStream) Close() {}

func (s *fakeStream) Compose(o tasks.Outcome) worker.Settlement {
	settlement := worker.Settlement{TaskID: s.about.Task.ID, Kind: s.about.Task.Kind, Status: worker.StatusSucceeded, Attempt: s.about.Run.Attempts}
	if o.Failure != nil {
		row := o.Failure.Row()
		settlement.Status, settlement.Reason, settlement.Class = worker.StatusFailed, row.Reason, row.Class
		settlement.Stage, settlement.Message = o.Failure.Stage, o.Failure.Message
	}
	return settlement
}

func (w *world) End(_ context.Context, settlement worker.Settlement) (worker.Settlement, error) {
	if err := w.did("terminal %s", settlement.TaskID); err != nil {
		return settlement, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if standing, ok := w.terminal[settlement.TaskID]; ok {
		return standing, nil
	}
	w.terminal[settlement.TaskID] = settlement
	return settlement, nil
}

func (w *world) Announce(_ context.Context, settlement worker.Settlement) error {
	return w.did("announce %s %s", settlement.TaskID, settlement.Status)
}

func (w *world) EndLog(_ context.Context, settlement worker.Settlement) error {
	return w.did("end log %s", settlement.TaskID)
}

func (s *fakeStream) Retried(context.Context, *tasks.Failure, time.Duration) {
	_ = s.world.did("retry event")
}

// handler is what a test wants to happen to a task.
type handler func(ctx context.Context, t tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error)

func (h handler) Handle(ctx context.Context, t tasks.Task, at tasks.Attempt, rep tasks.Reporter) (tasks.Result, error) {
	return h(ctx, t, at, rep)
}

func succeed(context.Context, tasks.Task, tasks.Attempt, tasks.Reporter) (tasks.Result, error) {
	return tasks.Result{}, nil
}

func deployTask(id string) tasks.Task {
	return tasks.Task{ID: id, Kind: tasks.KindDeployImage, Deploy: &tasks.Deploy{JobID: "web", DeploymentID: "d1", ServiceID: "s1"}}
}

// pool makes a pool over the world; change may set options.
func (w *world) pool(t *testing.T, h handler, change func(*worker.Options)) *worker.Pool {
	t.Helper()
	space, err := worker.OpenWorkspace(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = space.Close() })
	options := worker.Options{
		Workspace: space, Redactor: redact.New(), Log: zap.NewNop(),
		Metrics: worker.NewMetrics(prometheus.NewRegistry()),
	}
	if change != nil {
		change(&options)
	}
	return worker.New(w, w, w, h, options)
}
