package nomad

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

const (
	// metaTaskID is the key of the job's meta that names the task behind a
	// version. It makes every task a new version: Nomad never tries the same
	// spec again after its deployment failed.
	metaTaskID = "dispatchd.task_id"
	// registerAttempts bounds how often a changed job is read again.
	registerAttempts = 4
)

// errNotAJob is an answer that is JSON, but no job.
var errNotAJob = errors.New("unexpected EOF: the answer is no job")

// Register parses the job at the server and registers it by check-and-set. A
// job that carries the task's id already, in its current or a former version,
// is not registered again.
func (c *Client) Register(ctx context.Context, at tasks.Cluster, spec tasks.JobSpec) (tasks.Registration, error) {
	s, err := c.open(at, spec.JobID)
	if err != nil {
		return tasks.Registration{}, err
	}
	job, err := s.parse(ctx, spec)
	if err != nil {
		return tasks.Registration{}, err
	}
	for attempt := 1; ; attempt++ {
		reg, err := s.register(ctx, job, spec)
		if !isConflict(err) {
			return reg, s.wrap(ctx, "register", err)
		}
		if attempt == registerAttempts {
			return reg, s.fail(tasks.ReasonJobConflict,
				fmt.Sprintf("it was changed by somebody else at each of %d attempts to register it", attempt), err)
		}
		if !pause(ctx, jitter(time.Duration(attempt)*100*time.Millisecond)) {
			return reg, context.Cause(ctx)
		}
	}
}

// parse asks the server what the HCL says, and marks the job with the task.
func (s *session) parse(ctx context.Context, spec tasks.JobSpec) (*api.Job, error) {
	request := &api.JobsParseRequest{JobHCL: string(spec.HCL)}
	job, err := put(ctx, s, func(q *api.WriteOptions) (*api.Job, *api.WriteMeta, error) {
		var job api.Job
		meta, err := s.api.Raw().Write("/v1/jobs/parse", request, &job, q)
		return &job, meta, err
	})
	if err != nil {
		return nil, s.wrap(ctx, "parse", err)
	}
	if err := s.checkParsed(job, spec.JobID); err != nil { //nolint:contextcheck // it asks nobody
		return nil, err
	}
	if spec.TaskID != "" {
		job.SetMeta(metaTaskID, spec.TaskID)
	}
	return job, nil
}

// checkParsed refuses a job that would land where nobody looks for it.
func (s *session) checkParsed(job *api.Job, want string) error {
	if job.ID == nil {
		return s.wrap(context.Background(), "parse", errNotAJob)
	}
	if *job.ID != want {
		return s.fail(tasks.ReasonJobRejected, fmt.Sprintf("the pack made a job with another id, %q", *job.ID), nil)
	}
	if named := value(job.Namespace); named != "" && named != s.namespace {
		return s.fail(tasks.ReasonJobRejected,
			fmt.Sprintf("it names the namespace %q, but this worker deploys to %q", named, s.namespace), nil)
	}
	if named := value(job.Region); named != "" && s.region != "" && named != s.region {
		return s.fail(tasks.ReasonJobRejected,
			fmt.Sprintf("it names the region %q, but this worker deploys to %q", named, s.region), nil)
	}
	return nil
}

// register is one attempt: read, compare, write with the index that was read,
// and read back which version that made.
func (s *session) register(ctx context.Context, job *api.Job, spec tasks.JobSpec) (tasks.Registration, error) {
	current, err := s.jobInfo(ctx, spec.JobID)
	if err != nil {
		return tasks.Registration{}, err
	}
	if own, err := s.findOwn(ctx, current, spec); err != nil || own != nil {
		return s.registration(own), err
	}
	if err := spec.Guard.Ask(ctx); err != nil {
		return tasks.Registration{}, err
	}
	options := &api.RegisterOptions{EnforceIndex: true}
	if current != nil {
		options.ModifyIndex = value(current.JobModifyIndex)
	}
	response, err := put(ctx, s, func(q *api.WriteOptions) (*api.JobRegisterResponse, *api.WriteMeta, error) {
		return s.api.Jobs().RegisterOpts(job, options, q)
	})
	if err != nil {
		return tasks.Registration{}, err
	}
	made, err := s.versionAt(ctx, response.JobModifyIndex)
	reg := s.registration(made)
	reg.Resumed = false
	reg.EvalID, reg.EvalIndex, reg.Warnings = response.EvalID, response.EvalCreateIndex, warningsOf(response.Warnings)
	return reg, err
}

func (s *session) registration(job *api.Job) tasks.Registration {
	if job == nil {
		return tasks.Registration{}
	}
	return tasks.Registration{
		JobID:       s.job,
		Namespace:   s.namespace,
		JobVersion:  value(job.Version),
		ModifyIndex: value(job.JobModifyIndex),
		Resumed:     true,
	}
}

// findOwn returns the version of the job that the task has registered already.
// Former versions count: Nomad may have rolled ours back, and a newer task may
// have replaced it; registering it again would undo either.
func (s *session) findOwn(ctx context.Context, current *api.Job, spec tasks.JobSpec) (*api.Job, error) {
	if current == nil || spec.TaskID == "" || value(current.Stop) {
		return nil, nil
	}
	if current.Meta[metaTaskID] == spec.TaskID {
		return current, nil
	}
	if value(current.Version) == 0 {
		return nil, nil
	}
	versions, err := s.versions(ctx)
	if err != nil {
		return nil, err
	}
	for _, version := range versions {
		if version.Meta[metaTaskID] == spec.TaskID && !value(version.Stop) {
			return version, nil
		}
	}
	return nil, nil
}

// versions lists the versions that Nomad keeps of the job, the newest first.
func (s *session) versions(ctx context.Context) ([]*api.Job, error) {
	return get(ctx, s, func(q *api.QueryOptions) ([]*api.Job, *api.QueryMeta, error) {
		versions, _, meta, err := s.api.Jobs().Versions(s.job, false, q)
		return versions, meta, err
	})
}

// versionAt returns the job as it was registered with that index.
func (s *session) versionAt(ctx context.Context, index uint64) (*api.Job, error) {
	job, err := s.jobInfo(ctx, s.job)
	if err != nil {
		return nil, err
	}
	if job != nil && value(job.JobModifyIndex) == index {
		return job, nil
	}
	versions, err := s.versions(ctx)
	if err != nil && !isNotFound(err) {
		return nil, err
	}
	for _, version := range versions {
		if value(version.JobModifyIndex) == index {
			return version, nil
		}
	}
	return nil, s.fail(tasks.ReasonJobConflict, "it was removed or replaced right after it was registered", nil)
}
