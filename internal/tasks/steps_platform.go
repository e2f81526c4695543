package tasks

import (
	"context"
	"slices"
	"sync"
)

// follower is a run's reporter that tells the platform too: which step has
// begun, and that the one before it went well.
type follower struct {
	Reporter
	session PlatformSession

	mu      sync.Mutex
	current PlatformStep
}

// follow puts a follower in the run's reporter where there is a platform to
// tell. A nil follower tells nobody.
func (h *Handler) follow(ctx context.Context, r *run) *follower {
	d := r.task.Deploy
	if d == nil || h.parts.Platform == nil {
		return nil
	}
	source := "image"
	if r.task.Kind.FromRepository() {
		source = "git_repo"
	}
	session := h.parts.Platform.Open(ctx, PlatformTask{
		URL: d.BackendURL, Token: d.AccessToken, DeploymentID: d.DeploymentID, ServiceID: d.ServiceID,
		DeploymentType: source, Redactor: r.at.Redactor,
	})
	if session == nil {
		return nil
	}
	f := &follower{Reporter: r.rep, session: session}
	r.rep, r.platform = f, session
	return f
}

// Stage is Reporter's. The step of a stage is its log phase; the first phase is
// none of the platform's.
func (f *follower) Stage(s Stage) {
	step := PlatformStep("")
	if phase := s.Phase(); phase != PhaseInit {
		step = PlatformStep(phase)
	}
	f.enter(step)
	f.Reporter.Stage(s)
}

func (f *follower) enter(step PlatformStep) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if step == f.current {
		return
	}
	f.say(PlatformCompleted, "")
	f.current = step
	f.say(PlatformInProgress, "")
}

// say tells how the current step stands; the caller holds the lock.
func (f *follower) say(status PlatformStatus, message string) {
	if f.current != "" {
		f.session.Step(f.current, status, message)
	}
}

// end tells how the attempt ended, where that is the end of the deployment: a
// task that will be tried again has not failed yet.
func (f *follower) end(err error, last bool) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.say(PlatformCompleted, "")
		f.session.Succeeded()
		return
	}
	failure := AsFailure(err)
	if comesBack(failure.Row().Class, last) {
		return
	}
	if f.current == "" {
		// What could not be configured is the deployment.
		f.current = PlatformDeploy
	}
	f.say(PlatformFailed, failure.Message)
}

// comesBack reports whether somebody will try the task again.
func comesBack(class Class, last bool) bool {
	return class == ClassShutdown || class == ClassLeaseLost || class == ClassTransient && !last
}

func (f *follower) close() {
	if f != nil {
		f.session.Close()
	}
}

// askDomains asks the platform for a domain for each public port without one.
// A deployment goes on without: the app runs, and a later deployment asks again.
func (h *Handler) askDomains(ctx context.Context, r *run) {
	d := r.task.Deploy
	if r.platform == nil || d.Deployer == DeployerNoop {
		return
	}
	networks := slices.Clone(d.Networks)
	for i, n := range networks {
		if !n.Public || n.Domain != "" || n.PortNumber == 0 {
			continue
		}
		domain, err := r.platform.Domain(ctx)
		if err != nil {
			r.warn("port %d has no domain, because the platform gave none: %s", n.PortNumber, err)
			break
		}
		networks[i].Domain = domain
		r.say("port %d has the domain %s", n.PortNumber, domain)
	}
	// The task is the caller's; what was learnt is the run's alone.
	own := *d
	own.Networks = networks
	r.task.Deploy = &own
}
