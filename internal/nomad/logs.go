package nomad

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

const (
	// maxStreams bounds how many outputs are followed at once.
	maxStreams = 32
	// maxLine is how much of one line is passed on; the build log, which masks
	// secrets first, keeps less and says so.
	maxLine = 160 << 10
	// tailBytes and tailLines bound what is shown of the end of an output that
	// was too long to be shown whole.
	tailBytes = 16 << 10
	tailLines = 50
	// finishTimeout bounds the last look at the outputs.
	finishTimeout = 3 * time.Second
	// flushWait is how long after a task's end its output is held for complete.
	// Nomad writes what it has collected to the file each 100 ms
	// (bufferFlushDuration in client/logmon/logging of Nomad 1.6), and may
	// report the end before that; a loaded node gets some more.
	flushWait = 500 * time.Millisecond
)

// printer writes whole lines, so that the streams do not mix within one.
type printer struct {
	mu       sync.Mutex
	out, err io.Writer
}

func newPrinter(rep tasks.Reporter) *printer {
	return &printer{out: rep.Stdout(), err: rep.Stderr()}
}

func (p *printer) note(line string) { p.write(p.out, line) }

func (p *printer) warn(line string) { p.write(p.err, line) }

// write drops the writer's error: the log's own trouble is no reason to stop a
// deployment, and the reporter knows of it.
func (p *printer) write(w io.Writer, line string) {
	line = strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\n", " ")
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(w, line+"\n")
}

// output writes a line of an app to the stream that it came from.
func (p *printer) output(key streamKey, line string) {
	w := p.out
	if key.kind == "stderr" {
		w = p.err
	}
	p.write(w, fmt.Sprintf("alloc %.8s %s: %s", key.alloc, key.task, line))
}

// badEvents are the types of event that go to the error output.
var badEvents = map[string]bool{
	api.TaskSetupFailure: true, api.TaskDriverFailure: true, api.TaskFailedValidation: true, api.TaskNotRestarting: true,
	api.TaskArtifactDownloadFailed: true, api.TaskRestartSignal: true, "Alloc Unhealthy": true,
}

func (p *printer) event(alloc, task string, event *api.TaskEvent) {
	line := fmt.Sprintf("alloc %.8s %s: %s: %s", alloc, task, event.Type, event.DisplayMessage)
	if badEvents[event.Type] || event.Type == api.TaskTerminated && event.Details["exit_code"] != "0" {
		p.warn(line)
		return
	}
	p.note(line)
}

// streamKey is one output of one task.
type streamKey struct{ alloc, task, kind string }

// followers show the outputs of the tasks that have started. They belong to
// one Watch, which ends them with finish.
type followers struct {
	s       *session
	out     *printer
	streams map[streamKey]*stream
	group   sync.WaitGroup
	full    bool
	// ended is when the newest end of a task was seen.
	ended time.Time
}

func newFollowers(s *session, out *printer) *followers {
	return &followers{s: s, out: out, streams: map[streamKey]*stream{}}
}

// follow begins to show both outputs of a task until the context ends, unless
// it does already.
func (f *followers) follow(ctx context.Context, alloc, task string) {
	if f.streams[streamKey{alloc, task, "stdout"}] != nil || f.full {
		return
	}
	if len(f.streams) >= maxStreams {
		f.full = true
		f.out.note("the output of further tasks is not followed")
		return
	}
	for _, kind := range []string{"stdout", "stderr"} {
		st := &stream{s: f.s, out: f.out, key: streamKey{alloc, task, kind}}
		f.streams[st.key] = st
		f.group.Go(func() { st.follow(ctx) })
	}
}

// finish waits for the streams, whose context has ended, and shows what they
// have not shown yet: an app that crashes says its last words just before
// Nomad reports it.
func (f *followers) finish(ctx context.Context) {
	f.group.Wait()
	pause(ctx, time.Until(f.ended.Add(flushWait))) // who is stopped does not wait
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	for _, st := range f.streams {
		st.rest(ctx)
	}
}

// stream is one output; offset is how much of it has been read.
type stream struct {
	s       *session
	out     *printer
	key     streamKey
	offset  int64
	partial []byte
	// refused is true where the token may not read logs.
	refused bool
	capped  bool
}

// follow reads until the context ends. A node that does not know the
// allocation yet, or lost its connection, is asked again.
func (st *stream) follow(ctx context.Context) {
	for delay := 250 * time.Millisecond; ctx.Err() == nil && !st.refused && !st.capped; delay = min(2*delay, feedBackoff) {
		before := st.offset
		err := st.read(ctx, map[string]string{"follow": "true", "origin": "start", "offset": strconv.FormatInt(st.offset, 10)})
		if isForbidden(err) {
			st.refused = true
			st.out.warn(fmt.Sprintf("alloc %.8s %s: the token may not read logs", st.key.alloc, st.key.task))
			return
		}
		if st.offset > before {
			delay = 250 * time.Millisecond
		}
		if !pause(ctx, jitter(delay)) {
			return
		}
	}
}

// rest shows the end of the output: what follows the offset, or, where there
// was too much of it, the last lines.
func (st *stream) rest(ctx context.Context) {
	if st.refused || ctx.Err() != nil {
		return
	}
	if st.capped {
		st.tail(ctx)
		return
	}
	_ = st.read(ctx, map[string]string{"follow": "false", "origin": "start", "offset": strconv.FormatInt(st.offset, 10)})
	if len(st.partial) > 0 {
		st.out.output(st.key, string(st.partial))
		st.partial = nil
	}
	if st.capped {
		st.tail(ctx)
	}
}

// open asks the server for the output as plain text; it passes the request on
// to the node.
func (st *stream) open(ctx context.Context, params map[string]string) (io.ReadCloser, error) {
	q := st.s.query()
	q.Params = map[string]string{"task": st.key.task, "type": st.key.kind, "plain": "true"}
	for name, param := range params {
		q.Params[name] = param
	}
	return st.s.api.Raw().Response("/v1/client/fs/logs/"+st.key.alloc, q.WithContext(ctx))
}

func (st *stream) read(ctx context.Context, params map[string]string) error {
	body, err := st.open(ctx, params)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := body.Read(buffer)
		st.take(buffer[:n])
		if st.capped || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take shows the whole lines and keeps the beginning of the next one.
func (st *stream) take(data []byte) {
	st.offset += int64(len(data))
	st.partial = append(st.partial, data...)
	for {
		end := bytes.IndexByte(st.partial, '\n')
		if end < 0 {
			st.partial = st.partial[:min(len(st.partial), maxLine)]
			break
		}
		st.out.output(st.key, string(st.partial[:min(end, maxLine)]))
		st.partial = st.partial[end+1:]
	}
	if st.offset >= st.s.opts.LogBytes && !st.capped {
		st.capped = true
		st.partial = nil
		st.out.warn(fmt.Sprintf("alloc %.8s %s: more than %d bytes of %s: the rest is not shown",
			st.key.alloc, st.key.task, st.s.opts.LogBytes, st.key.kind))
	}
}

// tail shows the last lines. What the beginning of the tail cuts in two is
// left out: it may hold the second half of a secret.
func (st *stream) tail(ctx context.Context) {
	body, err := st.open(ctx, map[string]string{"follow": "false", "origin": "end", "offset": strconv.Itoa(tailBytes)})
	if err != nil {
		return
	}
	defer func() { _ = body.Close() }()
	scanner := bufio.NewScanner(io.LimitReader(body, 2*tailBytes))
	scanner.Buffer(nil, 4*tailBytes)
	var lines []string
	if st.offset > tailBytes {
		scanner.Scan()
	}
	for scanner.Scan() {
		if lines = append(lines, scanner.Text()); len(lines) > tailLines {
			lines = lines[1:]
		}
	}
	for _, line := range lines {
		st.out.output(st.key, line)
	}
}
