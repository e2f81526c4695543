//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// patience is how long a deployment may take where it is not the matter.
const patience = 90 * time.Second

// TestRepositoryBecomesHealthyAndTheNextCommitRollsOver is the main job: the
// first deployment, what is said about it to the last byte, and an update.
func TestRepositoryBecomesHealthyAndTheNextCommitRollsOver(t *testing.T) {
	t.Parallel()
	source := newSource(t, sample(t, testbed.Sample{Version: "1", Base: shared.base}))
	w := newWorld(t, worldOptions{noPrefix: true, env: []string{github(source)}})
	w.start()

	first := repository(t, "hello", "acme/app")
	s := w.send(first)
	r := w.succeeded(s, patience)
	if got, want := answer(t, first.job()), "hello from 1\n"; got != want {
		t.Errorf("the app answers %q, want %q", got, want)
	}
	wantDigest(t, first.job(), r)
	wantEvents(t, w, first, s, r)
	wantLog(t, w, first, s)
	wantEmptyWorkDir(t, w)

	commit := source.commit("acme/app", sample(t, testbed.Sample{Version: "2", Base: shared.base}))
	second := first.again()
	second.kind = "redeploy-repository"
	r = w.succeeded(w.send(second), patience)
	if got, want := answer(t, second.job()), "hello from 2\n"; got != want {
		t.Errorf("after the second commit the app answers %q, want %q", got, want)
	}
	if r.Commit != commit {
		t.Errorf("the record names commit %q, want %q", r.Commit, commit)
	}
	if version := *readJob(t, second.job()).Version; version != 1 {
		t.Errorf("the job has version %d, want 1: one registration each", version)
	}
	wantDigest(t, second.job(), r)
}

var digest = regexp.MustCompile(`^127\.0\.0\.1:\d+/apps/[a-z0-9-]+@sha256:[0-9a-f]{64}$`)

// wantDigest checks that the job runs the digest that the record names.
func wantDigest(t *testing.T, job string, r record) {
	t.Helper()
	image := jobImage(t, job)
	if !digest.MatchString(image) || image != r.Image {
		t.Errorf("the job runs %q, the record says %q: want the same digest", image, r.Image)
	}
}

// wantEvents compares the whole of each legacy event, bodies and headers.
func wantEvents(t *testing.T, w *world, k task, s *sent, r record) {
	t.Helper()
	type event struct {
		Subject, Body string
		Header        map[string]string
	}
	var got []event
	for _, m := range w.said(s) {
		got = append(got, event{m.subject, m.body, plain(m.header)})
	}
	header := func(kind string) map[string]string {
		return map[string]string{
			"Nats-Msg-Id": k.id + "." + kind, "Dispatch-Task-Id": k.id, "Dispatch-Attempt": "1", "traceparent": traceparent,
		}
	}
	succeeded := header("deployment.succeeded")
	succeeded["Dispatch-Image"] = r.Image
	want := []event{
		{"deployment.status.changed", `{"jobId":456,"status":"IN_PROGRESS"}`, header("deployment.status.changed")},
		{"deployment.succeeded", fmt.Sprintf(`{"jobId":456,"type":"git_repo","deploymentId":%q,"serviceId":"srv-1","teamId":"team-7","userId":42,"ownerId":"own-9"}`,
			s.deployment), succeeded},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("legacy events (-want +got):\n%s", diff)
	}
}

// plain leaves out what a publish expects of the server, which keeps it.
func plain(header nats.Header) map[string]string {
	all := map[string]string{}
	for name, values := range header {
		if strings.HasPrefix(name, "Nats-Expected-") {
			continue
		}
		all[name] = strings.Join(values, "|")
	}
	return all
}

// wantLog checks the shape of a line to the byte, the order of the phases, and
// what the log must hold of git, BuildKit and the allocation.
func wantLog(t *testing.T, w *world, k task, s *sent) {
	t.Helper()
	lines, ends := w.log(s)
	if len(lines) < 10 || len(ends) != 1 {
		t.Fatalf("the log has %d lines and %d ends", len(lines), len(ends))
	}
	first := w.all(w.logs(), w.subject("build.log."+s.deployment))[0].body
	content, err := json.Marshal(lines[0].Content)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"deploymentId":%q,"jobId":456,"serviceId":"srv-1","ownerId":"own-9","logOutput":%q,"content":%s,"timestamp":%d,"sequence":1,"phase":%q}`,
		s.deployment, lines[0].LogOutput, content, lines[0].Timestamp, lines[0].Phase)
	if first != want {
		t.Errorf("the first line is\n%s\nwant\n%s", first, want)
	}
	if got, want := ends[0].body, fmt.Sprintf(`{"deploymentId":%q,"jobId":456,"status":"success"}`, s.deployment); got != want {
		t.Errorf("the end of the log is %s, want %s", got, want)
	}
	wantPhases(t, lines)
	text := w.logText(s)
	for _, part := range []string{"clone: cloned acme/app@main at", "build: ", "registry: ", "release: ", "hello 1 starts on port 8080", "job " + k.job() + " registered, version 0"} {
		if !strings.Contains(text, part) {
			t.Errorf("the log does not hold %q:\n%s", part, text)
		}
	}
}

// wantPhases checks that the phases of a repository's deployment come in their order.
func wantPhases(t *testing.T, lines []line) {
	t.Helper()
	var phases []string
	for _, l := range lines {
		if len(phases) == 0 || phases[len(phases)-1] != l.Phase {
			phases = append(phases, l.Phase)
		}
		if age := time.Since(time.UnixMilli(l.Timestamp)); age < 0 || age > 5*time.Minute {
			t.Errorf("line %d has the timestamp %d", l.Sequence, l.Timestamp)
		}
	}
	got := strings.Join(phases, " ")
	if want := "clone build registry deploy release"; strings.TrimPrefix(got, "init ") != want {
		t.Errorf("the log's phases are %q, want %q", got, want)
	}
}

// wantEmptyWorkDir looks while the worker lives: what it leaves when it ends is
// another matter.
func wantEmptyWorkDir(t *testing.T, w *world) {
	t.Helper()
	eventually(t, 5*time.Second, "the task's directory is removed", func() bool {
		var left []string
		for _, pattern := range []string{"*/*", "*/*/*"} {
			found, err := filepath.Glob(filepath.Join(w.workDir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, found...)
		}
		return len(left) == 1 && filepath.Base(left[0]) == "lock"
	})
	if _, err := os.Stat(w.workDir); err != nil {
		t.Error(err)
	}
}
