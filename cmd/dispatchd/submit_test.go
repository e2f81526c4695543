package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/embednats"
)

// watcher is standard output that calls seen for what is written.
type watcher struct {
	bytes.Buffer
	seen func(text string)
}

func (s *watcher) Write(b []byte) (int, error) {
	s.seen(string(b))
	return s.Buffer.Write(b)
}

// TestCtrlCEndsTheWatchingAlone is not parallel: it sets a variable.
func TestCtrlCEndsTheWatchingAlone(t *testing.T) {
	url, stream := workQueue(t)
	t.Setenv("NATS_SERVERS", url)
	file := filepath.Join(t.TempDir(), "task.json")
	task := `{"id":"req-1","task":"deploy-image","params":{"jobId":"web","deploymentId":"d","serviceId":"s","imageName":"x"}}`
	if err := os.WriteFile(file, []byte(task), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, ctrlC := context.WithCancel(t.Context())
	out := &watcher{seen: func(text string) {
		if strings.Contains(text, "queued req-1") {
			ctrlC()
		}
	}}
	var errs bytes.Buffer
	code := execute(ctx, []string{"submit", file}, strings.NewReader(""), out, &errs)
	if want := "dispatchd: interrupted: task req-1 goes on without us\n"; code != exitInterrupted || errs.String() != want {
		t.Errorf("exits with %d and %q, want %d and %q", code, errs.String(), exitInterrupted, want)
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 1 {
		t.Errorf("the queue holds %v, %v, want the task", info, err)
	}
}

// TestSubmitSaysOnceForWhichTaskATaskWaits is not parallel: it sets a variable.
func TestSubmitSaysOnceForWhichTaskATaskWaits(t *testing.T) {
	url, _ := workQueue(t)
	t.Setenv("NATS_SERVERS", url)
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	task := `{"id":"req-1","task":"deploy-image","params":{"jobId":"web","deploymentId":"d","serviceId":"s","imageName":"x"}}`
	ctx, ctrlC := context.WithCancel(t.Context())
	out := &watcher{seen: func(text string) {
		if strings.Contains(text, "queued req-1") {
			for _, behind := range []string{"req-0", "req-0", "req-7"} {
				event := `{"task_id":"req-1","event":"waiting","behind":"` + behind + `"}`
				if err := conn.Publish("dispatch.event.req-1.waiting", []byte(event)); err != nil {
					t.Error(err)
				}
			}
		}
		if strings.Contains(text, "req-7") {
			ctrlC()
		}
	}}
	var errs bytes.Buffer
	execute(ctx, []string{"submit", "-"}, strings.NewReader(task), out, &errs)
	want := "queued req-1\n==> waits for task req-0 of the same job\n==> waits for task req-7 of the same job\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q; %s", got, want, errs.String())
	}
}

// workQueue is a server with a stream that takes tasks, without a worker.
func workQueue(t *testing.T) (string, jetstream.Stream) {
	t.Helper()
	server, err := embednats.Start(embednats.Options{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	conn, err := nats.Connect(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DISPATCH_TASKS", Subjects: []string{"dispatch.task.>"}})
	if err != nil {
		t.Fatal(err)
	}
	return server.ClientURL(), stream
}
