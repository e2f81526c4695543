package tasks

import "context"

// PlatformStep is what the platform's API calls a part of a deployment.
type PlatformStep string

// The steps that the platform's API knows.
const (
	PlatformClone    PlatformStep = "clone"
	PlatformBuild    PlatformStep = "build"
	PlatformRegistry PlatformStep = "registry"
	PlatformDeploy   PlatformStep = "deploy"
	PlatformRelease  PlatformStep = "release"
)

// PlatformStatus is how a step stands.
type PlatformStatus string

// The statuses that the platform's API knows.
const (
	PlatformInProgress PlatformStatus = "in_progress"
	PlatformCompleted  PlatformStatus = "completed"
	PlatformFailed     PlatformStatus = "failed"
)

// PlatformTask is the deployment that a platform is told of, and where.
type PlatformTask struct {
	// URL and Token are the task's; an empty URL takes the environment's.
	URL   string
	Token Secret

	DeploymentID string
	ServiceID    string
	// DeploymentType is "git_repo" or "image".
	DeploymentType string
	// Redactor hides secrets in the texts of failures; nil where nothing does.
	Redactor Redactor
}

// Platform is the HTTP API of the platform that sent a task. It is told; nothing
// that it does or leaves undone fails a deployment. It is safe for concurrent use.
type Platform interface {
	// Open begins an attempt. It asks nobody, and returns nil where neither the
	// task nor the environment names an API. The session outlives ctx: Close ends it.
	Open(ctx context.Context, about PlatformTask) PlatformSession
}

// PlatformSession is one attempt at one deployment. Its methods are safe for
// concurrent use; all of them together hold a deployment up for no more than a
// few seconds.
type PlatformSession interface {
	// Domain asks for a domain of the service. Its error is fit for the build log.
	Domain(ctx context.Context) (string, error)
	// Step says how a step stands; message is why it failed. It never blocks.
	Step(step PlatformStep, status PlatformStatus, message string)
	// Succeeded says that the deployment has succeeded. It never blocks.
	Succeeded()
	// Close waits a moment for what was said and is not out, and gives up the rest.
	Close()
}
