package desk

import (
	"context"
	"sort"
	"strings"
	"sync"

	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// snapshot is what stands in the queue and who has it, by names alone: two
// lists of subjects, and one read for each lease and worker.
type snapshot struct {
	hands

	jobs     map[string]*line
	runs     map[string]bool
	consumer consumer
	state    state
	// uncovered names the subjects of a kind of task that no stream covers; it asks
	// the server once, and only where somebody wants to know.
	uncovered func(tasks.Kind) string
}

// line is the queue of one job.
type line struct {
	job string
	// count is how many tasks of the job are in the queue.
	count int
	// holder has the job's lease; nil where nobody has.
	holder *grant
	// atWork is true where the holder's task is one of the queue's.
	atWork bool
	// open is the task that has an open run and nobody's lease; empty where
	// there is none.
	open string

	asked    sync.Once
	front    Why
	frontErr error
}

// inFront is where the task in front of the others of a job is. It is read once for
// all of them.
func (l *line) inFront(read func() (Why, error)) (Why, error) {
	l.asked.Do(func() { l.front, l.frontErr = read() })
	return l.front, l.frontErr
}

// look takes a snapshot. Its parts are read one after the other: a task that
// moves meanwhile may be seen at either place.
func (d *Desk) look(ctx context.Context) (*snapshot, error) {
	s := &snapshot{jobs: map[string]*line{}, runs: map[string]bool{}, uncovered: d.uncovered(ctx)}
	var err error
	if s.state, err = d.leader.state(ctx, d.topology.Tasks(), d.topology.AllTasks()); err != nil {
		return nil, err
	}
	if s.consumer, err = d.leader.consumer(ctx, d.topology.Tasks(), d.topology.Consumer()); err != nil {
		return nil, err
	}
	if s.hands, err = d.hands(ctx); err != nil {
		return nil, err
	}
	bucket := d.topology.Runs()
	runs, err := d.leader.state(ctx, queue.BucketStream(bucket), queue.KeySubject(bucket, ">"))
	if err != nil {
		return nil, err
	}
	for subject := range runs.Subjects {
		s.runs[strings.TrimPrefix(subject, queue.KeySubject(bucket, ""))] = true
	}
	s.sort(d.topology)
	return s, nil
}

// sort puts each task of the queue into its job's line.
func (s *snapshot) sort(t queue.Topology) {
	for i := range s.grants {
		s.line(s.grants[i].job).holder = &s.grants[i]
	}
	for subject := range s.state.Subjects {
		job, id := placeOf(t, subject)
		l := s.line(job)
		l.count++
		switch {
		case l.holder != nil && l.holder.TaskID == id:
			l.atWork = true
		case l.holder == nil && s.runs[id]:
			l.open = id
		}
	}
}

// placeOf returns the job and the id of a queued message. One whose subject has
// not the form of a task's stands in a line of its own.
func placeOf(t queue.Topology, subject string) (job, id string) {
	_, job, id, ok := t.TaskParts(subject)
	if !ok {
		return subject, ""
	}
	return job, id
}

func (s *snapshot) line(job string) *line {
	l, known := s.jobs[job]
	if !known {
		l = &line{job: job}
		s.jobs[job] = l
	}
	return l
}

// at returns a job's line without making it: lines are read by many at once.
func (s *snapshot) at(job string) *line {
	if l, known := s.jobs[job]; known {
		return l
	}
	return &line{job: job}
}

// Totals counts the tasks of the queue: each is in one of the four states.
type Totals struct {
	Tasks int `json:"tasks"`
	// Runnable wait for a slot alone; Blocked for another task of their job.
	Runnable int `json:"runnable"`
	Blocked  int `json:"blocked"`
	// Retry have an open run that no worker has: handed back, or their worker died.
	Retry   int `json:"retry"`
	Running int `json:"running"`
	// Outside run too, but are not from the queue (run-once).
	Outside int `json:"outside"`
	Jobs    int `json:"jobs"`
}

func (s *snapshot) totals() Totals {
	var t Totals
	for _, l := range s.jobs {
		t.Tasks += l.count
		if l.count > 0 {
			t.Jobs++
		}
		switch {
		case l.atWork:
			t.Running++
			t.Blocked += l.count - 1
		case l.holder != nil:
			t.Blocked += l.count
		case l.count == 0:
		case l.open != "":
			t.Retry++
			t.Blocked += l.count - 1
		default:
			t.Runnable++
			t.Blocked += l.count - 1
		}
	}
	outside := map[string]bool{}
	for _, g := range s.grants {
		if !s.jobs[g.job].atWork {
			outside[g.TaskID] = true
		}
	}
	t.Outside = len(outside)
	return t
}

// lines lists the jobs that have tasks in the queue, those at work first, then
// by name.
func (s *snapshot) lines() []*line {
	var all []*line
	for _, l := range s.jobs {
		if l.count > 0 {
			all = append(all, l)
		}
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if (a.holder != nil) != (b.holder != nil) {
			return a.holder != nil
		}
		return a.job < b.job
	})
	return all
}

// lives reports whether a worker gives signs of life.
func (s *snapshot) lives(worker string) bool { return find(s.live, worker) != nil }

func find(live []Worker, id string) *Worker {
	for i := range live {
		if live[i].ID == id {
			return &live[i]
		}
	}
	return nil
}
