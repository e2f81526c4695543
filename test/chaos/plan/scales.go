package plan

import "time"

// points are the messages of a task at which it hurts most.
var points = []string{
	"write run", "write lease target", "effect", "publish deployment.status.changed", "write done",
	"publish deployment.succeeded", "publish deployment.failed", "publish build.log.end", "verb +ACK", "delete KV_dispatch_run", "publish build.log",
}

// all are the mixed faults of a long run.
var all = []string{
	Kill, KillAt, Stall, StallAt, StallAt, Term, Cut, NodeKill, NodeStall, DiskFull,
}

// Long is `make chaos`: 1,000 tasks at the pace of production.
func Long() Scale {
	return Scale{
		Tasks: 1000, Jobs: 250, Publish: 9 * time.Minute, Panics: true, Again: 12, Work: 1500 * time.Millisecond, Slow: 8,
		Plain: 4, Apart: 45 * time.Second, Between: 13 * time.Second, Away: time.Minute,
		Kinds: all, Points: points,
	}
}

// Short is part of `make test`: the same in a twelfth of the time.
func Short() Scale {
	return Scale{
		Tasks: 90, Jobs: 40, Publish: 15 * time.Second, Work: 250 * time.Millisecond, Slow: 6, Again: 12,
		AckWait: 3 * time.Second, LeaseTTL: 2500 * time.Millisecond,
		Plain: 1, Apart: 4 * time.Second, Between: 2500 * time.Millisecond,
		Kinds: []string{Stall, KillAt, StallAt, NodeKill, Cut, Term}, Points: points,
	}
}

// Mutant is a short run with the faults that show one broken part.
func Mutant(kinds, at []string) Scale {
	s := Short()
	s.Tasks, s.Jobs, s.Plain, s.Kinds, s.Points = 60, 15, 0, kinds, at
	s.Between, s.Again = 2*time.Second, 2
	return s
}
