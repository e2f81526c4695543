package model

// tasksAtMost is how many tasks of the one job a world has.
const tasksAtMost = 2

// server is what JetStream keeps: the queue, the buckets, the streams.
type server struct {
	queue     [tasksAtMost]message
	lease     lease
	runs      [tasksAtMost]run
	terminal  [tasksAtMost]outcome
	cancelled [tasksAtMost]bool
	// accepted are the tasks for which there was a run.
	accepted [tasksAtMost]bool
	subjects [subjects]log
	// present is the sign of life of the run-once.
	present bool
	// clock is the last sequence given.
	clock sequence
}

// sequence numbers writes and claims. Only which is newer matters.
type sequence uint8

// actorID names who waits for an answer; nobody is whoever died.
type actorID int8

const nobody actorID = -1

// message is a task's message in the work queue.
type message struct {
	state delivery
	to    actorID
}

type delivery uint8

const (
	gone delivery = iota
	waiting
	delivered
)

// lease is the grant of the one job.
type lease struct {
	sequence sequence
	task     uint8
	to       actorID
}

// run is a run record.
type run struct {
	revision sequence
	// token is the newest claim's own.
	token  sequence
	fence  sequence
	claims uint8
	// writes counts what was written, so that a claim knows its own last write.
	writes    uint8
	handed    uint8
	announced bool
	since     [subjects]uint8
	outcome   outcome
}

// outcome is how a task ended: which claim says so, whether that was the will of a
// run that had nobody, and how far the subjects had been read when the run began.
type outcome struct {
	by    uint8
	will  bool
	since [subjects]uint8
}

// subject is one of the backend's.
type subject uint8

const (
	progress subject = iota
	ended
	subjects
)

// log is the backend's stream, as far as one subject goes. Nobody forgets.
type log struct {
	entries [tasksAtMost]entry
	count   uint8
}

// entry is a legacy event: its key is the subject and the task.
type entry struct {
	task    uint8
	outcome outcome
}

// has reports whether the task's event is among the entries from..to.
func (l log) has(task, from, to uint8) bool {
	for i := from; i < min(to, l.count); i++ {
		if l.entries[i].task == task {
			return true
		}
	}
	return false
}

// op is what a write asks for.
type op uint8

const (
	nothing op = iota
	putLease
	deleteLease
	putRun
	deleteRun
	putTerminal
	appendEvent
	acknowledge
	handBack
)

// write is one request that changes something.
type write struct {
	op       op
	by       actorID
	task     uint8
	expected sequence
	lease    lease
	run      run
	outcome  outcome
	subject  subject
	// tail is how many entries of the subject its sender has read.
	tail uint8
}

// serve does what a write asks for, where its condition holds.
func (w *world) serve(q write) (sequence, bool) {
	s := &w.server
	switch q.op {
	case putLease:
		if s.lease.sequence != q.expected && !w.breach.has(leaseForEverybody) {
			return 0, false
		}
		s.lease = q.lease
		s.lease.sequence = s.tick()
		return s.clock, true
	case deleteLease:
		if q.expected != 0 && s.lease.sequence == q.expected {
			s.lease = lease{}
		}
	case putRun:
		if s.runs[q.task].revision != q.expected && !w.breach.has(claimForEverybody) {
			return 0, false
		}
		s.accepted[q.task] = true
		s.runs[q.task] = q.run
		s.runs[q.task].revision = s.tick()
		s.runs[q.task].writes++
		return s.clock, true
	case deleteRun:
		if s.runs[q.task].revision == q.expected {
			s.runs[q.task] = run{}
		}
	case putTerminal:
		if s.terminal[q.task] != (outcome{}) {
			return 0, false
		}
		if q.outcome.will && !w.disturbed {
			w.broken = "contradicted: a worker was declared lost, and none died or stalled"
		}
		s.terminal[q.task] = q.outcome
	case appendEvent:
		if s.subjects[q.subject].count != q.tail && !w.breach.has(laneWithoutFence) {
			return 0, false
		}
		w.append(q)
	case nothing:
	case acknowledge:
		if s.terminal[q.task] == (outcome{}) {
			w.broken = "lost: the message goes before its task has ended"
		}
		s.queue[q.task] = message{}
	case handBack:
		// A verb for an earlier delivery counts for the later one.
		if s.queue[q.task].state == delivered {
			s.queue[q.task] = message{state: waiting}
		}
	}
	return 0, true
}

func (s *server) tick() sequence {
	s.clock++
	return s.clock
}

// append stores a legacy event, and looks whether it may be there.
func (w *world) append(q write) {
	l := &w.subjects[q.subject]
	switch {
	case l.has(q.task, 0, l.count):
		w.broken = "twice"
		return
	case q.subject == progress && w.subjects[ended].has(q.task, 0, tasksAtMost):
		w.broken = "contradicted: IN_PROGRESS after the outcome"
	case q.subject == ended && w.terminal[q.task] != q.outcome:
		w.broken = "contradicted: the event and the terminal record differ"
	}
	l.entries[l.count] = entry{task: q.task, outcome: q.outcome}
	l.count++
}
