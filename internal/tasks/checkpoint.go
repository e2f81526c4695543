package tasks

import "context"

// Checkpoint is what a task has reached so far and need not do again. Its zero
// value is a task at its beginning. It is kept as JSON between attempts.
type Checkpoint struct {
	// Builder is the one that was chosen for the source.
	Builder string `json:"builder,omitempty"`
	Commit  string `json:"commit,omitempty"`
	// Image is set once it is known by its digest: it is not built again.
	Image *Image `json:"image,omitempty"`
	// Registration is set once Nomad has the job: it is only watched.
	Registration *Registration `json:"registration,omitempty"`
}

// reached is what the run has done that need not be done again.
func (r *run) reached() Checkpoint {
	c := Checkpoint{Builder: r.plan.Builder, Commit: r.result.Commit}
	if r.image.Digest != "" {
		image := r.image
		c.Image = &image
	}
	if r.result.Registered {
		registration := r.registration
		c.Registration = &registration
	}
	return c
}

// keeps reports whether a stage reaches something that the next attempt goes on from.
func (s Stage) keeps() bool {
	return s == StageBuild || s == StageResolve || s == StageRegister
}

// keep records the checkpoint after a stage that has reached something.
func (r *run) keep(ctx context.Context, s Stage) error {
	if r.at.Keep == nil || !s.keeps() {
		return nil
	}
	return r.at.Keep(ctx, r.reached())
}

// takeUp puts what an earlier attempt has reached into the run.
func (r *run) takeUp() {
	from := r.at.From
	r.result.Commit = from.Commit
	if from.Image != nil {
		r.image, r.result.Image = *from.Image, *from.Image
		r.say("going on with %s, which an earlier attempt has made", r.image.Reference())
	}
	if from.Registration != nil {
		r.registration, r.result.Registered = *from.Registration, true
		r.say("going on with job %s version %d, which an earlier attempt has registered",
			from.Registration.JobID, from.Registration.JobVersion)
	}
}

// hasImage reports whether an earlier attempt has reached the image.
func (r *run) hasImage() bool { return r.at.From.Image != nil }

// hasJob reports whether an earlier attempt has registered the job.
func (r *run) hasJob() bool { return r.at.From.Registration != nil }
