package model

// breach is a rule of the protocol that is left out, to see what it is for.
type breach uint16

const (
	// leaseForEverybody: the lease is granted and renewed whoever has it.
	leaseForEverybody breach = 1 << iota
	// claimForEverybody: the run record is written whatever stands.
	claimForEverybody
	// laneWithoutFence: a legacy event is appended whatever was not read.
	laneWithoutFence
	// acknowledgeFirst: the message goes before the task has ended.
	acknowledgeFirst
	// verbAfterLoss: who has lost a task acknowledges its message.
	verbAfterLoss
	// refuseWithoutStart: a task that is refused ends without IN_PROGRESS, also
	// where somebody has claimed it before.
	refuseWithoutStart
	// retakeWithoutConfirming: who takes its lease again does not ask for its claim
	// once more.
	retakeWithoutConfirming
	// confirmWithoutFence: it asks, and does not write the new lease into the run.
	confirmWithoutFence
	// renewUnseen: who has taken its lease again, and could not look for its message,
	// renews the lease like any other.
	renewUnseen
	// claimWithoutFence: who ends a cancelled task although it is not its turn claims
	// it whoever has the lease since.
	claimWithoutFence
	// sweepWhatWasWritten: the sweeper claims a run that was written since it looked.
	sweepWhatWasWritten
	// trustOwnGrant: who finds a grant of its own that it knows nothing of goes on.
	trustOwnGrant
	// trustEarlierWrite: a run that stands as it did before it was deleted counts.
	trustEarlierWrite
	// retakeOutOfTurn: who takes its lease again does not look for its message.
	retakeOutOfTurn
)

func (b breach) has(rule breach) bool { return b&rule != 0 }
