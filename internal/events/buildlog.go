package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

const (
	// maxBuffered is how many bytes of lines wait for a slow server before the
	// oldest are dropped: the end of a log says why a build failed.
	maxBuffered = 8 << 20
	// entryCost is what a line costs beside its text, so that empty ones count.
	entryCost = 128
	// batchLines is how many lines are on their way at once.
	batchLines = 256
)

// errBusy says that the connection takes no more lines at once.
var errBusy = errors.New("publish log lines: the connection takes no more")

// entry is one log line or one run event, in the order in which they came.
type entry struct {
	line   logLine
	notice *RunEvent
}

// size is what the entry counts for maxBuffered.
func (e entry) size() int { return len(e.line.content) + entryCost }

type logLine struct {
	output  string
	content string
	phase   tasks.Phase
	at      time.Time
}

// buildLog publishes the lines of one attempt in order, from one goroutine, so
// that nobody who writes a line ever waits for the network.
type buildLog struct {
	publisher *Publisher
	about     worker.Subject
	cancel    context.CancelFunc
	done      sync.WaitGroup
	wake      chan struct{}
	idle      chan struct{} // closed whenever nothing waits

	mu       sync.Mutex
	phase    tasks.Phase
	waiting  []entry
	buffered int
	dropped  int
	busy     bool

	// plain is true where no stream keeps build logs.
	plain bool
	// sequence is the number of the last line taken, out that of the last line
	// that is out. Both are the goroutine's until flush has returned.
	sequence, out uint64
	// stream keeps the lines. tail is the sequence of the last of them that is
	// known, where known is true; unsure is true where one may stand there of which
	// we have not heard.
	stream        string
	tail          uint64
	known, unsure bool
}

// logStart is where a log goes on and how it goes out.
type logStart struct {
	// after is the number of the last line that is out.
	after uint64
	// stream keeps the lines; empty where plain is true.
	stream string
	plain  bool
}

// startBuildLog starts the goroutine. It outlives ctx: close ends it.
func startBuildLog(ctx context.Context, p *Publisher, about worker.Subject, start logStart) *buildLog {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &buildLog{
		publisher: p, about: about, cancel: cancel, sequence: start.after, out: start.after, plain: start.plain, stream: start.stream,
		wake: make(chan struct{}, 1), idle: closedChannel(), phase: tasks.StageAccept.Phase(),
	}
	l.done.Go(func() { l.run(ctx) })
	return l
}

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// enter sets the phase of the lines that follow.
func (l *buildLog) enter(stage tasks.Stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase = stage.Phase()
}

// note puts a run event behind the lines written so far.
func (l *buildLog) note(e RunEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.push(entry{notice: &e})
}

// add takes one line; the caller holds the lock. A destroy has no build log.
func (l *buildLog) add(output, content string) {
	if l.about.Task.Deploy == nil {
		return
	}
	l.push(entry{line: logLine{output: output, content: content, phase: l.phase, at: time.Now()}})
	for l.buffered > maxBuffered {
		l.dropOldest()
	}
}

func (l *buildLog) push(e entry) {
	if len(l.waiting) == 0 && !l.busy {
		l.idle = make(chan struct{})
	}
	l.waiting = append(l.waiting, e)
	l.buffered += e.size()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *buildLog) dropOldest() {
	oldest := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.buffered -= oldest.size()
	if oldest.notice == nil {
		l.dropped++
		l.publisher.options.Metrics.dropped.Inc()
	}
}

// take removes the next batch; a marker stands where lines were dropped.
func (l *buildLog) take() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), batchLines)
	batch := append([]entry(nil), l.waiting[:n]...)
	l.waiting = l.waiting[n:]
	for _, e := range batch {
		l.buffered -= e.size()
	}
	if l.dropped > 0 {
		text := fmt.Sprintf("[%d lines left out: the log was written faster than it could be sent]", l.dropped)
		marker := entry{line: logLine{output: "stderr", content: text, phase: l.phase, at: time.Now()}}
		batch = append([]entry{marker}, batch...)
		l.dropped = 0
	}
	l.busy = n > 0
	if !l.busy {
		l.waiting = nil
		closeOnce(l.idle)
	}
	return batch
}

func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// run sends batch after batch until the stream is closed.
func (l *buildLog) run(ctx context.Context) {
	for {
		if batch := l.take(); len(batch) > 0 {
			l.send(ctx, batch)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
	}
}

// message makes the legacy body of a line.
func (l *buildLog) message(line logLine, sequence uint64) *nats.Msg {
	d := l.about.Task.Deploy
	msg := nats.NewMsg(l.publisher.options.Subjects.BuildLog(d.DeploymentID))
	msg.Data = newObject().
		text("deploymentId", d.DeploymentID).
		number("jobId", int64(d.DeploymentJobID)).
		text("serviceId", d.ServiceID).
		orEmpty("ownerId", d.OwnerID).
		text("logOutput", line.output).
		text("content", line.content).
		number("timestamp", line.at.UnixMilli()).
		number("sequence", int64(sequence)).
		text("phase", string(line.phase)).
		bytes()
	msg.Header.Set(nats.MsgIdHdr, l.about.Task.ID+".log."+strconv.FormatUint(sequence, 10))
	return msg
}

// flush returns when nothing waits any more.
func (l *buildLog) flush(ctx context.Context) (uint64, error) {
	l.mu.Lock()
	idle := l.idle
	l.mu.Unlock()
	if err := l.await(ctx, idle); err != nil {
		l.close()
		return l.out, fmt.Errorf("wait for the last log lines: %w", err)
	}
	if l.plain {
		return l.out, l.flushConnection(ctx)
	}
	return l.out, nil
}

// flushConnection returns when the server has what was sent without an answer.
func (l *buildLog) flushConnection(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.publisher.options.Timeout)
	defer cancel()
	return l.publisher.nc.FlushWithContext(ctx)
}

// await waits for idle. A server that is away is waited for, because no outcome
// can be said without it either; one that is there must take the lines in time.
func (l *buildLog) await(ctx context.Context, idle <-chan struct{}) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit := l.publisher.options.FlushTimeout
	since := time.Now()
	for {
		select {
		case <-idle:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if !l.publisher.nc.IsConnected() || !l.ours() {
			since = time.Now()
		} else if time.Since(since) > limit {
			return fmt.Errorf("the server has not taken them within %s", limit)
		}
	}
}

// ours reports whether the task is still ours, so that its lines may go out.
func (l *buildLog) ours() bool { return l.about.Valid == nil || l.about.Valid() }

// close ends the goroutine and waits for it.
func (l *buildLog) close() {
	l.cancel()
	l.done.Wait()
}

// retryWait doubles up to two seconds.
type retryWait struct{ next time.Duration }

func (w *retryWait) pause(ctx context.Context) {
	timer := time.NewTimer(w.next)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	w.next = min(w.next*2, 2*time.Second)
}
