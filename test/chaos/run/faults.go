package main

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/dispatchd/dispatchd/test/chaos/effect"
	"github.com/dispatchd/dispatchd/test/chaos/plan"
)

// trouble does the faults of the plan. Those of one worker, and those of nodes,
// come one after the other.
type trouble struct {
	fleet   *fleet
	cluster *cluster
	story   *story
	// trapped is how long a worker may take to come to a message.
	trapped time.Duration

	workers [workers]sync.Mutex
	nodes   sync.Mutex
	running sync.WaitGroup
}

// begin starts a fault and returns at once.
func (t *trouble) begin(ctx context.Context, f plan.Fault) {
	t.running.Go(func() {
		switch f.Kind {
		case plan.NodeKill, plan.NodeStall, plan.DiskFull, plan.Away:
			t.nodes.Lock()
			defer t.nodes.Unlock()
			t.node(ctx, f)
		default:
			m := &t.workers[f.Victim]
			m.Lock()
			defer m.Unlock()
			t.worker(ctx, f)
		}
	})
}

// note writes a fault into the story; Until is now.
func (t *trouble) note(ctx context.Context, f plan.Fault, victim string, at time.Time) {
	detail := f.Point
	if f.Point != "" && f.Passed {
		detail = "after " + f.Point
	}
	t.story.tell(ctx, effect.FaultSubject, effect.Fault{Kind: f.Kind, Victim: victim, At: at, Until: time.Now(), Detail: detail})
}

func (t *trouble) worker(ctx context.Context, f plan.Fault) {
	m := t.fleet.members[f.Victim]
	proc, name := m.now()
	at := time.Now()
	switch f.Kind {
	case plan.Cut:
		m.cut()
	case plan.Term:
		proc.signal(syscall.SIGTERM)
		<-proc.done
	case plan.Kill:
		proc.kill()
	case plan.Stall:
		proc.signal(syscall.SIGSTOP)
	case plan.KillAt, plan.StallAt:
		signal := syscall.SIGKILL
		if f.Kind == plan.StallAt {
			signal = syscall.SIGSTOP
		}
		stop := func() {
			at = time.Now()
			proc.signal(signal)
		}
		if !m.trapAt(f.Point, f.Passed, stop, t.trapped) {
			return
		}
	}
	pause(ctx, f.For)
	t.heal(m, proc, f.Kind)
	t.note(ctx, f, name, at)
}

// heal takes a worker's fault back.
func (t *trouble) heal(m *member, proc *process, kind string) {
	switch kind {
	case plan.Stall, plan.StallAt:
		proc.signal(syscall.SIGCONT)
	case plan.Kill, plan.KillAt, plan.Term:
		<-proc.done
		if err := m.start(); err != nil {
			t.story.log.Printf("start worker %s: %v", m.name(), err)
		}
	}
}

func (t *trouble) node(ctx context.Context, f plan.Fault) {
	at, victim := time.Now(), name(f.Victim)
	proc := t.cluster.procs[f.Victim]
	switch f.Kind {
	case plan.NodeStall:
		proc.signal(syscall.SIGSTOP)
		pause(ctx, f.For)
		proc.signal(syscall.SIGCONT)
	case plan.NodeKill:
		proc.kill()
		pause(ctx, f.For)
		t.restart(f.Victim)
	case plan.DiskFull:
		t.fillDisk(ctx, f)
	case plan.Away:
		victim = "all"
		for _, proc := range t.cluster.procs {
			proc.kill()
		}
		pause(ctx, f.For)
		for i := range nodes {
			t.restart(i)
		}
	}
	t.note(ctx, f, victim, at)
	// The cluster is whole again before the next node may go: two of three must live.
	t.story.whole(ctx, nodes)
}

func (t *trouble) restart(i int) {
	if err := t.cluster.start(i); err != nil {
		t.story.log.Printf("start node %s: %v", name(i), err)
	}
}

// fillDisk fills a node's disk, makes room again after a while, and restarts the
// node as an operator would: a server that could not write has JetStream off.
func (t *trouble) fillDisk(ctx context.Context, f plan.Fault) {
	if t.cluster.small == "" {
		t.story.log.Printf("no small disk here: the fault disk-full is left out")
		return
	}
	if err := t.cluster.fill(); err != nil {
		t.story.log.Printf("fill the disk: %v", err)
	}
	pause(ctx, f.For)
	t.cluster.procs[f.Victim].kill()
	if err := os.Remove(t.cluster.filler()); err != nil {
		t.story.log.Printf("make room again: %v", err)
	}
	t.restart(f.Victim)
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
