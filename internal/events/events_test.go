package events_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// audience is a backend: a server, its streams and a publisher.
type audience struct {
	js        jetstream.JetStream
	nc        *nats.Conn
	publisher *events.Publisher
}

// newAudience makes the backend's streams; without logs nothing keeps build logs.
func newAudience(t *testing.T, prefix string, logs bool) *audience {
	t.Helper()
	server := natstest.Run(t)
	nc, err := nats.Connect(server.ClientURL(), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	p := prefix
	if p != "" {
		p += "."
	}
	streams := map[string][]string{
		"BACKEND": {p + "deployment.>", p + "job.destroyed"},
		"EVENTS":  {p + "dispatch.done.*", p + "dispatch.event.>", p + "dispatch.cancel.*"},
	}
	if logs {
		streams["LOGS"] = []string{p + "build.log.>"}
	}
	for name, subjects := range streams {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: subjects}); err != nil {
			t.Fatal(err)
		}
	}
	return &audience{js: js, nc: nc, publisher: events.NewPublisher(nc, js, events.Options{
		Subjects: events.NewSubjects(prefix, ""), Stream: "EVENTS", Log: zap.NewNop(), Metrics: events.NewMetrics(prometheus.NewRegistry()),
	})}
}

// heard returns every message of a stream as "subject body", in order.
func (a *audience) heard(t *testing.T, stream string) []string {
	t.Helper()
	var all []string
	for _, msg := range a.messages(t, stream) {
		all = append(all, msg.Subject+" "+string(msg.Data))
	}
	return all
}

func (a *audience) messages(t *testing.T, name string) []*jetstream.RawStreamMsg {
	t.Helper()
	stream, err := a.js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	var all []*jetstream.RawStreamMsg
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, msg)
	}
	return all
}

func raw(s string) tasks.Text { return tasks.Text{Raw: json.RawMessage(s)} }

func deploy() *tasks.Deploy {
	return &tasks.Deploy{
		JobID: "web", DeploymentID: "dep-1", ServiceID: "svc-1", DeploymentJobID: 456,
		TeamID: raw(`"team"`), UserID: raw(`1`), OwnerID: raw(`"own<&>er"`),
	}
}

func subject(kind tasks.Kind, secrets ...string) worker.Subject {
	return worker.Subject{
		Task: tasks.Task{ID: "task-1", Kind: kind, Deploy: deploy()}, Run: worker.Run{Claims: 1, Attempts: 2, Worker: "w"},
		Redactor: redact.New(secrets...), Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

func (a *audience) open(t *testing.T, about worker.Subject) worker.Stream {
	t.Helper()
	stream, err := a.publisher.Open(t.Context(), about)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	return stream
}

// tell runs a settlement through the steps of settle that are ours.
func (a *audience) tell(t *testing.T, s worker.Settlement) {
	t.Helper()
	s, err := a.publisher.End(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.publisher.Announce(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := a.publisher.EndLog(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func TestLegacyEventsByteForByte(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "staging", true)
	stream := a.open(t, subject(tasks.KindDeployRepository))
	if _, err := stream.Started(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.tell(t, stream.Compose(tasks.Outcome{Result: tasks.Result{Image: tasks.Image{Name: "r/web", Digest: "sha256:1"}}}))
	want := []string{
		`staging.deployment.status.changed {"jobId":456,"status":"IN_PROGRESS"}`,
		`staging.deployment.succeeded {"jobId":456,"type":"git_repo","deploymentId":"dep-1","serviceId":"svc-1","teamId":"team","userId":1,"ownerId":"own<&>er"}`,
	}
	if diff := cmp.Diff(want, a.heard(t, "BACKEND")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	logs := a.heard(t, "LOGS")
	if want := `staging.build.log.end.dep-1 {"deploymentId":"dep-1","jobId":456,"status":"success"}`; len(logs) != 1 || logs[0] != want {
		t.Errorf("log = %q, want %q", logs, want)
	}
}

func TestBodiesKeepWhatCameAndLeaveOutWhatDidNot(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*tasks.Deploy)
		want   string
	}{
		"absent ids are left out": {
			func(d *tasks.Deploy) { d.TeamID, d.UserID, d.OwnerID = tasks.Text{}, tasks.Text{}, tasks.Text{} },
			`{"jobId":456,"type":"image","deploymentId":"dep-1","serviceId":"svc-1"}`,
		},
		"null stays null": {
			func(d *tasks.Deploy) { d.TeamID, d.UserID = raw("null"), raw("null") },
			`{"jobId":456,"type":"image","deploymentId":"dep-1","serviceId":"svc-1","teamId":null,"userId":null,"ownerId":"own<&>er"}`,
		},
		"a number stays a number and a string a string": {
			func(d *tasks.Deploy) { d.UserID, d.OwnerID = raw(`"7"`), raw("7") },
			`{"jobId":456,"type":"image","deploymentId":"dep-1","serviceId":"svc-1","teamId":"team","userId":"7","ownerId":7}`,
		},
		"an absent job id is 0": {
			func(d *tasks.Deploy) { d.DeploymentJobID = 0 },
			`{"jobId":0,"type":"image","deploymentId":"dep-1","serviceId":"svc-1","teamId":"team","userId":1,"ownerId":"own<&>er"}`,
		},
		"quotes and control characters are escaped, nothing else": {
			func(d *tasks.Deploy) { d.ServiceID = "a\"b\\c\n\t\x01é<>&\u2028" },
			`{"jobId":456,"type":"image","deploymentId":"dep-1","serviceId":"a\"b\\c\n\t\u0001é<>&` + "\u2028" + `","teamId":"team","userId":1,"ownerId":"own<&>er"}`,
		},
	}
	a := newAudience(t, "", true)
	for name, test := range tests {
		about := subject(tasks.KindDeployImage)
		test.change(about.Task.Deploy)
		s := a.open(t, about).Compose(tasks.Outcome{})
		if got := string(s.Events[0].Body); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, test.want)
		}
	}
}

func TestHeadersOfAFailure(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	stream := a.open(t, subject(tasks.KindDeployImage, "hunter2secret"))
	failure := &tasks.Failure{Reason: tasks.ReasonBuildFailed, Stage: tasks.StageBuild, Message: "build failed:\nwith hunter2secret " + strings.Repeat("é", 2000)}
	a.tell(t, stream.Compose(tasks.Outcome{Failure: failure, Result: tasks.Result{Warnings: []string{"mind the gap"}}}))
	header := a.messages(t, "BACKEND")[0].Header
	want := map[string]string{
		"Nats-Msg-Id": "task-1.deployment.failed", "Dispatch-Task-Id": "task-1", "Dispatch-Attempt": "2",
		"Dispatch-Step": "build", "Dispatch-Error-Class": "permanent", "Dispatch-Reason": "build_failed",
		"Dispatch-Warning": "mind the gap", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	for name, value := range want {
		if got := header.Get(name); got != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
	message := header.Get("Dispatch-Error")
	if !strings.HasPrefix(message, "build failed: with *** é") || len(message) > 1024 || strings.Contains(message, "hunter2") {
		t.Errorf("Dispatch-Error = %q (%d bytes)", message, len(message))
	}
}

// A message may quote a program or a stranger's server, and ends on terminals.
func TestMessagesSteerNoTerminal(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	stream := a.open(t, subject(tasks.KindDeployImage, "hunter2secret"))
	failure := &tasks.Failure{Reason: tasks.ReasonJobRejected, Message: "no\u009b2J\u202e \x1b[8mhid\x1b]0;t\adone hunter2\u009b0msecret\x1b[31m."}
	warning := "mind\u009d0;owned\u009c the \u2066gap"
	settled := stream.Compose(tasks.Outcome{Failure: failure, Result: tasks.Result{Warnings: []string{warning}}})
	if got, want := settled.Message, "no hiddone ***."; got != want {
		t.Errorf("the message is %q, want %q", got, want)
	}
	if got, want := settled.Warnings[0], "mind the gap"; got != want {
		t.Errorf("the warning is %q, want %q", got, want)
	}
}

func TestDestroyedEventsAreOneForEachJobThatIsGone(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	about := subject(tasks.KindDestroyJobPack)
	about.Task.Deploy, about.Task.Destroy = nil, &tasks.Destroy{Reason: "pause_service"}
	stream := a.open(t, about)
	gone := []tasks.DestroyJob{{JobID: "web", ServiceID: "s1"}, {JobID: "we.b", ServiceID: "s2"}}
	a.tell(t, stream.Compose(tasks.Outcome{Result: tasks.Result{Destroyed: gone}}))
	want := []string{`job.destroyed {"id":"s1","reason":"pause_service"}`, `job.destroyed {"id":"s2","reason":"pause_service"}`}
	if diff := cmp.Diff(want, a.heard(t, "BACKEND")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if logs := a.heard(t, "LOGS"); len(logs) != 0 {
		t.Errorf("a destroy has a build log: %q", logs)
	}
}

func TestSayingItAgainChangesNothing(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	stream := a.open(t, subject(tasks.KindDeployImage))
	s := stream.Compose(tasks.Outcome{})
	a.tell(t, s)
	a.tell(t, s)
	if got := a.heard(t, "BACKEND"); len(got) != 1 {
		t.Errorf("events = %q, want one", got)
	}
	if got := a.heard(t, "LOGS"); len(got) != 1 {
		t.Errorf("log = %q, want one end", got)
	}
}

func TestTheServerRefusesASecondOutcome(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	first, second := a.open(t, subject(tasks.KindDeployImage)), a.open(t, subject(tasks.KindDeployImage))
	a.tell(t, first.Compose(tasks.Outcome{}))
	standing, err := a.publisher.End(t.Context(), second.Compose(tasks.Outcome{Failure: tasks.ErrTimeout}))
	if err != nil {
		t.Fatal(err)
	}
	if !standing.Succeeded() {
		t.Errorf("the standing record is %+v, want the first one", standing)
	}
	ended, err := a.publisher.Ended(t.Context(), "task-1")
	if err != nil || ended == nil || !ended.Succeeded() || len(ended.Events) != 1 {
		t.Errorf("Ended() = %+v, %v, want the first settlement with its event", ended, err)
	}
	if other, err := a.publisher.Ended(t.Context(), "task-2"); other != nil || err != nil {
		t.Errorf("Ended() of an open task = %v, %v, want nothing", other, err)
	}
}

func TestUncoveredSubjectsAreNamed(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	if err := a.js.DeleteStream(t.Context(), "BACKEND"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "B2", Subjects: []string{"deployment.>"}}); err != nil {
		t.Fatal(err)
	}
	missing, err := a.publisher.Uncovered(t.Context())
	if diff := cmp.Diff([]string{"job.destroyed"}, missing); diff != "" || err != nil {
		t.Errorf("Uncovered() = %v, %v", missing, err)
	}
}

// line is a build log line as a backend reads it.
type line struct {
	Content  string `json:"content"`
	Sequence int    `json:"sequence"`
	Phase    string `json:"phase"`
	Output   string `json:"logOutput"`
}

func (a *audience) lines(t *testing.T) []line {
	t.Helper()
	var all []line
	for _, msg := range a.messages(t, "LOGS") {
		var l line
		if err := json.Unmarshal(msg.Data, &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

func TestLogLinesAreNumberedInOrderWithTheirPhase(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	stream := a.open(t, subject(tasks.KindDeployRepository))
	stream.Stage(tasks.StageClone)
	for i := range 1500 {
		if _, err := fmt.Fprintf(stream.Stdout(), "line %d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	stream.Stage(tasks.StagePush)
	_, _ = stream.Stderr().Write([]byte("no end of line"))
	last, err := stream.Flush(t.Context())
	if err != nil || last != 1501 {
		t.Fatalf("Flush() = %d, %v, want 1501", last, err)
	}
	lines := a.lines(t)
	for i, l := range lines {
		if l.Sequence != i+1 {
			t.Fatalf("line %d has the number %d", i+1, l.Sequence)
		}
	}
	if want := (line{"line 0", 1, "clone", "stdout"}); lines[0] != want {
		t.Errorf("first line = %+v, want %+v", lines[0], want)
	}
	if want := (line{"no end of line", 1501, "registry", "stderr"}); lines[1500] != want {
		t.Errorf("last line = %+v, want %+v", lines[1500], want)
	}
}

func TestALogLineByteForByte(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	about := subject(tasks.KindDeployImage)
	about.Task.Deploy.OwnerID = tasks.Text{}
	before := time.Now().UnixMilli()
	stream := a.open(t, about)
	_, _ = stream.Stdout().Write([]byte("a <b> & \"c\"\n"))
	if _, err := stream.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := string(a.messages(t, "LOGS")[0].Data)
	var stamp struct{ Timestamp int64 }
	if err := json.Unmarshal([]byte(body), &stamp); err != nil || stamp.Timestamp < before || stamp.Timestamp > time.Now().UnixMilli() {
		t.Errorf("timestamp = %d, %v, want Unix milliseconds of now", stamp.Timestamp, err)
	}
	want := fmt.Sprintf(`{"deploymentId":"dep-1","jobId":456,"serviceId":"svc-1","ownerId":"","logOutput":"stdout","content":"a <b> & \"c\"","timestamp":%d,"sequence":1,"phase":"init"}`, stamp.Timestamp)
	if body != want {
		t.Errorf("line:\n got %s\nwant %s", body, want)
	}
}

func TestLogLinesHideSecretsAndAreSafeToShow(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	stream := a.open(t, subject(tasks.KindDeployImage, "hunter2secret"))
	for _, piece := range []string{"token hunter", "2secret\n", "bad \xff\xfe utf8\n", strings.Repeat("x", 70<<10) + "\n"} {
		_, _ = stream.Stdout().Write([]byte(piece))
	}
	if _, err := stream.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := a.lines(t)
	if lines[0].Content != "token ***" {
		t.Errorf("content = %q, want the secret hidden", lines[0].Content)
	}
	if !strings.Contains(lines[1].Content, "\uFFFD") {
		t.Errorf("content = %q, want invalid UTF-8 replaced", lines[1].Content)
	}
	if n := len(lines[2].Content); n > 64<<10 || !strings.Contains(lines[2].Content, "line cut") {
		t.Errorf("a long line has %d bytes and ends with %q, want at most 64 KiB and a word about it", n, lines[2].Content[n-50:])
	}
}

func TestASecretAtTheCutDoesNotShow(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	secret := strings.Repeat("s3cr3t-", 100)
	stream := a.open(t, subject(tasks.KindDeployImage, secret))
	for offset := range 3 {
		_, _ = fmt.Fprintf(stream.Stdout(), "%s%s\n", strings.Repeat("x", 128<<10-offset*300-10), secret)
	}
	if _, err := stream.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, l := range a.lines(t) {
		if strings.Contains(l.Content, "s3cr") {
			t.Errorf("a part of the secret shows: …%s", l.Content[len(l.Content)-80:])
		}
	}
}

func TestTheNumbersGoOnAfterACrash(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	first := a.open(t, subject(tasks.KindDeployImage))
	_, _ = first.Stdout().Write([]byte("one\ntwo\n"))
	if _, err := first.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	about := subject(tasks.KindDeployImage)
	about.Run.Claims = 2
	second := a.open(t, about)
	_, _ = second.Stdout().Write([]byte("three\n"))
	if last, err := second.Flush(t.Context()); last != 3 || err != nil {
		t.Errorf("Flush() = %d, %v, want 3", last, err)
	}
}

func TestLogsWithoutAStreamGoOutPlain(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", false)
	got := make(chan *nats.Msg, 10)
	subscription, err := a.nc.ChanSubscribe("build.log.>", got)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = subscription.Unsubscribe() }()
	stream := a.open(t, subject(tasks.KindDeployImage))
	_, _ = stream.Stdout().Write([]byte("one\ntwo\nthree\n"))
	if _, err := stream.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.publisher.EndLog(t.Context(), stream.Compose(tasks.Outcome{})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two", "three", `"status":"success"`} {
		select {
		case msg := <-got:
			if !strings.Contains(string(msg.Data), want) {
				t.Errorf("heard %s, want %s", msg.Data, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%q was not heard", want)
		}
	}
}

func TestFlushEndsWithItsContext(t *testing.T) {
	t.Parallel()
	a := newAudience(t, "", true)
	stream := a.open(t, subject(tasks.KindDeployImage))
	a.nc.Close()
	_, _ = stream.Stdout().Write([]byte("one\n"))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := stream.Flush(ctx); err == nil {
		t.Error("Flush() = nil, want that the line is not out")
	}
}
