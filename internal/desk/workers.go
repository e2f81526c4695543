package desk

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/queue"
)

// Workers is who works.
type Workers struct {
	At      time.Time `json:"at"`
	Workers []Worker  `json:"workers"`
	// Warnings are sentences about what an operator should look at.
	Warnings []string `json:"warnings,omitempty"`
}

// Worker is one worker that gives signs of life.
type Worker struct {
	queue.WorkerInfo
	// Seen is its last sign of life.
	Seen time.Time `json:"seen"`
	// Tasks are those whose lease it holds.
	Tasks []Held `json:"tasks"`
}

// Held is a task in a worker's hands.
type Held struct {
	TaskID string `json:"task_id"`
	Job    string `json:"job"`
	// Queued is false for a task that is not from the work queue.
	Queued bool `json:"queued"`
}

// grant is a lease of a job as it stands.
type grant struct {
	queue.Grant
	job   string
	since time.Time
}

// hands are the workers that live and the leases that they have.
type hands struct {
	live   []Worker
	grants []grant
	// unreadable are keys in the bucket that hold neither.
	unreadable []string
	// taken is when they were read, by the server's clock, as all times in them are.
	taken time.Time
}

// Workers lists the workers that live and what they hold.
func (d *Desk) Workers(ctx context.Context) (Workers, error) {
	view := Workers{At: d.now()}
	h, err := d.hands(ctx)
	if err != nil {
		return view, err
	}
	for i := range h.live {
		for _, g := range h.grants {
			if g.Worker == h.live[i].ID {
				h.live[i].Tasks = append(h.live[i].Tasks, Held{TaskID: g.TaskID, Job: g.job, Queued: g.Sequence > 0})
			}
		}
	}
	view.Workers, view.Warnings = h.live, h.warnings()
	return view, nil
}

// hands reads the signs of life and the leases of jobs, in the order of their names.
func (d *Desk) hands(ctx context.Context) (hands, error) {
	bucket := d.topology.Leases()
	held, err := d.leader.state(ctx, queue.BucketStream(bucket), queue.KeySubject(bucket, ">"))
	if err != nil {
		return hands{}, err
	}
	var keys []string
	for subject := range held.Subjects {
		keys = append(keys, subject)
	}
	slices.Sort(keys)
	messages := make([]*message, len(keys))
	err = each(ctx, len(keys), func(ctx context.Context, i int) (err error) {
		messages[i], err = d.leader.last(ctx, queue.BucketStream(bucket), keys[i])
		return err
	})
	if err != nil {
		return hands{}, err
	}
	h := hands{live: []Worker{}, grants: []grant{}, taken: d.now().Add(held.skew)}
	for _, m := range messages {
		if m == nil {
			continue // it has just ended
		}
		key := strings.TrimPrefix(m.Subject, queue.KeySubject(bucket, ""))
		if job, ok := strings.CutPrefix(key, queue.TargetKeys); ok {
			g := grant{job: job, since: m.Time}
			if err := json.Unmarshal(m.Data, &g.Grant); err != nil {
				h.unreadable = append(h.unreadable, key)
				continue
			}
			h.grants = append(h.grants, g)
		}
		if strings.HasPrefix(key, queue.WorkerKeys) {
			w := Worker{Seen: m.Time, Tasks: []Held{}}
			if err := json.Unmarshal(m.Data, &w.WorkerInfo); err != nil {
				h.unreadable = append(h.unreadable, key)
				continue
			}
			h.live = append(h.live, w)
		}
	}
	return h, nil
}

// warnings says what an operator should look at.
func (h hands) warnings() []string {
	var found []string
	versions := map[string]struct{}{}
	known := map[string]bool{}
	serving := 0
	for _, w := range h.live {
		known[w.ID] = true
		versions[w.Version] = struct{}{}
		if !w.Once {
			serving++
		}
	}
	if serving == 0 {
		found = append(found, "no worker of the service lives: queued tasks wait until `dispatchd run` is started")
	}
	if len(versions) > 1 {
		names := make([]string, 0, len(versions))
		for version := range versions {
			names = append(names, version)
		}
		slices.Sort(names)
		found = append(found, "the workers have different versions: "+strings.Join(names, ", "))
	}
	for _, key := range h.unreadable {
		found = append(found, "the key "+key+" in the bucket of leases cannot be read: no worker wrote it; it ends by itself within seconds")
	}
	for _, g := range h.grants {
		if !known[g.Worker] {
			found = append(found, fmt.Sprintf("worker %s holds job %s for task %s and gives no sign of life: its lease ends by itself", g.Worker, g.job, g.TaskID))
		}
	}
	return found
}

// Capacity is how much the living workers of the service can do.
type Capacity struct {
	Workers int `json:"workers"`
	Slots   int `json:"slots"`
	// Busy slots have a task; Free ones take the next.
	Busy int `json:"busy"`
	Free int `json:"free"`
}

// capacity counts slots. A worker says how many are busy with each sign of
// life; the leases that it holds are newer.
func (h hands) capacity() Capacity {
	var c Capacity
	for _, w := range h.live {
		if w.Once {
			continue
		}
		busy := min(max(w.Busy, h.heldBy(w.ID)), w.Slots)
		c.Workers++
		c.Slots += w.Slots
		c.Busy += busy
		if !w.Draining {
			c.Free += w.Slots - busy
		}
	}
	return c
}

func (h hands) heldBy(worker string) int {
	n := 0
	for _, g := range h.grants {
		if g.Worker == worker {
			n++
		}
	}
	return n
}
