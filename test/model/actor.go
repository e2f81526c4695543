package model

// step lists what may happen when the actor does what is next.
func (w *world) step(id actorID) []move {
	awake := *w
	awake.actors[id].asleep = false
	return awake.next(id)
}

func (w *world) next(id actorID) []move {
	a := w.actors[id]
	switch {
	case a.role == absent || a.at == over:
		return nil
	case a.at == fetch:
		return w.fetch(id)
	case a.at < begin:
		return w.turn(id)
	case a.at < start:
		return w.claim(id)
	case a.at < recordOutcome:
		return w.work(id)
	case a.at < look:
		return w.settle(id)
	default:
		return w.sweep(id)
	}
}

// local is a read or a decision: it sees the server as it is.
func (w *world) local(id actorID, do func(n *world, a *actor)) []move {
	n := *w
	do(&n, &n.actors[id])
	return []move{{by: id, to: n}}
}

// ask sends a write. Where no answer comes the actor asks again, and the write may
// be served later.
func (w *world) ask(id actorID, q write, then func(n *world, a *actor, at sequence, done bool)) []move {
	q.by = id
	n := *w
	at, done := n.serve(q)
	then(&n, &n.actors[id], at, done)
	moves := []move{{by: id, to: n}}
	if w.left.strays > 0 && w.astray.op == nothing {
		n := *w
		n.left.strays--
		n.astray = q
		moves = append(moves, move{by: id, what: ", and hears nothing", to: n})
	}
	return moves
}

// to is an answer that only leads on.
func to(next place) func(*world, *actor, sequence, bool) {
	return func(_ *world, a *actor, _ sequence, _ bool) { a.at = next }
}

// orElse is an answer that leads on, or elsewhere where the write is refused.
func orElse(next, refused place) func(*world, *actor, sequence, bool) {
	return func(_ *world, a *actor, _ sequence, done bool) {
		a.at = next
		if !done {
			a.at = refused
		}
	}
}

// renewal is the answer to a write of the lease.
func renewal(next, refused place) func(*world, *actor, sequence, bool) {
	return func(_ *world, a *actor, at sequence, done bool) {
		a.at = refused
		if done {
			a.lease, a.at = at, next
		}
	}
}

// taken is the answer to a write that takes the lease.
func taken(next, refused place) func(*world, *actor, sequence, bool) {
	renewed := renewal(next, refused)
	return func(w *world, a *actor, at sequence, done bool) {
		renewed(w, a, at, done)
		if done {
			a.fence = at
		}
	}
}

// saved is the answer to a write of the run record.
func saved(r run, next, refused place) func(*world, *actor, sequence, bool) {
	return func(_ *world, a *actor, at sequence, done bool) {
		a.at = refused
		if done {
			a.took(r, at)
			a.at = next
		}
	}
}

// fetch takes a message that waits.
func (w *world) fetch(id actorID) []move {
	var moves []move
	for task := range w.tasks() {
		if w.queue[task].state != waiting {
			continue
		}
		n := *w
		n.queue[task] = message{state: delivered, to: id}
		n.actors[id].task, n.actors[id].at = task, takeLease
		moves = append(moves, move{by: id, to: n})
	}
	return moves
}

// turn is how a worker finds out that it is the task's turn.
func (w *world) turn(id actorID) []move {
	a := w.actors[id]
	switch a.at {
	case takeLease:
		return w.ask(id, a.putLease(id, a.lease), taken(readTurn, readLease))
	case readLease:
		return w.local(id, func(n *world, a *actor) {
			switch {
			case n.lease.sequence == 0 || n.granted(id, a.task):
				// Nobody's, or an earlier write of ours: go on from what stands.
				a.lease, a.at = n.lease.sequence, takeLease
			case n.lease.task != a.task:
				a.lease, a.fence, a.at = 0, n.lease.sequence, readPassing
			default:
				a.at = passMessage
			}
		})
	case readTurn:
		return w.local(id, func(n *world, a *actor) {
			a.at = readPassing
			if a.role == once || n.isOldest(a.task) {
				a.at = readCancel
			}
		})
	case readCancel:
		return w.local(id, func(n *world, a *actor) { a.refused, a.at = n.cancelled[a.task], begin })
	case readPassing:
		return w.local(id, func(n *world, a *actor) {
			a.at = passLease
			if n.cancelled[a.task] {
				a.refused, a.at = true, passingBy
			}
		})
	case passingBy:
		return w.ask(id, write{op: deleteLease, expected: a.lease}, func(n *world, a *actor, _ sequence, _ bool) {
			a.lease, a.at = 0, begin
			if n.breach.has(claimWithoutFence) {
				a.fence = 0
			}
		})
	case passLease:
		return w.ask(id, write{op: deleteLease, expected: a.lease}, to(passMessage))
	default:
		return w.handBack(id)
	}
}

// granted reports whether the actor has the lease for the task.
func (s *server) granted(id actorID, task uint8) bool {
	return s.lease.sequence != 0 && s.lease.to == id && s.lease.task == task
}

// isOldest reports whether the task's message is the first of its job.
func (s *server) isOldest(task uint8) bool {
	for t := range task {
		if s.queue[t].state != gone {
			return false
		}
	}
	return s.queue[task].state != gone
}

func (a *actor) putLease(id actorID, expected sequence) write {
	return write{op: putLease, expected: expected, lease: lease{task: a.task, to: id}}
}

// handBack uses the message's verb and forgets the task; a run-once has itself
// for a queue.
func (w *world) handBack(id actorID) []move {
	a := w.actors[id]
	if a.role == once {
		return w.local(id, func(_ *world, a *actor) { a.rest() })
	}
	return w.ask(id, write{op: handBack, task: a.task}, func(_ *world, a *actor, _ sequence, _ bool) { a.rest() })
}

// claim is how a worker makes the run its own.
func (w *world) claim(id actorID) []move {
	a := w.actors[id]
	switch a.at {
	case begin:
		return w.local(id, func(n *world, a *actor) {
			n.open(a)
			a.token = n.tick()
			a.run = run{token: a.token, fence: a.fence, claims: 1, since: a.tails}
			a.at = claimFirst
		})
	case claimFirst:
		return w.ask(id, write{op: putRun, task: a.task, run: a.run}, saved(a.run, readEnded, readRun))
	case readRun:
		return w.local(id, func(n *world, a *actor) { n.readClaim(a) })
	case claimNext:
		return w.ask(id, a.putRun(a.claimed()), saved(a.claimed(), readEnded, readRun))
	case readEnded:
		return w.local(id, func(n *world, a *actor) { n.readEnded(a) })
	default:
		return w.ask(id, write{op: deleteRun, task: a.task, expected: a.revision}, to(passAcknowledged))
	}
}

// open finds the ends of the backend's subjects.
func (w *world) open(a *actor) {
	if a.opened {
		return
	}
	a.opened = true
	for s := range subjects {
		a.tails[s] = w.subjects[s].count
	}
}

// readClaim looks at the run that stands where a claim was refused.
func (w *world) readClaim(a *actor) {
	standing := w.runs[a.task]
	switch {
	case standing.revision == 0:
		a.at = begin
	case standing.token == a.token:
		// An earlier write of this claim.
		a.adoptRun(standing)
		a.at = readEnded
	case a.fence > 0 && standing.fence > a.fence:
		a.at = passLease
	default:
		a.adoptRun(standing)
		a.at = claimNext
	}
}

// readEnded goes on with what there is left to do for the task.
func (w *world) readEnded(a *actor) {
	standing := w.terminal[a.task]
	switch {
	case standing != (outcome{}) && a.run.claims == 1:
		a.at = deleteForNothing
	case a.run.outcome != (outcome{}):
		a.outcome, a.at = a.run.outcome, end
	case standing != (outcome{}):
		a.outcome, a.at = standing, end
	case w.breach.has(acknowledgeFirst):
		w.serve(write{op: acknowledge, task: a.task})
	case a.refused && (a.run.claims == 1 || w.breach.has(refuseWithoutStart)):
		a.arrive(recordOutcome)
	default:
		a.at = start
	}
}
