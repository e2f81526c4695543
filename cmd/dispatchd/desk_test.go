package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/desk"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// now is the clock of the pages below.
func now() time.Time { return time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC) }

func ago(d time.Duration) time.Time { return now().Add(-d) }

func ptr[T any](v T) *T { return &v }

// golden holds a page to its file.
func golden(t *testing.T, name string, fill func(*page)) {
	t.Helper()
	p := &page{}
	fill(p)
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, p.text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(p.text)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestThePageOfTheQueue(t *testing.T) {
	t.Parallel()
	row := func(id, job string, queued time.Duration, why desk.Why) desk.Row {
		return desk.Row{TaskID: id, Task: "deploy-image", Job: job, Queued: ago(queued), Why: why}
	}
	runs := row("a1", "web", 5*time.Minute, desk.Why{State: desk.StateRunning, Worker: "w1", Text: "runs on worker w1, stage build"})
	retry := row("b1", "api", 90*time.Second, desk.Why{State: desk.StateRetry, Text: "was handed back until 03:00:12 because of nomad_unavailable: no leader"})
	waits := row("c1", "new", 3*time.Second, desk.Why{State: desk.StateRunnable, Text: "no free slot: all 4 are busy"})
	golden(t, "queue", func(p *page) {
		queueText(p, desk.QueueView{
			At: now(), Totals: desk.Totals{Tasks: 50003, Runnable: 1, Blocked: 50000, Retry: 1, Running: 1, Outside: 1, Jobs: 5},
			Capacity: desk.Capacity{Workers: 1, Slots: 4, Busy: 4}, Oldest: &retry, MoreJobs: 2, Warnings: []string{"the workers have different versions: 1, 2"},
			Jobs: []desk.JobRow{{Job: "web", Tasks: 50001, First: runs, Behind: 50000}, {Job: "api", Tasks: 1, First: retry}, {Job: "new", Tasks: 1, First: waits}},
		})
	})
	golden(t, "queue-job", func(p *page) {
		behind := row("a2", "web", 4*time.Hour, desk.Why{State: desk.StateBlocked, Text: "behind task a1 of the same job, which runs on worker w1, stage build"})
		queueText(p, desk.QueueView{At: now(), Totals: desk.Totals{Tasks: 3, Blocked: 2, Running: 1, Jobs: 1}, Tasks: []desk.Row{runs, behind}, MoreTasks: 1})
	})
	golden(t, "queue-empty", func(p *page) { queueText(p, desk.QueueView{At: now()}) })
}

func TestThePageOfTheWorkers(t *testing.T) {
	t.Parallel()
	golden(t, "workers", func(p *page) {
		workersText(p, desk.Workers{At: now(), Warnings: []string{"the workers have different versions: 1.0, 1.1"}, Workers: []desk.Worker{
			{WorkerInfo: queue.WorkerInfo{ID: "w1", Version: "1.0", Host: "node-1", Started: ago(50 * time.Hour), Slots: 4, Busy: 1}, Tasks: []desk.Held{{TaskID: "a1", Job: "web"}}},
			{WorkerInfo: queue.WorkerInfo{ID: "w2", Version: "1.1", Host: "node-2", Started: ago(time.Minute), Slots: 4, Draining: true}},
		}})
	})
}

// hostile is a text with a line break and a terminal's command in it.
const hostile = "bad \x1b]0;title\x07text\x1b[2J\nnext"

func TestThePageOfATask(t *testing.T) {
	t.Parallel()
	view := desk.TaskView{
		At: now(), TaskID: "a1", Task: "deploy-image", Job: "web", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
		Why:   desk.Why{State: desk.StateRunning, Worker: "w1", Stage: tasks.StageWatch, Text: "runs on worker w1, stage watch"},
		Since: ptr(ago(4 * time.Minute)), Queued: ptr(ago(5 * time.Minute)), Started: ptr(ago(4 * time.Minute)), RequeuedFrom: "a0",
		Run: &desk.RunView{
			Worker: "w1", WorkerLives: true, Attempts: 2, HandedBack: 1, Claims: 2,
			Reached: desk.ReachedResult{Commit: "c0ffee", Image: "reg/web@sha256:abc", NomadJob: "web", JobVersion: ptr(uint64(7))},
		},
		Cancel:  &desk.CancelView{Asked: ago(2 * time.Second), Why: "wrong branch"},
		Failure: &desk.FailureView{At: ago(time.Minute), Attempt: 1, Stage: tasks.StageRegister, Reason: tasks.ReasonNomadDown, Message: hostile},
		Events: []events.RunEvent{
			{Event: events.EventStarted, At: "2026-11-25T02:56:00.000Z", Attempt: 1, Worker: "w0"},
			{Event: events.EventRetry, At: "2026-11-25T02:59:00.000Z", Attempt: 1, Stage: tasks.StageRegister, Reason: tasks.ReasonNomadDown, Message: "no leader", DelayMS: 15000},
			{Event: events.EventStage, At: "2026-11-25T02:59:20.000Z", Stage: tasks.StageWatch},
		},
		Log: []desk.LogLine{{Sequence: 41, Phase: "release", Content: "waiting"}, {Sequence: 42, Phase: "release", Content: hostile}},
	}
	golden(t, "show-running", func(p *page) { showText(p, view) })
	golden(t, "show-ended", func(p *page) {
		showText(p, desk.TaskView{
			At: now(), TaskID: "b1", Task: "destroy-job-pack", Why: desk.Why{State: desk.StateEnded, Text: "has ended: failed (invalid_task)"}, Since: ptr(ago(26 * time.Hour)),
			Outcome: &desk.OutcomeView{
				Status: "failed", Attempt: 1, Stage: tasks.StageAccept, Reason: tasks.ReasonInvalidTask, Class: tasks.ClassPermanent, Fault: tasks.FaultUser,
				Message: "params.jobs: missing", Undestroyed: []string{"web", "api"}, Warnings: []string{"one warning"},
			},
			Letters: []desk.LetterRef{{Address: "b1@17", Stored: ago(26 * time.Hour), Reason: tasks.ReasonInvalidTask, Message: "params.jobs: missing"}},
		})
	})
}

func TestThePagesOfTheDeadLetters(t *testing.T) {
	t.Parallel()
	letter := desk.Letter{
		Address: "b1@17", ID: "b1", Sequence: 17, Task: "deploy-image", Job: "web", Reason: tasks.ReasonInvalidTask, Message: "params.imageName: missing",
		Attempt: 1, Stored: ago(26 * time.Hour), Subject: "dispatch.task.deploy-image.web.b1", Bytes: 90,
	}
	odd := desk.Letter{Address: "x0123@18", Reason: tasks.ReasonSubjectMismatch, Attempt: 3, Stored: ago(time.Second), Subject: "dispatch.task.what"}
	golden(t, "dlq-ls", func(p *page) {
		lettersText(p, desk.Letters{At: now(), Total: 5, Letters: []desk.Letter{odd, letter}})
	})
	golden(t, "dlq-ls-empty", func(p *page) { lettersText(p, desk.Letters{At: now()}) })
	header := map[string][]string{"Dispatch-Reason": {"invalid_task"}, "Authorization": {"***"}}
	golden(t, "dlq-show", func(p *page) {
		letterText(p, desk.LetterView{At: now(), Letter: letter, Headers: header, Body: json.RawMessage(`{"params":{"gitPass":"***","jobId":"web"},"task":"deploy-image"}`)})
	})
	golden(t, "dlq-show-garbage", func(p *page) {
		letterText(p, desk.LetterView{At: now(), Letter: odd, Headers: header, Text: "token=***\nrest", Refusal: "its subject names no task: give the corrected body with --body FILE"})
	})
}

// floor is a server with our streams, and the environment that commands read.
func floor(t *testing.T) (jetstream.JetStream, queue.Topology) {
	t.Helper()
	url := natstest.Run(t).ClientURL()
	t.Setenv("NATS_SERVERS", url)
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js, queue.Topology{Replicas: 1}
}

// call runs one command line.
func call(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// TestTheCommandsOfAnOperator sets the environment, so it is not parallel.
func TestTheCommandsOfAnOperator(t *testing.T) {
	js, topology := floor(t)
	for _, args := range [][]string{{"queue"}, {"show", "a"}, {"workers"}, {"dlq", "ls"}, {"cancel", "a"}, {"dlq", "show", "a"}} {
		code, stdout, stderr := call(t, "", args...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, "nothing was ever run here") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v where nothing was run: %d %q %q", args, code, stdout, stderr)
		}
	}
	nc := js.Conn()
	if err := queue.EnsureService(t.Context(), nc, js, topology); err != nil {
		t.Fatal(err)
	}
	body := `{"task":"deploy-image","params":{"jobId":"web","imageName":"nginx","deploymentId":"d1","serviceId":"s1","nomadToken":"s3cr3tPlantedValue"}}`
	publish := func(msg *nats.Msg) {
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	publish(&nats.Msg{Subject: topology.TaskSubject("deploy-image", "web", "a"), Data: []byte(body)})
	for i, data := range []string{body, "garbage", body} {
		publish(&nats.Msg{Subject: topology.DeadLetterSubject(fmt.Sprintf("l%d", i)), Data: []byte(data), Header: nats.Header{
			"Dispatch-Subject": {topology.TaskSubject("deploy-image", "web", fmt.Sprintf("l%d", i))}, "Dispatch-Reason": {"invalid_task"},
		}})
	}
	corrected := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(corrected, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"queue"}, 0, "1 task of 1 job: 1 runnable"},
		{[]string{"queue", "-o", "json"}, 0, `"cause": "no_worker"`},
		{[]string{"queue", "--job", "web"}, 0, "no worker lives"},
		{[]string{"queue", "--job", "none"}, 1, "no task of job none is in the queue"},
		{[]string{"show", "a"}, 0, "RUNNABLE"},
		{[]string{"show", "never"}, 1, "task never: nothing is known of it"},
		{[]string{"show", "-o", "json", "never"}, 1, `"state": "unknown"`},
		{[]string{"show", "a.b"}, 1, `"a.b" is no task id`},
		{[]string{"workers"}, 0, "no worker of the service lives"},
		{[]string{"cancel", "a", "a*", "later"}, 1, "later: not known yet; it is cancelled when it comes"},
		{[]string{"cancel", "a"}, 0, "a: waits (no worker lives"},
		{[]string{"show", "a"}, 0, "cancel      2"},
		{[]string{"dlq", "ls"}, 0, "l0@1"},
		{[]string{"dlq", "show", "l0"}, 0, `"nomadToken": "***"`},
		{[]string{"dlq", "show", "--raw", "--yes", "l0"}, 0, "s3cr3tPlantedValue"},
		{[]string{"dlq", "requeue", "l1"}, 1, "give a corrected one with --body FILE"},
		{[]string{"dlq", "requeue", "--body", corrected, "l1"}, 0, "l1@2: requeued as"},
		{[]string{"dlq", "requeue", "-o", "json", "l0"}, 0, `"requeued_from":"l0"`},
		{[]string{"dlq", "drop", "--yes", "l2", "l2"}, 1, "there is no dead letter of l2"},
		{[]string{"dlq", "ls"}, 0, "no dead letters"},
		{[]string{"queue"}, 0, "3 tasks of 1 job: 1 runnable, 2 blocked"},
	} {
		code, stdout, stderr := call(t, "", c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("dispatchd %s: %d, want %d and %q:\n%s%s", strings.Join(c.args, " "), code, c.code, c.want, stdout, stderr)
		}
		if strings.Contains(stdout+stderr, "s3cr3tPlantedValue") && !strings.Contains(c.want, "s3cr3t") {
			t.Errorf("dispatchd %s shows a secret:\n%s%s", strings.Join(c.args, " "), stdout, stderr)
		}
	}
}

// TestCancelWaitsForTheEnd sets the environment, so it is not parallel.
func TestCancelWaitsForTheEnd(t *testing.T) {
	js, topology := floor(t)
	t.Setenv("DISPATCHD_HTTP_ADDR", "127.0.0.1:0")
	t.Setenv("DISPATCHD_WORK_DIR", t.TempDir())
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DEPLOYMENTS", Subjects: []string{"deployment.>", "job.destroyed"}}); err != nil {
		t.Fatal(err)
	}
	if err := queue.EnsureService(t.Context(), js.Conn(), js, topology); err != nil {
		t.Fatal(err)
	}
	body := `{"task":"deploy-image","params":{"jobId":"web","imageName":"nginx","deploymentId":"d1","serviceId":"s1","deploy":"noop"}}`
	if _, err := js.Publish(t.Context(), topology.TaskSubject("deploy-image", "web", "a"), []byte(body)); err != nil {
		t.Fatal(err)
	}
	asked, err := js.Conn().SubscribeSync(topology.CancelSubject("a"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan int, 1)
	go func() {
		// The worker begins when the cancel has been asked for: the task is queued then.
		_, _ = asked.NextMsgWithContext(ctx)
		ran <- execute(ctx, []string{"run"}, strings.NewReader(""), io.Discard, io.Discard)
	}()
	code, stdout, stderr := call(t, "", "cancel", "--wait", "--why", "wrong branch", "a")
	if want := "a: ended: failed (cancelled)"; code != 0 || !strings.Contains(stdout, want) {
		t.Errorf("cancel --wait: %d %s%s, want %q", code, stdout, stderr, want)
	}
	if code, stdout, _ := call(t, "", "show", "a"); code != 0 || !strings.Contains(stdout, "wrong branch") || !strings.Contains(stdout, "ENDED") {
		t.Errorf("show: %d\n%s", code, stdout)
	}
	stop()
	if code := <-ran; code != 0 {
		t.Errorf("run exits with %d", code)
	}
}
