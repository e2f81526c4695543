package tasks

import (
	"errors"
	"strings"
)

// Reason says in one public snake_case word why a task failed. Reasons are a
// contract: adding one is free, renaming one breaks its readers.
type Reason string

// Fault says whose failure it is: the SLO of a platform counts only its own.
type Fault string

// The three faults.
const (
	FaultUser     Fault = "user"
	FaultPlatform Fault = "platform"
	FaultNone     Fault = "none"
)

// Class says what the worker does about a failure; it is the value of the
// Dispatch-Error-Class header.
type Class string

// The classes of failure.
const (
	ClassPermanent  Class = "permanent"
	ClassTransient  Class = "transient"
	ClassTimeout    Class = "timeout"
	ClassCancelled  Class = "cancelled"
	ClassSuperseded Class = "superseded"
	ClassShutdown   Class = "shutdown"
	ClassLeaseLost  Class = "lease_lost"
)

// The reasons of the failure table.
const (
	ReasonInvalidTask       Reason = "invalid_task"
	ReasonSubjectMismatch   Reason = "subject_mismatch"
	ReasonTaskTooLarge      Reason = "task_too_large"
	ReasonUnsupported       Reason = "unsupported"
	ReasonGitAuth           Reason = "git_auth"
	ReasonGitNotFound       Reason = "git_not_found"
	ReasonGitRefNotFound    Reason = "git_ref_not_found"
	ReasonGitRejected       Reason = "git_rejected"
	ReasonGitRateLimited    Reason = "git_rate_limited"
	ReasonGitUnavailable    Reason = "git_unavailable"
	ReasonSourceTooLarge    Reason = "source_too_large"
	ReasonSourceInvalid     Reason = "source_invalid"
	ReasonSourceRejected    Reason = "source_rejected"
	ReasonSourceNotFound    Reason = "source_not_found"
	ReasonSourceDown        Reason = "source_unavailable"
	ReasonSecretsDenied     Reason = "secrets_denied"
	ReasonSecretsNotFound   Reason = "secrets_not_found"
	ReasonSecretsDown       Reason = "secrets_unavailable"
	ReasonSecretsInvalid    Reason = "secrets_invalid"
	ReasonSecretsBroken     Reason = "secrets_misconfigured"
	ReasonConfigInvalid     Reason = "config_invalid"
	ReasonBuilderMissing    Reason = "builder_missing"
	ReasonBuildFailed       Reason = "build_failed"
	ReasonBuildOOM          Reason = "build_oom"
	ReasonBuilderDown       Reason = "builder_unavailable"
	ReasonImageInvalid      Reason = "image_invalid"
	ReasonImageNotFound     Reason = "image_not_found"
	ReasonImagePlatform     Reason = "image_platform"
	ReasonRegistryAuth      Reason = "registry_auth"
	ReasonRegistryLimited   Reason = "registry_rate_limited"
	ReasonRegistryDown      Reason = "registry_unavailable"
	ReasonRenderFailed      Reason = "render_failed"
	ReasonJobRejected       Reason = "job_rejected"
	ReasonJobConflict       Reason = "job_conflict"
	ReasonNomadAuth         Reason = "nomad_auth"
	ReasonNomadDown         Reason = "nomad_unavailable"
	ReasonPlacementFailed   Reason = "placement_failed"
	ReasonImagePullFailed   Reason = "image_pull_failed"
	ReasonCrashed           Reason = "app_crashed"
	ReasonAppOOM            Reason = "app_oom"
	ReasonUnhealthy         Reason = "unhealthy"
	ReasonRolledBack        Reason = "rolled_back"
	ReasonJobStopped        Reason = "job_stopped"
	ReasonNeedsPromotion    Reason = "needs_promotion"
	ReasonDestroyIncomplete Reason = "destroy_incomplete"
	ReasonDiskFull          Reason = "disk_full"
	ReasonTimeout           Reason = "timeout"
	ReasonCancelled         Reason = "cancelled"
	ReasonSuperseded        Reason = "superseded"
	ReasonInterrupted       Reason = "interrupted"
	ReasonShutdown          Reason = "shutdown"
	ReasonLeaseLost         Reason = "lease_lost"
	ReasonWorkerLost        Reason = "worker_lost"
	ReasonInternal          Reason = "internal"
)

// Row is one line of the failure table.
type Row struct {
	Reason Reason
	Fault  Fault
	Class  Class
	// Message is the sentence for the customer's screen where the failure
	// brings none of its own.
	Message string
}

// Retryable reports whether the same task may succeed when it is tried again.
func (r Row) Retryable() bool { return r.Class == ClassTransient }

// failures is the one table: what each reason means and what is done about it.
var failures = []Row{
	{ReasonInvalidTask, FaultUser, ClassPermanent, "the task is not valid"},
	{ReasonSubjectMismatch, FaultPlatform, ClassPermanent, "the task's subject contradicts its body"},
	{ReasonTaskTooLarge, FaultUser, ClassPermanent, "the task is too large"},
	{ReasonUnsupported, FaultUser, ClassPermanent, "this worker cannot do what the task asks for"},
	{ReasonGitAuth, FaultUser, ClassPermanent, "the git provider refused the token"},
	{ReasonGitNotFound, FaultUser, ClassPermanent, "the repository does not exist, or the token may not see it"},
	{ReasonGitRefNotFound, FaultUser, ClassPermanent, "the branch does not exist"},
	{ReasonGitRejected, FaultUser, ClassPermanent, "the repository's address or branch is not allowed"},
	{ReasonGitRateLimited, FaultPlatform, ClassTransient, "the git provider limits our requests"},
	{ReasonGitUnavailable, FaultPlatform, ClassTransient, "the git provider cannot be reached"},
	{ReasonSourceTooLarge, FaultUser, ClassPermanent, "the source is too large"},
	{ReasonSourceInvalid, FaultUser, ClassPermanent, "a path of the source is missing or leaves the source"},
	{ReasonSourceRejected, FaultUser, ClassPermanent, "the upload's address is not allowed"},
	{ReasonSourceNotFound, FaultUser, ClassPermanent, "the upload does not exist"},
	{ReasonSourceDown, FaultPlatform, ClassTransient, "the upload cannot be fetched"},
	{ReasonSecretsDenied, FaultUser, ClassPermanent, "Vault refused to show the build's secrets"},
	{ReasonSecretsNotFound, FaultUser, ClassPermanent, "a secret of the build does not exist in Vault"},
	{ReasonSecretsDown, FaultPlatform, ClassTransient, "Vault cannot be reached"},
	{ReasonSecretsInvalid, FaultUser, ClassPermanent, "what the task says of its secrets is not valid"},
	{ReasonSecretsBroken, FaultPlatform, ClassPermanent, "Vault cannot be used as it is set up"},
	{ReasonConfigInvalid, FaultUser, ClassPermanent, "the deployment's configuration is not valid"},
	{ReasonBuilderMissing, FaultPlatform, ClassPermanent, "the program that plans this kind of build is not installed"},
	{ReasonBuildFailed, FaultUser, ClassPermanent, "the build failed"},
	{ReasonBuildOOM, FaultUser, ClassPermanent, "the build ran out of memory"},
	{ReasonBuilderDown, FaultPlatform, ClassTransient, "the builder cannot be reached"},
	{ReasonImageInvalid, FaultUser, ClassPermanent, "the image's name or tag is not valid"},
	{ReasonImageNotFound, FaultUser, ClassPermanent, "the image does not exist in its registry"},
	{ReasonImagePlatform, FaultUser, ClassPermanent, "the image is for another kind of machine than the cluster's"},
	{ReasonRegistryAuth, FaultUser, ClassPermanent, "the registry refused the credentials"},
	{ReasonRegistryLimited, FaultPlatform, ClassTransient, "the registry limits our requests"},
	{ReasonRegistryDown, FaultPlatform, ClassTransient, "the registry cannot be reached"},
	{ReasonRenderFailed, FaultUser, ClassPermanent, "the deploy pack cannot be rendered"},
	{ReasonJobRejected, FaultUser, ClassPermanent, "Nomad refused the job"},
	{ReasonJobConflict, FaultPlatform, ClassTransient, "the job was changed by somebody else at the same time"},
	{ReasonNomadAuth, FaultPlatform, ClassPermanent, "Nomad refused the token"},
	{ReasonNomadDown, FaultPlatform, ClassTransient, "Nomad cannot be reached"},
	{ReasonPlacementFailed, FaultUser, ClassPermanent, "no node has room for the app"},
	{ReasonImagePullFailed, FaultUser, ClassPermanent, "the image could not be pulled"},
	{ReasonCrashed, FaultUser, ClassPermanent, "the app crashed"},
	{ReasonAppOOM, FaultUser, ClassPermanent, "the app ran out of memory"},
	{ReasonUnhealthy, FaultUser, ClassPermanent, "the app did not become healthy"},
	{ReasonRolledBack, FaultUser, ClassPermanent, "the app did not become healthy and was rolled back"},
	{ReasonJobStopped, FaultUser, ClassPermanent, "the job was stopped while it was deployed"},
	{ReasonNeedsPromotion, FaultUser, ClassPermanent, "the canaries are healthy and wait for a promotion"},
	{ReasonDestroyIncomplete, FaultPlatform, ClassTransient, "a job could not be destroyed"},
	{ReasonDiskFull, FaultPlatform, ClassTransient, "the worker's disk is full"},
	{ReasonTimeout, FaultUser, ClassTimeout, "the task took longer than its limit"},
	{ReasonCancelled, FaultNone, ClassCancelled, "the task was cancelled"},
	{ReasonSuperseded, FaultNone, ClassSuperseded, "a newer deployment of the same job took its place"},
	{ReasonInterrupted, FaultPlatform, ClassCancelled, "the worker was stopped while it ran the task"},
	{ReasonShutdown, FaultPlatform, ClassShutdown, "the worker shuts down"},
	{ReasonLeaseLost, FaultPlatform, ClassLeaseLost, "another worker owns the task"},
	{ReasonWorkerLost, FaultPlatform, ClassPermanent, "the workers that ran the task died"},
	{ReasonInternal, FaultPlatform, ClassTransient, "an error inside dispatchd"},
}

// Failures lists the failure table in its order.
func Failures() []Row { return append([]Row(nil), failures...) }

// Row returns the reason's line of the failure table; an unknown reason is internal.
func (r Reason) Row() Row {
	for _, row := range failures {
		if row.Reason == r {
			return row
		}
	}
	return ReasonInternal.Row()
}

// Failure is the one error type that ends a task. Message is safe for the
// customer's screen; Err is for the operator alone.
type Failure struct {
	Reason Reason
	// Stage is where it happened; the step loop fills it in where it is empty.
	Stage Stage
	// Message is one plain sentence of our own words that names what was tried
	// and with what (`clone acme/api@main: branch not found`).
	Message string
	// Err is the cause; it may be nil.
	Err error
	// RolledBackTo is the job version that Nomad went back to, nil where it did not.
	RolledBackTo *uint64
}

// Fail makes a Failure. An empty message takes the table's.
func Fail(reason Reason, message string, err error) *Failure {
	if message == "" {
		message = reason.Row().Message
	}
	return &Failure{Reason: reason, Message: message, Err: err}
}

// Error returns the message and, where it says more, the cause.
func (f *Failure) Error() string {
	if f.Err == nil || strings.Contains(f.Message, f.Err.Error()) {
		return f.Message
	}
	return f.Message + ": " + f.Err.Error()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Row returns the failure's line of the table.
func (f *Failure) Row() Row { return f.Reason.Row() }

// AsFailure returns the Failure in err's chain; any other error is internal.
// It returns nil for nil.
func AsFailure(err error) *Failure {
	if err == nil {
		return nil
	}
	var failure *Failure
	if errors.As(err, &failure) {
		return failure
	}
	return Fail(ReasonInternal, "", err)
}

// The causes with which a task's context ends. A cause beats the error that
// the interrupted step returns.
var (
	ErrTimeout     = Fail(ReasonTimeout, "", nil)
	ErrCancelled   = Fail(ReasonCancelled, "", nil)
	ErrSuperseded  = Fail(ReasonSuperseded, "", nil)
	ErrShutdown    = Fail(ReasonShutdown, "", nil)
	ErrInterrupted = Fail(ReasonInterrupted, "", nil)
	ErrLeaseLost   = Fail(ReasonLeaseLost, "", nil)
)
