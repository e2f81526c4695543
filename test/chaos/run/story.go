package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/test/chaos/effect"
	"github.com/dispatchd/dispatchd/test/chaos/plan"
)

// story is the backend: it has streams, publishes tasks until they are
// acknowledged, and writes down what was.
type story struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *log.Logger

	mu    sync.Mutex
	tasks map[string]plan.Task
}

// answerTime bounds each request: a cluster without a leader may never answer.
const answerTime = 2 * time.Second

func openStory(ctx context.Context, urls []string, log *log.Logger) (*story, error) {
	nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond),
		nats.RetryOnFailedConnect(true), nats.ReconnectBufSize(-1))
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	s := &story{nc: nc, js: js, log: log, tasks: map[string]plan.Task{}}
	// The server forgets ids at once: nothing but the protocol keeps events single.
	for name, subjects := range map[string][]string{
		"DEPLOYMENTS": {"deployment.>", "job.destroyed"}, "LOGS": {"build.log.>"},
		effect.Stream: {effect.Subjects}, effect.Story: {effect.StorySubjects},
	} {
		config := jetstream.StreamConfig{Name: name, Subjects: subjects, Replicas: nodes, Duplicates: 100 * time.Millisecond}
		err := s.until(ctx, "make stream "+name, func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, config)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// until repeats until it succeeds or ctx ends.
func (s *story) until(ctx context.Context, what string, do func(context.Context) error) error {
	for {
		bounded, cancel := context.WithTimeout(ctx, answerTime)
		err := do(bounded)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// tell writes one message of the story, once.
func (s *story) tell(ctx context.Context, subject string, what any) {
	body, err := json.Marshal(what)
	if err != nil {
		s.log.Printf("%s: %v", subject, err)
		return
	}
	err = s.until(ctx, "tell "+subject, func(ctx context.Context) error {
		_, err := s.js.Publish(ctx, subject, body)
		return err
	})
	if err != nil {
		s.log.Print(err)
	}
}

// codeNotStored is the server's code for a message that a stream's limits refuse.
const codeNotStored = 10077

// send publishes a task until it is acknowledged and writes that down.
func (s *story) send(ctx context.Context, t plan.Task) {
	s.mu.Lock()
	s.tasks[t.TaskID] = t
	s.mu.Unlock()
	sequence, err := s.publish(ctx, t.Kind, t.Job, t.TaskID, body(t))
	if err != nil {
		return
	}
	t.Sequence, t.At = sequence, time.Now()
	s.tell(ctx, effect.AcceptedSubject, t.Accepted)
}

func (s *story) publish(ctx context.Context, kind, job, id string, body []byte) (sequence uint64, err error) {
	msg := nats.NewMsg("dispatch.task." + kind + "." + job + "." + id)
	msg.Data = body
	err = s.until(ctx, "publish "+msg.Subject, func(ctx context.Context) error {
		ack, err := s.js.PublishMsg(ctx, msg, jetstream.WithMsgID(msg.Subject))
		if refused := (*jetstream.APIError)(nil); errors.As(err, &refused) && refused.ErrorCode == codeNotStored {
			return nil // it is there: the answer to an earlier try was lost
		}
		if err == nil {
			sequence = ack.Sequence
		}
		return err
	})
	return sequence, err
}

// again publishes a known id once more, where other with another body, for
// another job, or both.
func (s *story) again(ctx context.Context, id string, other bool) {
	s.mu.Lock()
	t, known := s.tasks[id]
	s.mu.Unlock()
	if !known || t.Body != "" {
		return
	}
	if other {
		t.Tag = effect.Plan{Outcome: effect.Fail, Work: time.Millisecond}.Tag()
		if len(id)%2 == 1 && id[len(id)-1]%2 == 0 {
			t.Job = "other-" + id
		}
	}
	s.tell(ctx, effect.AgainSubject, effect.Again{TaskID: id, Other: other})
	msg := nats.NewMsg("dispatch.task." + t.Kind + "." + t.Job + "." + id)
	msg.Data = body(t)
	_ = s.until(ctx, "publish again "+msg.Subject, func(ctx context.Context) error {
		_, err := s.js.PublishMsg(ctx, msg)
		if refused := (*jetstream.APIError)(nil); errors.As(err, &refused) && refused.ErrorCode == codeNotStored {
			return nil
		}
		return err
	})
}

func (s *story) cancel(ctx context.Context, id string) {
	_ = s.until(ctx, "cancel "+id, func(ctx context.Context) error {
		_, err := s.js.Publish(ctx, "dispatch.cancel."+id, nil)
		return err
	})
}

// body is a task as a backend writes it.
func body(t plan.Task) []byte {
	if t.Body != "" {
		return []byte(t.Body)
	}
	return fmt.Appendf(nil, `{"task":%q,"params":%s}`, t.Kind, params(t))
}

func params(t plan.Task) string {
	if t.Kind == "destroy-job-pack" {
		return fmt.Sprintf(`{"jobs":[{"jobId":%q,"serviceId":"s-%s"}],"reason":"delete"}`, t.Job, t.TaskID)
	}
	return fmt.Sprintf(`{"jobId":%q,"imageName":"app","imageTag":%q,"deploymentId":"d-%s","serviceId":"s-%s","deploymentJobId":7}`,
		t.Job, t.Tag, t.TaskID, t.TaskID)
}

// has reports whether a stream holds a message on a subject.
func (s *story) has(ctx context.Context, stream, subject string) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	handle, err := s.js.Stream(ctx, stream)
	if err != nil {
		return false
	}
	_, err = handle.GetLastMsgForSubject(ctx, subject)
	return err == nil
}

// streams are all that must be whole.
var streams = []string{
	"DISPATCH_TASKS", "DISPATCH_EVENTS", "DISPATCH_DLQ", "KV_dispatch_run", "KV_dispatch_lease", "DEPLOYMENTS", "LOGS", effect.Stream, effect.Story,
}

// whole waits until each stream has a leader and enough servers that are up to
// date.
func (s *story) whole(ctx context.Context, servers int) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, name := range streams {
		_ = s.until(ctx, "look at "+name, func(ctx context.Context) error {
			handle, err := s.js.Stream(ctx, name)
			if err != nil {
				return err
			}
			info := handle.CachedInfo().Cluster
			current := 1
			for _, peer := range info.Replicas {
				if peer.Current && !peer.Offline {
					current++
				}
			}
			if info.Leader == "" || current < servers {
				return errNotWhole
			}
			return nil
		})
	}
}

var errNotWhole = errors.New("not every server has it")

// left counts the messages of a stream; -1 where nobody says.
func (s *story) left(ctx context.Context, stream string) int {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	handle, err := s.js.Stream(ctx, stream)
	if err != nil {
		return -1
	}
	return int(handle.CachedInfo().State.Msgs)
}
