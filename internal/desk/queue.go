package desk

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// QueueView is the queue at one moment.
type QueueView struct {
	At       time.Time `json:"at"`
	Totals   Totals    `json:"totals"`
	Capacity Capacity  `json:"capacity"`
	// Oldest is the oldest task that does not run.
	Oldest *Row `json:"oldest,omitempty"`
	// Jobs are the jobs with tasks in the queue, the one with the oldest first
	// task first; MoreJobs counts those that are not listed.
	Jobs     []JobRow `json:"jobs,omitzero"`
	MoreJobs int      `json:"more_jobs,omitempty"`
	// Tasks are those of one job, where one was asked for, the oldest first;
	// MoreTasks counts those that are not listed.
	Tasks     []Row `json:"tasks,omitzero"`
	MoreTasks int   `json:"more_tasks,omitempty"`
	// Warnings are sentences about what an operator should look at.
	Warnings []string `json:"warnings,omitempty"`
}

// JobRow is one job of the queue: its first task, and how many wait behind it.
type JobRow struct {
	Job    string `json:"job"`
	Tasks  int    `json:"tasks"`
	First  Row    `json:"first"`
	Behind int    `json:"behind"`
}

// order is the place of the row; one whose first task has just gone has none.
func (r *JobRow) order() uint64 {
	if r == nil {
		return 0
	}
	return r.First.sequence
}

// Row is one task of the queue. Job is the token of the job in the subject.
type Row struct {
	TaskID string    `json:"task_id"`
	Task   string    `json:"task"`
	Job    string    `json:"job"`
	Queued time.Time `json:"queued"`
	Why    Why       `json:"why"`

	sequence uint64
}

// QueueQuery says what of the queue to show.
type QueueQuery struct {
	// Job lists the tasks of one job in the place of all jobs.
	Job string
	// Limit is how many rows are read.
	Limit int
}

// Queue looks at the queue.
func (d *Desk) Queue(ctx context.Context, q QueueQuery) (QueueView, error) {
	view := QueueView{At: d.now()}
	s, err := d.look(ctx)
	if err != nil {
		return view, err
	}
	view.Totals, view.Capacity, view.Warnings = s.totals(), s.capacity(), s.warnings()
	if q.Job != "" {
		err = d.jobRows(ctx, s, q, &view)
	} else {
		err = d.allRows(ctx, s, q, &view)
	}
	if err != nil {
		return view, err
	}
	view.Oldest, err = d.oldest(ctx, s)
	return view, err
}

// allRows reads the first task of the jobs: of all of them, or of those that
// the oldest messages name, where there are too many jobs.
func (d *Desk) allRows(ctx context.Context, s *snapshot, q QueueQuery, view *QueueView) error {
	lines := s.lines()
	chosen := lines
	if len(lines) > q.Limit {
		oldest, err := d.walk(ctx, d.topology.AllTasks(), s.state.First, q.Limit)
		if err != nil {
			return err
		}
		chosen = d.choose(s, lines, oldest, q.Limit)
	}
	rows := make([]*JobRow, len(chosen))
	view.Jobs = []JobRow{}
	err := each(ctx, len(chosen), func(ctx context.Context, i int) (err error) {
		rows[i], err = d.jobRow(ctx, s, chosen[i])
		return err
	})
	sort.Slice(rows, func(i, j int) bool { return rows[i].order() < rows[j].order() })
	for _, row := range rows {
		if row != nil {
			view.Jobs = append(view.Jobs, *row)
		}
	}
	view.MoreJobs = len(lines) - len(chosen)
	return err
}

// choose takes the jobs of the oldest messages, and fills up with those at work
// and then the others.
func (d *Desk) choose(s *snapshot, lines []*line, oldest []*message, limit int) []*line {
	var chosen []*line
	taken := map[*line]bool{}
	take := func(l *line) {
		if l != nil && l.count > 0 && !taken[l] && len(chosen) < limit {
			taken[l] = true
			chosen = append(chosen, l)
		}
	}
	for _, m := range oldest {
		job, _ := placeOf(d.topology, m.Subject)
		take(s.jobs[job])
	}
	for _, l := range lines {
		take(l)
	}
	return chosen
}

// jobRow reads the first task of a job; nil where it has just gone.
func (d *Desk) jobRow(ctx context.Context, s *snapshot, l *line) (*JobRow, error) {
	first, err := d.leader.next(ctx, d.topology.Tasks(), d.filterOf(l.job), s.state.First)
	if first == nil || err != nil {
		return nil, err
	}
	row, err := d.row(ctx, s, first, first)
	return &JobRow{Job: l.job, Tasks: l.count, First: row, Behind: l.count - 1}, err
}

// filterOf is the subject of a job's messages; a message without a readable job
// has its own.
func (d *Desk) filterOf(job string) string {
	if tasks.ValidID(job) {
		return d.topology.TaskSubject("*", job, "*")
	}
	return job
}

// row describes one message. First is its job's oldest message.
func (d *Desk) row(ctx context.Context, s *snapshot, m, first *message) (Row, error) {
	kind, job, id, ok := d.topology.TaskParts(m.Subject)
	if !ok {
		job = m.Subject
	}
	why, err := d.why(ctx, s, place{line: s.at(job), first: d.headOf(first), own: d.headOf(m)})
	return Row{TaskID: id, Task: kind, Job: job, Queued: m.Time, Why: why, sequence: m.Sequence}, err
}

func (d *Desk) headOf(m *message) head {
	kind, _, id, _ := d.topology.TaskParts(m.Subject)
	return head{subject: m.Subject, sequence: m.Sequence, id: id, kind: tasks.Kind(kind)}
}

// jobRows reads the oldest tasks of one job.
func (d *Desk) jobRows(ctx context.Context, s *snapshot, q QueueQuery, view *QueueView) error {
	job := tasks.TargetToken(q.Job)
	l := s.jobs[job]
	if l == nil || l.count == 0 {
		return fmt.Errorf("no task of job %s is in the queue", q.Job)
	}
	view.Tasks = []Row{}
	oldest, err := d.walk(ctx, d.filterOf(job), s.state.First, q.Limit)
	if err != nil {
		return err
	}
	view.Tasks = make([]Row, len(oldest))
	view.MoreTasks = max(l.count-len(oldest), 0)
	return each(ctx, len(oldest), func(ctx context.Context, i int) (err error) {
		view.Tasks[i], err = d.row(ctx, s, oldest[i], oldest[0])
		return err
	})
}

// walk reads the first messages of a subject in their order, limit at most.
func (d *Desk) walk(ctx context.Context, subject string, from uint64, limit int) ([]*message, error) {
	var all []*message
	for len(all) < limit {
		m, err := d.leader.next(ctx, d.topology.Tasks(), subject, from)
		if m == nil || err != nil {
			return all, err
		}
		all = append(all, m)
		from = m.Sequence + 1
	}
	return all, nil
}

// oldest returns the oldest task that does not run; nil where all do. Those that
// run are passed one by one, and there are no more of them than slots.
func (d *Desk) oldest(ctx context.Context, s *snapshot) (*Row, error) {
	from := s.state.First
	for range len(s.grants) + 1 {
		m, err := d.leader.next(ctx, d.topology.Tasks(), d.topology.AllTasks(), from)
		if m == nil || err != nil {
			return nil, err
		}
		job, id := placeOf(d.topology, m.Subject)
		if l := s.at(job); l.holder == nil || l.holder.TaskID != id {
			row, err := d.row(ctx, s, m, m)
			return &row, err
		}
		from = m.Sequence + 1
	}
	return nil, nil
}
