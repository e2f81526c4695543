package chaos_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/test/chaos/check"
	"github.com/dispatchd/dispatchd/test/chaos/effect"
)

// told is a server on which the test itself writes what workers would.
type told struct {
	*server
	began time.Time
}

func newTold(t *testing.T) told {
	t.Helper()
	s := newServer(t, pace)
	for name, subjects := range map[string][]string{
		"DISPATCH_EVENTS": {"dispatch.done.*", "dispatch.event.>"}, "DISPATCH_DLQ": {"dispatch.dlq.*"}, effect.Story: {effect.StorySubjects},
	} {
		if _, err := s.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: subjects}); err != nil {
			t.Fatal(err)
		}
	}
	return told{server: s, began: time.Now()}
}

func (s told) write(subject string, body any, header ...string) {
	s.t.Helper()
	msg := nats.NewMsg(subject)
	for i := 0; i < len(header); i += 2 {
		msg.Header.Set(header[i], header[i+1])
	}
	var err error
	if msg.Data, err = json.Marshal(body); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.js.PublishMsg(s.t.Context(), msg); err != nil {
		s.t.Fatal(err)
	}
}

func (s told) accepted(id, job string, sequence uint64) {
	s.write(effect.AcceptedSubject, effect.Accepted{TaskID: id, Kind: "deploy-image", Job: job, Want: effect.OK, Sequence: sequence})
}

func (s told) effect(id, job, worker, attempt string) {
	s.write(effect.Subject(job, id), effect.Effect{Kind: effect.Build, TaskID: id, Target: job, Worker: worker, Attempt: attempt})
}

// ended writes all that a task says that has succeeded.
func (s told) ended(id, status string) {
	s.write("dispatch.done."+id, map[string]string{"task_id": id, "task": "deploy-image", "status": status})
	s.write("deployment."+status, struct{}{}, nats.MsgIdHdr, id+".deployment."+status, "Dispatch-Task-Id", id)
	s.write("build.log.end.d-"+id, map[string]string{"deploymentId": "d-" + id, "status": map[string]string{"succeeded": "success"}[status]})
}

func TestTheCheckerSeesEachKindOfViolation(t *testing.T) {
	t.Parallel()
	for want, do := range map[string]func(told){
		"": func(s told) {
			s.accepted("a", "web", 1)
			s.effect("a", "web", "w1", "x")
			s.effect("a", "web", "w2", "y")
			s.ended("a", "succeeded")
		},
		"lost: task a was accepted": func(s told) { s.accepted("a", "web", 1) },
		"twice: event a.deployment.succeeded": func(s told) {
			s.ended("a", "succeeded")
			// The server has forgotten the id once it is no duplicate any more.
			eventually(s.t, "it stands twice", func() bool {
				s.write("deployment.succeeded", struct{}{}, nats.MsgIdHdr, "a.deployment.succeeded", "Dispatch-Task-Id", "a")
				stream, err := s.js.Stream(s.t.Context(), "DEPLOYMENTS")
				return err == nil && stream.CachedInfo().State.Msgs > 1
			})
		},
		"contradicted: task a should be ok": func(s told) {
			s.accepted("a", "web", 1)
			s.write("dispatch.done.a", map[string]string{"task_id": "a", "task": "deploy-image", "status": "failed", "reason": "unhealthy"})
		},
		"out of order: task a: w1/x makes an effect again": func(s told) {
			s.effect("a", "web", "w1", "x")
			s.effect("a", "web", "w2", "y")
			s.effect("a", "web", "w1", "x")
		},
		"out of order: job web: task a of place 1": func(s told) {
			s.accepted("a", "web", 1)
			s.accepted("b", "web", 2)
			s.effect("b", "web", "w1", "x")
			s.effect("a", "web", "w1", "y")
		},
		"contradicted: task a made an effect for job web and one for job api": func(s told) {
			s.effect("a", "web", "w1", "x")
			s.effect("a", "api", "w1", "x")
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s := newTold(t)
			do(s)
			_, report, err := check.ReadStory(t.Context(), s.js)
			if err != nil {
				t.Fatal(err)
			}
			seen := func(violation string) bool { return strings.HasPrefix(violation, want) }
			if want == "" && len(report.Violations) > 0 || want != "" && !slices.ContainsFunc(report.Violations, seen) {
				t.Errorf("the checker says %q, want %q", report.Violations, want)
			}
		})
	}
}

// A task that a killed worker had stands still until another one is seen with it.
func TestRecoveryIsTheTimeToTheNextSignOfLife(t *testing.T) {
	t.Parallel()
	s := newTold(t)
	s.effect("a", "web", "w1", "x")
	s.effect("b", "api", "w2", "x")
	stream, err := s.js.Stream(t.Context(), effect.Stream)
	if err != nil {
		t.Fatal(err)
	}
	last, err := stream.GetLastMsgForSubject(t.Context(), effect.Subject("api", "b"))
	if err != nil {
		t.Fatal(err)
	}
	at := last.Time.Add(time.Microsecond)
	s.write(effect.FaultSubject, effect.Fault{Kind: "kill", Victim: "w1", At: at, Until: at})
	s.effect("a", "web", "w1", "x") // what was on its way
	s.effect("a", "web", "w2", "y")
	next, err := stream.GetLastMsgForSubject(t.Context(), effect.Subject("web", "a"))
	if err != nil {
		t.Fatal(err)
	}
	story, report, err := check.ReadStory(t.Context(), s.js)
	if err != nil {
		t.Fatal(err)
	}
	rows := fmt.Sprint(report.Recoveries(story))
	want := next.Time.Sub(at)
	for _, row := range report.Recoveries(story) {
		if row.Tasks != 1 || row.Max != want {
			t.Errorf("%s, want each row with the one task of w1 and %s", rows, want)
		}
	}
}
