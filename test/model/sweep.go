package model

// sweep ends runs that nobody has and no message will bring back.
func (w *world) sweep(id actorID) []move {
	a := w.actors[id]
	switch a.at {
	case look:
		return w.look(id)
	case adopt:
		return w.ask(id, a.putLease(id, a.lease), taken(lookAgain, readAdopted))
	case readAdopted:
		return w.local(id, func(n *world, a *actor) { n.readAdopted(id, a) })
	case lookAgain:
		return w.local(id, func(n *world, a *actor) {
			a.at = giveUp
			if n.isOrphan(a.task, a.seen) {
				a.adoptRun(n.runs[a.task])
				a.token, a.at = n.tick(), renewBefore
			}
		})
	case renewBefore:
		return w.renewAdopted(id, sweepClaim)
	case sweepClaim:
		return w.ask(id, a.putRun(a.claimed()), saved(a.claimed(), renewAfter, readSwept))
	case readSwept:
		return w.local(id, func(n *world, a *actor) {
			standing := n.runs[a.task]
			a.at = giveUp
			switch {
			case standing.token == a.token:
				a.adoptRun(standing)
				a.at = renewAfter
			case n.breach.has(sweepWhatWasWritten) && standing.revision != 0:
				a.adoptRun(standing)
				a.at = sweepClaim
			}
		})
	case renewAfter:
		return w.renewAdopted(id, recordOutcome)
	default:
		if a.lease == 0 {
			return w.local(id, func(_ *world, a *actor) { a.rest() })
		}
		return w.ask(id, write{op: deleteLease, expected: a.lease}, func(_ *world, a *actor, _ sequence, _ bool) { a.rest() })
	}
}

// look finds an orphan.
func (w *world) look(id actorID) []move {
	var moves []move
	for task := range w.tasks() {
		revision := w.runs[task].revision
		if revision == 0 || !w.isOrphan(task, revision) || w.isLeased(task) {
			continue
		}
		moves = append(moves, w.local(id, func(n *world, a *actor) {
			a.task, a.seen, a.at = task, revision, adopt
		})...)
	}
	return moves
}

// isOrphan reports whether nobody has the run and nobody has written it since.
func (w *world) isOrphan(task uint8, seen sequence) bool {
	return w.runs[task].revision == seen && w.queue[task].state == gone && !(w.present && task == 0)
}

// isLeased reports whether somebody holds the job for the task.
func (w *world) isLeased(task uint8) bool { return w.lease.sequence != 0 && w.lease.task == task }

// readAdopted looks who has the lease: another task may keep it.
func (w *world) readAdopted(id actorID, a *actor) {
	switch {
	case w.lease.sequence == 0 || w.granted(id, a.task):
		a.lease, a.at = w.lease.sequence, adopt
	case w.lease.task != a.task:
		a.lease, a.fence, a.at = 0, 0, lookAgain
	default:
		a.rest()
	}
}

// renewAdopted makes sure that the run's worker has not got the lease since.
func (w *world) renewAdopted(id actorID, next place) []move {
	a := w.actors[id]
	arrive := func(a *actor) {
		a.at = next
		if next == recordOutcome {
			a.outcome = a.run.outcome
			if a.outcome == (outcome{}) {
				a.outcome = outcome{by: a.run.claims, will: true, since: a.run.since}
			}
		}
	}
	if a.lease == 0 {
		return w.local(id, func(n *world, a *actor) {
			a.at = giveUp
			if !n.isLeased(a.task) {
				arrive(a)
			}
		})
	}
	return w.ask(id, a.putLease(id, a.lease), func(_ *world, a *actor, at sequence, done bool) {
		a.at = giveUp
		if done {
			a.lease = at
			arrive(a)
		}
	})
}
