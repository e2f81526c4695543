package model

import (
	"os"
	"testing"
)

// workers are two workers with two tasks of one job in the queue, and a sweeper.
func workers(left faults) world {
	w := begun(world{left: left}, worker, worker, sweeper)
	w.queue = [tasksAtMost]message{{state: waiting}, {state: waiting}}
	return w
}

// runOnce is a run-once whose task no queue holds, and two sweepers.
func runOnce(left faults) world {
	w := begun(world{left: left}, once, sweeper, sweeper)
	w.present = true
	return w
}

// withOrphan lets the first task be at its end but for a sweeper: its worker has
// died, and somebody has deleted its message.
func withOrphan(w world) world {
	w.queue[0] = message{}
	w.clock += 2
	w.runs[0] = run{revision: w.clock, token: w.clock - 1, claims: 1}
	w.accepted[0], w.disturbed = true, true
	return w
}

func begun(w world, roles ...role) world {
	for i, r := range roles {
		w.actors[i] = actor{role: r, at: first(r)}
	}
	return w
}

func TestThePromisesHoldWhateverHappens(t *testing.T) {
	t.Parallel()
	check := func(name string, start world) {
		t.Run(name, func(t *testing.T) {
			got := explore(start)
			t.Logf("%d worlds", got.worlds)
			if got.broken != "" {
				t.Error(got)
			}
		})
	}
	check("nothing happens", workers(faults{}))
	check("two workers die", workers(faults{deaths: 2}))
	check("a worker stalls", workers(faults{stalls: 1}))
	check("a worker stalls, a message is deleted", workers(faults{stalls: 1, purges: 1}))
	check("an answer is lost", workers(faults{strays: 1}))
	check("a run-once is handed back", runOnce(faults{handBacks: 2}))
	check("a run-once or a sweeper dies or stalls", runOnce(faults{deaths: 1, stalls: 1}))
	check("a run-once and a sweeper stall", runOnce(faults{stalls: 2}))
	check("a run-once stalls, an answer is lost", runOnce(faults{stalls: 1, strays: 1}))
	if os.Getenv("MODEL") != "all" {
		return
	}
	// Millions of worlds and minutes, and up to 10 GB.
	check("a worker stalls, an attempt is handed back", workers(faults{stalls: 1, handBacks: 1}))
	check("a worker stalls, a task is cancelled", workers(faults{stalls: 1, cancels: 1}))
	check("a stall, a cancelled task behind an orphan", withOrphan(workers(faults{stalls: 1, cancels: 1})))
	check("two stalls", workers(faults{stalls: 2}))
	check("run-once: two stalls, a death", runOnce(faults{stalls: 2, deaths: 1}))
	check("run-once: three stalls", runOnce(faults{stalls: 3}))
	check("run-once: a stall, a lost answer, an attempt handed back", runOnce(faults{stalls: 1, strays: 1, handBacks: 1}))
}

// Each rule is there for something: without it a promise breaks.
func TestEachRuleIsNeeded(t *testing.T) {
	t.Parallel()
	check := func(name string, rule breach, start world, want string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start.breach = rule
			if got := explore(start); got.broken != want {
				t.Errorf("after %d worlds: %v, want %q", got.worlds, got, want)
			}
		})
	}
	const (
		twice           = "twice"
		lost            = "lost: the message goes before its task has ended"
		anotherFollowed = "a side effect of an attempt that another has followed"
		afterwards      = "a side effect after the end"
		inProgress      = "contradicted: IN_PROGRESS after the outcome"
	)
	check("one holder of the lease", leaseForEverybody, workers(faults{stalls: 1}), anotherFollowed)
	check("a claim only where nobody has claimed since", claimForEverybody, workers(faults{stalls: 1}), twice)
	check("an event only where everything before it was read", laneWithoutFence, workers(faults{stalls: 1}), twice)
	check("the message goes last", acknowledgeFirst, workers(faults{}), lost)
	check("no verb after a loss", verbAfterLoss, workers(faults{stalls: 2}), lost)
	check("IN_PROGRESS before a refusal", refuseWithoutStart, workers(faults{stalls: 2, cancels: 1}), inProgress)
	check("the claim is confirmed under the new lease", retakeWithoutConfirming, runOnce(faults{stalls: 1}), afterwards)
	check("the new lease is written into the run", confirmWithoutFence, workers(faults{stalls: 2}), anotherFollowed)
	check("a run is swept as it was seen", sweepWhatWasWritten, runOnce(faults{stalls: 2}), anotherFollowed)
	check("the message is seen under the new lease", renewUnseen, workers(faults{stalls: 1, purges: 1, strays: 1}), "out of order")
	check("a claim out of turn is fenced, too", claimWithoutFence, withOrphan(workers(faults{stalls: 1, cancels: 1})), anotherFollowed)
	check("the turn is asked for again", retakeOutOfTurn, workers(faults{stalls: 1, purges: 1}), "out of order")
	check("a grant of one's own may be an old one", trustOwnGrant, runOnce(faults{stalls: 1, strays: 1}), afterwards)
	check("a run of one's own may be an old one", trustEarlierWrite, runOnce(faults{stalls: 1, strays: 1}), afterwards)
}
