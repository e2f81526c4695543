package check

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/test/chaos/effect"
)

// effects looks whether the side effects of a job are made by one task after the
// other, and those of a task for one job, by one attempt after the other.
func (r *Report) effects(ctx context.Context, js jetstream.JetStream, _ map[string]terminal) error {
	all, err := read(ctx, js, effect.Stream, ">")
	if err != nil {
		return err
	}
	tasksOf, attemptsOf := map[string][]string{}, map[string][]string{}
	jobOf := map[string]string{}
	for _, m := range all {
		var e effect.Effect
		if err := json.Unmarshal(m.data, &e); err != nil {
			return fmt.Errorf("read the effect on %s: %w", m.subject, err)
		}
		r.saw(e.TaskID, sign{at: m.stored, worker: e.Worker})
		r.effectsOf[e.Target] = append(r.effectsOf[e.Target], e)
		r.follows("job "+e.Target, tasksOf, e.Target, e.TaskID)
		r.follows("task "+e.TaskID, attemptsOf, e.TaskID, e.Worker+"/"+e.Attempt)
		if job, known := jobOf[e.TaskID]; known && job != e.Target {
			r.contradicted("task %s made an effect for job %s and one for job %s", e.TaskID, job, e.Target)
		}
		jobOf[e.TaskID] = e.Target
	}
	return nil
}

// follows notes who makes an effect now: whoever was followed by somebody else
// must not come back.
func (r *Report) follows(what string, order map[string][]string, key, who string) {
	before := order[key]
	if len(before) > 0 && before[len(before)-1] == who {
		return
	}
	if slices.Contains(before, who) {
		r.disordered("%s: %s makes an effect again after %s", what, who, before[len(before)-1])
	}
	order[key] = append(before, who)
}
