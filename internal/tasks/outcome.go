package tasks

// Result is what a handler has reached, also where it failed half-way.
type Result struct {
	// Commit and Image are of deployments; Image is what the job runs.
	Commit string
	Image  Image
	// Registered is true once Nomad has accepted the job.
	Registered bool
	Deployed   Deployed
	// Plan is set where nothing but a plan was asked for.
	Plan *JobPlan
	// Warnings are plain sentences for the log and the Dispatch-Warning header.
	Warnings []string
	// Destroyed are the jobs that are really gone, in the order of the task.
	Destroyed []DestroyJob
	// Undestroyed are those that are not, with the reason why.
	Undestroyed []Undestroyed
}

// Undestroyed is a job that a destroy could not remove.
type Undestroyed struct {
	Job     DestroyJob
	Failure *Failure
}

// Outcome is how a task ended: success where Failure is nil.
type Outcome struct {
	Failure *Failure
	Result  Result
}

// Succeeded reports whether the task reached its goal.
func (o Outcome) Succeeded() bool { return o.Failure == nil }
