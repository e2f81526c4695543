package model

// settle says what there is to say once the outcome is known.
func (w *world) settle(id actorID) []move {
	a := w.actors[id]
	switch a.at {
	case recordOutcome:
		next := a.run
		next.outcome = a.outcome
		return w.ask(id, a.putRun(next), saved(next, end, readOutcome))
	case readOutcome:
		return w.adoptRun(id, recordOutcome)
	case end:
		return w.ask(id, write{op: putTerminal, task: a.task, outcome: a.outcome}, orElse(afterEnd(a.outcome), readEnd))
	case readEnd:
		return w.local(id, func(n *world, a *actor) {
			a.outcome = n.terminal[a.task]
			a.at = afterEnd(a.outcome)
		})
	case willStart:
		return w.publish(id, event{progress, a.outcome.since}, announce, readWillStart)
	case readWillStart:
		return w.readOn(id, progress, willStart, announce)
	case announce:
		return w.publish(id, event{ended, a.outcome.since}, acknowledgeMessage, readAnnounced)
	case readAnnounced:
		return w.readOn(id, ended, announce, acknowledgeMessage)
	case acknowledgeMessage:
		if a.role != worker {
			return w.local(id, func(_ *world, a *actor) { a.at = forget })
		}
		return w.ask(id, write{op: acknowledge, task: a.task}, to(forget))
	case forget:
		return w.ask(id, write{op: deleteRun, task: a.task, expected: a.revision}, to(release))
	case release:
		return w.ask(id, write{op: deleteLease, expected: a.lease}, func(_ *world, a *actor, _ sequence, _ bool) { a.finish() })
	default:
		return w.passAcknowledged(id)
	}
}

// afterEnd says IN_PROGRESS first where the end is a will: nobody knows whether
// it was said.
func afterEnd(o outcome) place {
	if o.will {
		return willStart
	}
	return announce
}

// finish is the end of the task for this actor.
func (a *actor) finish() {
	a.rest()
	if a.role == once {
		a.at = over
	}
}

// passAcknowledged is for a task that had ended: its message goes, and the lease.
func (w *world) passAcknowledged(id actorID) []move {
	a := w.actors[id]
	if a.lease != 0 {
		return w.ask(id, write{op: deleteLease, expected: a.lease}, func(_ *world, a *actor, _ sequence, _ bool) { a.lease = 0 })
	}
	if a.role != worker {
		return w.local(id, func(_ *world, a *actor) { a.finish() })
	}
	return w.ask(id, write{op: acknowledge, task: a.task}, func(_ *world, a *actor, _ sequence, _ bool) { a.finish() })
}
