// Package plan makes what a chaos run does out of a seed: which tasks are
// published when, and what happens to whom. The same seed and scale make the
// same plan.
package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/dispatchd/dispatchd/test/chaos/effect"
)

// Scale is how large and how fast a run is.
type Scale struct {
	// Tasks, of so many Jobs, are published over Publish.
	Tasks   int
	Jobs    int
	Publish time.Duration
	// Work is the length of a usual stage; one in eight is Slow times as long.
	Work time.Duration
	Slow int
	// Again is one in how many tasks is published once more.
	Again int
	// Panics has some tasks panic: those are tried again for more than a minute.
	Panics bool
	// AckWait and LeaseTTL are the workers' pace; zero is production's.
	AckWait, LeaseTTL time.Duration
	// Plain is how many workers are killed with nothing else around it, Apart the
	// time between them. Mixed faults follow each other after Between.
	Plain          int
	Apart, Between time.Duration
	// Away is how long the whole cluster is away; 0 leaves that out.
	Away time.Duration
	// Kinds are the mixed faults; each comes before one comes again.
	Kinds []string
	// Points are the messages at which workers are stopped.
	Points []string
}

// Step is one thing to do, counted from the start.
type Step struct {
	At    time.Duration
	Task  *Task
	Fault *Fault
	// Cancel and Again name a task whose end is asked for, and one that is
	// published once more: with another body where Other is set.
	Cancel, Again string
	Other         bool
}

// Task is a message for the queue, or a run-once.
type Task struct {
	effect.Accepted
	// Tag is the deployment's plan; Body is set where the body is none.
	Tag, Body string
	// Once is true for a run-once; it is killed so long after it has begun, and not
	// at all where that is 0.
	Once      bool
	KillAfter time.Duration
}

// Fault is one thing that happens to a worker (0, 1, 2) or to a node.
type Fault struct {
	Kind   string
	Victim int
	// For is how long it lasts.
	For time.Duration
	// Point is the message at which a worker is stopped, Passed whether the server
	// has it.
	Point  string
	Passed bool
}

// The kinds of fault.
const (
	Kill      = "kill"
	KillAt    = "kill-at"
	Stall     = "stall"
	StallAt   = "stall-at"
	Term      = "term"
	Cut       = "cut"
	NodeKill  = "node-kill"
	NodeStall = "node-stall"
	DiskFull  = "disk-full"
	Away      = "away"
)

// Make makes the plan of a seed.
func Make(seed uint64, s Scale) []Step {
	p := &planner{scale: s, random: rand.New(rand.NewPCG(seed, 7))}
	for i := range s.Tasks {
		p.task(i, s.Publish*time.Duration(i)/time.Duration(s.Tasks))
	}
	p.faults()
	slices.SortStableFunc(p.steps, func(a, b Step) int { return int(a.At - b.At) })
	return p.steps
}

type planner struct {
	scale  Scale
	random *rand.Rand
	steps  []Step
}

func (p *planner) add(s Step) { p.steps = append(p.steps, s) }

// share is one part of a hundred of the tasks.
type share struct {
	percent int
	make    func(p *planner, t *Task)
}

// shares says what the tasks are; the rest is deployments that succeed.
var shares = []share{
	{12, func(_ *planner, t *Task) { t.Want = effect.Fail }},
	{4, func(p *planner, t *Task) {
		if p.scale.Panics {
			t.Want = effect.Panic
		}
	}},
	{9, func(_ *planner, t *Task) { t.Want, t.Kind = effect.Destroyed, "destroy-job-pack" }},
	{3, func(p *planner, t *Task) { p.invalid(t) }},
	{6, func(p *planner, t *Task) { p.cancelled(t) }},
	{8, func(p *planner, t *Task) {
		t.Job, t.Superseded = fmt.Sprintf("super-%d", p.random.IntN(4)), true
	}},
	{2, func(p *planner, t *Task) { p.once(t) }},
}

func (p *planner) task(i int, at time.Duration) {
	t := &Task{}
	t.TaskID, t.Kind, t.Want = fmt.Sprintf("t%04d", i), "deploy-image", effect.OK
	t.Job = fmt.Sprintf("job-%d", p.random.IntN(p.scale.Jobs))
	p.add(Step{At: at, Task: t})
	part := p.random.IntN(100)
	for _, s := range shares {
		if part -= s.percent; part < 0 {
			s.make(p, t)
			break
		}
	}
	t.Tag = p.tag(t.Want)
	if !t.Once && p.random.IntN(p.scale.Again) == 0 {
		// Some come at once, some while the first runs, some after its end.
		later := time.Duration(p.random.Int64N(int64(p.scale.Publish/6) + 1))
		p.add(Step{At: min(at+later*time.Duration(p.random.IntN(3)), p.scale.Publish), Again: t.TaskID, Other: p.random.IntN(2) == 0})
	}
}

func (p *planner) tag(want string) string {
	plan := effect.Plan{Outcome: effect.OK, Work: p.scale.Work/2 + time.Duration(p.random.Int64N(int64(p.scale.Work)))}
	if want == effect.Fail || want == effect.Panic {
		plan.Outcome = want
	}
	if p.random.IntN(8) == 0 {
		plan.Work *= time.Duration(p.scale.Slow)
	}
	return plan.Tag()
}

func (p *planner) invalid(t *Task) {
	t.Want = effect.Invalid
	switch p.random.IntN(3) {
	case 0:
		t.Want, t.Body = effect.Letter, "{not json"
	case 1:
		t.Want, t.Body = effect.Letter, `{"task":"make-coffee","params":{}}`
	default:
		t.Body = fmt.Sprintf(`{"task":"deploy-image","params":{"jobId":%q,"deploymentId":"d-%s","serviceId":"s","deploymentJobId":7,"cpu":"many"}}`, t.Job, t.TaskID)
	}
}

func (p *planner) cancelled(t *Task) {
	t.Cancelled = true
	at := p.steps[len(p.steps)-1].At + time.Duration(p.random.Int64N(int64(3*p.scale.Work)))
	p.add(Step{At: at, Cancel: t.TaskID})
}

func (p *planner) once(t *Task) {
	t.Once, t.Want = true, effect.Once
	t.Job = "once-" + t.TaskID
	t.TaskID = fmt.Sprintf("dispatch-1-%08x", p.random.Uint32())
	if p.random.IntN(3) == 0 {
		t.Want = effect.OK
		return
	}
	t.KillAfter = time.Duration(p.random.Int64N(int64(p.scale.Work)))
}
