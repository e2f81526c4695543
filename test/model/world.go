package model

import "math/bits"

// actorsAtMost is how many workers and sweepers a world has.
const actorsAtMost = 3

// world is all that is the case at one moment. It is comparable, so that a world
// that was visited is known again.
type world struct {
	server
	actors [actorsAtMost]actor
	// astray is a write that its sender has given up; it may be served at any time.
	astray write
	left   faults
	breach breach
	// disturbed is true once somebody has died or stalled, or deleted a message.
	disturbed bool
	// effects are the tasks that have changed the job.
	effects [tasksAtMost]bool
	// broken says which promise is.
	broken string
}

// faults are how many of each sort may still happen.
type faults struct {
	// deaths and stalls are of actors. Until it wakes, all that who has stalled has
	// to prolong may end.
	deaths, stalls uint8
	// strays are writes without an answer, handBacks attempts that end without an
	// outcome.
	strays, handBacks uint8
	cancels, purges   uint8
}

// role is what an actor is.
type role uint8

const (
	absent role = iota
	worker
	once
	sweeper
)

// actor is a worker's slot, a run-once or a sweeper, with what it remembers.
type actor struct {
	role role
	at   place
	task uint8
	// asleep is true from a stall to the next step.
	asleep bool

	// lease is the sequence of its last write of the lease, fence of the one that
	// took it.
	lease, fence sequence
	// token is its claim's own, revision where the run record stood, run the record
	// as last read or written.
	token, revision sequence
	run             run
	outcome         outcome
	refused         bool
	// retaking is true from when the lease has ended until the run has been written
	// under the new one, unseen until the message was seen in between.
	retaking, unseen bool

	// tails are how far it has read the backend's subjects, once that is known.
	tails  [subjects]uint8
	opened bool
	// seen is the revision at which an orphan was seen.
	seen sequence
}

// rest forgets the task.
func (a *actor) rest() {
	*a = actor{role: a.role, at: first(a.role), tails: a.tails, opened: a.opened}
}

// die forgets everything.
func (a *actor) die() {
	*a = actor{role: a.role, at: first(a.role)}
	if a.role == once {
		a.at = over
	}
}

func first(r role) place {
	switch r {
	case once:
		return takeLease
	case sweeper:
		return look
	default:
		return fetch
	}
}

// has reports whether the actor works on the task.
func (w *world) has(id actorID, task uint8) bool {
	if id == nobody {
		return false
	}
	a := w.actors[id]
	return a.role != sweeper && a.task == task && a.at != fetch && a.at != over
}

// canonical numbers the sequences anew, so that worlds that differ in nothing
// else are the same.
func (w *world) canonical() {
	var used uint64
	w.eachSequence(func(s *sequence) { used |= 1 << *s })
	used &^= 1 // 0 is none
	w.eachSequence(func(s *sequence) {
		if *s != 0 {
			*s = sequence(bits.OnesCount64(used & (1<<(*s+1) - 1)))
		}
	})
	w.clock = sequence(bits.OnesCount64(used))
}

func (w *world) eachSequence(do func(*sequence)) {
	do(&w.lease.sequence)
	do(&w.astray.expected)
	w.astray.run.eachSequence(do)
	for i := range w.runs {
		w.runs[i].eachSequence(do)
	}
	for i := range w.actors {
		a := &w.actors[i]
		do(&a.lease)
		do(&a.fence)
		do(&a.token)
		do(&a.revision)
		do(&a.seen)
		a.run.eachSequence(do)
	}
}

func (r *run) eachSequence(do func(*sequence)) {
	do(&r.revision)
	do(&r.token)
	do(&r.fence)
}

// isOver reports whether every task has ended as it should.
func (w *world) isOver() bool {
	for task := range w.tasks() {
		if !w.accepted[task] && w.actors[0].role == once && w.actors[0].at == over {
			continue // it died before it began
		}
		if w.terminal[task] == (outcome{}) || !w.subjects[ended].has(task, 0, tasksAtMost) ||
			w.queue[task].state != gone || w.runs[task] != (run{}) {
			return false
		}
	}
	return true
}

// tasks is how many there are.
func (w *world) tasks() uint8 {
	if w.actors[0].role == once {
		return 1
	}
	return tasksAtMost
}
