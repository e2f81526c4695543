package model

// place is what an actor does next: one request, or one decision of its own. The
// comments name the code that does the same; step tells the groups apart by their
// order.
type place uint8

const (
	// over is a run-once that has ended or died.
	over place = iota
	fetch

	// worker.acquire, queue.Turn.
	takeLease
	readLease
	readTurn
	readCancel
	readPassing
	passingBy
	passLease
	passMessage

	// worker.claim, queue.Runs.
	begin
	claimFirst
	readRun
	claimNext
	readEnded
	deleteForNothing

	// worker.execute, worker.hold.
	start
	readStarted
	guard
	readGuard
	holds
	retake
	readTurnAgain
	confirm
	readConfirmed
	releaseLost
	act
	decide
	recordHandBack
	readHandBack

	// worker.finish, worker.complete, worker.Sweeper.
	recordOutcome
	readOutcome
	end
	readEnd
	willStart
	readWillStart
	announce
	readAnnounced
	acknowledgeMessage
	forget
	release
	passAcknowledged

	// worker.Sweeper, queue.Orphanage.
	look
	adopt
	readAdopted
	lookAgain
	renewBefore
	sweepClaim
	readSwept
	renewAfter
	giveUp
)

var placeNames = [...]string{
	over:               "has ended",
	fetch:              "fetches a message",
	takeLease:          "takes the lease",
	readLease:          "reads who has the lease",
	readTurn:           "reads the job's first message",
	readCancel:         "reads whether the task is cancelled",
	readPassing:        "reads whether the task, whose turn it is not, is cancelled",
	passingBy:          "gives the lease back, and ends the cancelled task",
	passLease:          "gives the lease back",
	passMessage:        "hands the message back",
	begin:              "reads the ends of the subjects",
	claimFirst:         "makes the run",
	readRun:            "reads the run",
	claimNext:          "claims the run",
	readEnded:          "reads the terminal record",
	deleteForNothing:   "deletes the run that was made for nothing",
	start:              "says IN_PROGRESS",
	readStarted:        "reads on where IN_PROGRESS was refused",
	guard:              "renews the lease",
	readGuard:          "reads who has the lease, after a refusal",
	holds:              "reads whether the claim holds",
	retake:             "takes the lease again",
	readTurnAgain:      "reads the job's first message again",
	confirm:            "writes the new lease into the run",
	readConfirmed:      "reads the run, after a refusal of that",
	releaseLost:        "gives the lease back, as the task is lost",
	act:                "makes a side effect",
	decide:             "ends the attempt",
	recordHandBack:     "notes in the run that it is handed back",
	readHandBack:       "reads the run, after a refusal of that",
	recordOutcome:      "records the outcome",
	readOutcome:        "reads the run, after a refusal of that",
	end:                "writes the terminal record",
	readEnd:            "reads the one that stands",
	willStart:          "says IN_PROGRESS, as the will wants",
	readWillStart:      "reads on where that was refused",
	announce:           "says the outcome",
	readAnnounced:      "reads on where the outcome was refused",
	acknowledgeMessage: "acknowledges the message",
	forget:             "deletes the run",
	release:            "gives the lease up",
	passAcknowledged:   "gives up a task that had ended",
	look:               "sees an orphan",
	adopt:              "takes its lease",
	readAdopted:        "reads who has its lease",
	lookAgain:          "sees it again",
	renewBefore:        "renews its lease before the claim",
	sweepClaim:         "claims it",
	readSwept:          "reads it, after a refusal of that",
	renewAfter:         "renews its lease after the claim",
	giveUp:             "leaves it alone",
}

func (p place) String() string { return placeNames[p] }

var roleNames = [...]string{absent: "nobody", worker: "worker", once: "run-once", sweeper: "sweeper"}

func (r role) String() string { return roleNames[r] }
