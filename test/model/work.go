package model

// work is what a worker does between its claim and the outcome.
func (w *world) work(id actorID) []move {
	a := w.actors[id]
	switch a.at {
	case start:
		if a.run.announced {
			return w.local(id, func(_ *world, a *actor) { a.arrive(afterStart(*a)) })
		}
		return w.publish(id, event{progress, a.run.since}, afterStart(a), readStarted)
	case readStarted:
		return w.readOn(id, progress, start, afterStart(a))
	case act:
		return w.local(id, func(n *world, a *actor) { n.act(id, a) })
	case decide:
		return w.decide(id)
	case recordHandBack:
		next := a.run
		next.handed++
		next.announced = true
		return w.ask(id, a.putRun(next), saved(next, passLease, readHandBack))
	case readHandBack:
		return w.adoptRun(id, recordHandBack)
	default:
		return w.hold(id)
	}
}

// afterStart is where a worker goes once IN_PROGRESS is out.
func afterStart(a actor) place {
	if a.refused {
		return recordOutcome
	}
	return guard
}

// event is what is to stand once on a subject, that was read up to since before.
type event struct {
	on    subject
	since [subjects]uint8
}

// publish makes sure that a legacy event stands once: it is there, or it is
// appended to what was read without it.
func (w *world) publish(id actorID, e event, next, refused place) []move {
	a, s := w.actors[id], e.on
	if w.subjects[s].has(a.task, e.since[s], a.tails[s]) {
		return w.local(id, func(_ *world, a *actor) { a.arrive(next) })
	}
	q := write{op: appendEvent, task: a.task, subject: s, tail: a.tails[s], outcome: a.outcome}
	return w.ask(id, q, func(n *world, a *actor, _ sequence, done bool) {
		if !done {
			a.at = refused
			return
		}
		a.tails[s] = n.subjects[s].count
		a.arrive(next)
	})
}

// arrive goes to the next place, with the outcome of a refused task in hand.
func (a *actor) arrive(next place) {
	a.at = next
	if next == recordOutcome {
		a.outcome = outcome{by: a.run.claims, since: a.run.since}
	}
}

// readOn reads a subject from the tail to its end.
func (w *world) readOn(id actorID, s subject, again, next place) []move {
	return w.local(id, func(n *world, a *actor) {
		found := n.subjects[s].has(a.task, a.tails[s], n.subjects[s].count)
		a.tails[s] = n.subjects[s].count
		a.at = again
		if found {
			a.arrive(next)
		}
	})
}

// hold is how a worker makes sure, before a side effect, that the task is its own.
func (w *world) hold(id actorID) []move {
	a := w.actors[id]
	switch a.at {
	case guard:
		if a.unseen && !w.breach.has(renewUnseen) {
			return w.local(id, func(_ *world, a *actor) { a.at = holds })
		}
		next := act
		if a.retaking {
			next = confirm
		}
		return w.ask(id, a.putLease(id, a.lease), renewal(next, readGuard))
	case readGuard:
		return w.local(id, func(n *world, a *actor) {
			if n.lease.sequence != 0 && !n.granted(id, a.task) {
				a.lose(id, n)
				return
			}
			if n.lease.sequence != 0 && n.breach.has(trustOwnGrant) {
				a.lease, a.at = n.lease.sequence, guard
				return
			}
			// Gone, or a write of ours that we know nothing of: others may have had it
			// in between.
			a.lease, a.retaking, a.unseen, a.at = n.lease.sequence, true, true, holds
		})
	case holds:
		return w.local(id, func(n *world, a *actor) { n.ifMine(id, a, retake) })
	case retake:
		return w.ask(id, a.putLease(id, a.lease), taken(readTurnAgain, readGuard))
	case readTurnAgain:
		return w.readTurnAgain(id)
	case confirm:
		return w.confirm(id)
	case readConfirmed:
		return w.local(id, func(n *world, a *actor) {
			a.at = releaseLost
			if n.isMine(a) {
				a.adoptRun(n.runs[a.task])
				a.at = confirm
			}
		})
	default:
		return w.ask(id, write{op: deleteLease, expected: a.lease}, func(n *world, a *actor, _ sequence, _ bool) { a.lose(id, n) })
	}
}

// readTurnAgain looks whether the message is still there: then no later task of the
// job has had its turn. Where there is no answer all of it begins anew.
func (w *world) readTurnAgain(id actorID) []move {
	moves := w.local(id, func(n *world, a *actor) {
		a.at = releaseLost
		if a.role == once || n.queue[a.task].state != gone || n.breach.has(retakeOutOfTurn) {
			a.unseen, a.at = false, confirm
		}
	})
	if w.left.strays > 0 {
		n := *w
		n.left.strays--
		n.actors[id].at = guard
		moves = append(moves, move{by: id, what: ", and hears nothing", to: n})
	}
	return moves
}

// confirm writes the new lease into the run: who had the lease before us and has
// not claimed yet is refused from now on.
func (w *world) confirm(id actorID) []move {
	a := w.actors[id]
	if w.breach.has(retakeWithoutConfirming) {
		return w.local(id, func(_ *world, a *actor) { a.retaking, a.at = false, act })
	}
	next := a.run
	if !w.breach.has(confirmWithoutFence) {
		next.fence = a.fence
	}
	return w.ask(id, a.putRun(next), func(_ *world, a *actor, at sequence, done bool) {
		a.at = readConfirmed
		if done {
			a.took(next, at)
			a.retaking, a.at = false, act
		}
	})
}

// ifMine goes on where nobody has claimed the run since.
func (w *world) ifMine(id actorID, a *actor, next place) {
	if !w.isMine(a) {
		a.lose(id, w)
		return
	}
	a.at = next
}

// isMine reports whether the run that stands is the actor's claim: as it knows it,
// or a later write of it without an answer. An earlier one can only stand again
// where the record was deleted, and a write that was given up made it anew.
func (w *world) isMine(a *actor) bool {
	standing := w.runs[a.task]
	if standing.token != a.token {
		return false
	}
	return standing.revision == a.revision || standing.writes > a.run.writes || w.breach.has(trustEarlierWrite)
}

// took notes what the server has now of the run.
func (a *actor) took(r run, at sequence) {
	a.run, a.revision = r, at
	a.run.revision = at
	a.run.writes++
}

// adoptRun goes on from what stands.
func (a *actor) adoptRun(standing run) { a.run, a.revision = standing, standing.revision }

// lose stops without a word: no event, no verb of the message.
func (a *actor) lose(id actorID, w *world) {
	if w.breach.has(verbAfterLoss) {
		w.serve(write{op: acknowledge, by: id, task: a.task})
	}
	a.finish()
}

// act makes the side effect, where the lease is ours by our own clock.
func (w *world) act(id actorID, a *actor) {
	if w.lease.sequence != a.lease && !w.breach.has(leaseForEverybody) {
		a.at = guard
		return
	}
	switch {
	case w.terminal[a.task] != (outcome{}):
		w.broken = "a side effect after the end"
	case w.runs[a.task].token != a.token:
		w.broken = "a side effect of an attempt that another has followed"
	}
	for t := range w.tasks() {
		if t > a.task && w.effects[t] || t < a.task && w.queue[t].state != gone {
			w.broken = "out of order"
		}
	}
	w.effects[a.task] = true
	a.at = decide
}

// decide ends the attempt: with an outcome, or for another attempt.
func (w *world) decide(id actorID) []move {
	moves := w.local(id, func(_ *world, a *actor) { a.arrive(recordOutcome) })
	if w.left.handBacks > 0 {
		moves = append(moves, w.local(id, func(n *world, a *actor) {
			n.left.handBacks--
			a.at = recordHandBack
		})...)
	}
	return moves
}

// claimed is the run as the actor's claim would write it.
func (a *actor) claimed() run {
	next := a.run
	next.token, next.fence = a.token, max(a.run.fence, a.fence)
	next.claims++
	return next
}

func (a *actor) putRun(next run) write {
	return write{op: putRun, task: a.task, expected: a.revision, run: next}
}

// adoptRun looks at the run that stands where a write of it was refused.
func (w *world) adoptRun(id actorID, again place) []move {
	return w.local(id, func(n *world, a *actor) {
		n.ifMine(id, a, again)
		if a.at == again {
			a.adoptRun(n.runs[a.task])
		}
	})
}
