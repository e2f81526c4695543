package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const noopTask = `{"task":"deploy-image","params":{"jobId":"web","imageName":"nginx","deploymentId":"d1","serviceId":"s1","deploy":"noop"}}`

// connectWhenThere waits for the server that run starts.
func connectWhenThere(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.ReconnectWait(20*time.Millisecond), nats.MaxReconnects(500))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// publishWhenThere publishes until the work queue is there.
func publishWhenThere(ctx context.Context, t *testing.T, js jetstream.JetStream, subject string) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, err := js.Publish(ctx, subject, []byte(noopTask)); err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal("the work queue is not there")
		}
	}
}

func TestTheServiceRunsOnItsOwnServerAndKeepsItsStreams(t *testing.T) {
	const url = "nats://127.0.0.1:14733"
	t.Setenv("DISPATCHD_HTTP_ADDR", "127.0.0.1:0")
	t.Setenv("DISPATCHD_WORK_DIR", t.TempDir())
	t.Setenv("NOMAD_ADDR", "http://127.0.0.1:1")
	store := filepath.Join(t.TempDir(), "store")
	for _, id := range []string{"first", "second"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		service, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- run(service, flags{store: store, port: 14733}) }()
		js := connectWhenThere(t, url)
		publishWhenThere(ctx, t, js, "dispatch.task.deploy-image.web."+id)
		waitForOutcome(ctx, t, js, id)
		stop()
		if err := <-done; err != nil {
			t.Errorf("run() = %v", err)
		}
		cancel()
	}
}

// waitForOutcome polls for the terminal record.
func waitForOutcome(ctx context.Context, t *testing.T, js jetstream.JetStream, id string) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		stream, err := js.Stream(ctx, "DISPATCH_EVENTS")
		if err == nil {
			if _, err = stream.GetLastMsgForSubject(ctx, "dispatch.done."+id); err == nil {
				return
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("%s has not ended: %v", id, err)
		}
	}
}
