package model

import "fmt"

// move is one thing that may happen next: what an actor does, or what befalls it
// or the world.
type move struct {
	by   actorID
	what string
	to   world
}

// tell names a move from the world.
func (w *world) tell(m move) string {
	if m.by == nobody {
		return m.what
	}
	a := w.actors[m.by]
	task := a.task
	if a.at == fetch || a.at == look {
		task = m.to.actors[m.by].task
	}
	return fmt.Sprintf("%s %d %s (task %d)%s", a.role, m.by, a.at, task, m.what)
}

// befall lists what may happen to the world without anybody's doing.
func (w *world) befall() []move {
	var moves []move
	add := func(what string, change func(*world)) {
		next := *w
		change(&next)
		moves = append(moves, move{by: nobody, what: what, to: next})
	}
	if w.astray.op != nothing {
		add("a write that was given up is served", func(n *world) {
			n.serve(n.astray)
			n.astray = write{}
		})
	}
	if holder := w.lease.to; w.lease.sequence != 0 && w.mayEnd(holder, holder != nobody && w.actors[holder].lease == w.lease.sequence) {
		add("the lease ends", func(n *world) { n.lease = lease{} })
	}
	if w.present && w.mayEnd(0, w.has(0, 0)) {
		add("the sign of life ends", func(n *world) { n.present = false })
	}
	if w.actors[0].role == once && !w.present && w.has(0, 0) && !w.actors[0].asleep {
		add("the run-once gives a sign of life", func(n *world) { n.present = true })
	}
	for task := range w.tasks() {
		moves = append(moves, w.befallTask(task)...)
	}
	for id := range w.actors {
		moves = append(moves, w.befallActor(actorID(id))...)
	}
	return moves
}

// befallActor lists what may happen to one actor.
func (w *world) befallActor(id actorID) []move {
	var moves []move
	a := w.actors[id]
	if a.role == absent || a.at == over {
		return nil
	}
	if w.left.deaths > 0 {
		n := *w
		n.left.deaths--
		n.kill(id)
		moves = append(moves, move{by: id, what: " (and dies before it)", to: n})
	}
	if w.left.stalls > 0 && !a.asleep && a.at != first(a.role) {
		n := *w
		n.left.stalls--
		n.disturbed, n.actors[id].asleep = true, true
		moves = append(moves, move{by: id, what: " (and stalls before it)", to: n})
	}
	return moves
}

// befallTask lists what may happen to one task's message.
func (w *world) befallTask(task uint8) []move {
	var moves []move
	add := func(what string, change func(*world)) {
		next := *w
		change(&next)
		moves = append(moves, move{by: nobody, what: what, to: next})
	}
	m := w.queue[task]
	if m.state == delivered && w.mayEnd(m.to, w.has(m.to, task)) {
		add("the delivery ends", func(n *world) { n.queue[task] = message{state: waiting} })
	}
	if m.state != gone && w.left.purges > 0 && w.runs[task] != (run{}) {
		add("somebody deletes the message", func(n *world) {
			n.left.purges--
			n.disturbed = true
			n.queue[task] = message{}
		})
	}
	if w.left.cancels > 0 && !w.cancelled[task] && w.terminal[task] == (outcome{}) {
		add("somebody cancels the task", func(n *world) {
			n.left.cancels--
			n.cancelled[task] = true
		})
	}
	return moves
}

// mayEnd reports whether what lasts for a time may end now: nobody prolongs it, or
// who should does not.
func (w *world) mayEnd(id actorID, inUse bool) bool { return !inUse || w.actors[id].asleep }

// kill ends an actor. What it had stays until its time is over.
func (w *world) kill(id actorID) {
	w.actors[id].die()
	w.disturbed = true
	forget := func(to *actorID) {
		if *to == id {
			*to = nobody
		}
	}
	forget(&w.lease.to)
	forget(&w.astray.by)
	forget(&w.astray.lease.to)
	for task := range w.queue {
		forget(&w.queue[task].to)
	}
}
