package events

import "github.com/dispatchd/dispatchd/internal/tasks"

// Subjects builds every subject of this package. Ids are tokens by the time
// they get here.
type Subjects struct {
	// prefix ends with a dot, or is empty.
	prefix string
	root   string
}

// NewSubjects takes the legacy prefix (may be empty) and the first token of
// our own subjects ("dispatch" where empty).
func NewSubjects(prefix, root string) Subjects {
	if prefix != "" {
		prefix += "."
	}
	if root == "" {
		root = "dispatch"
	}
	return Subjects{prefix: prefix, root: root}
}

// The kinds of legacy event: their subjects without the prefix.
const (
	kindChanged   = "deployment.status.changed"
	kindSucceeded = "deployment.succeeded"
	kindFailed    = "deployment.failed"
	kindDestroyed = "job.destroyed"
)

// Legacy lists the subjects that a backend's stream must cover.
func (s Subjects) Legacy() []string {
	return append(s.LegacyOf(tasks.KindDeployImage), s.LegacyOf(tasks.KindDestroyJobPack)...)
}

// LegacyOf lists those on which a task of the kind is told of.
func (s Subjects) LegacyOf(kind tasks.Kind) []string {
	if kind == tasks.KindDestroyJobPack {
		return []string{s.legacy(kindDestroyed)}
	}
	return []string{s.legacy(kindChanged), s.legacy(kindSucceeded), s.legacy(kindFailed)}
}

func (s Subjects) legacy(kind string) string { return s.prefix + kind }

// BuildLog is where the lines of a deployment's log go.
func (s Subjects) BuildLog(deploymentID string) string { return s.prefix + "build.log." + deploymentID }

// BuildLogEnd is where the end of a deployment's log goes.
func (s Subjects) BuildLogEnd(deploymentID string) string {
	return s.prefix + "build.log.end." + deploymentID
}

// Done is where a task's terminal record stands.
func (s Subjects) Done(id string) string { return s.prefix + s.root + ".done." + id }

// Cancel is where somebody asks for a task's end.
func (s Subjects) Cancel(id string) string { return s.prefix + s.root + ".cancel." + id }

// Event is where a run event of a task goes; "*" as kind is every kind.
func (s Subjects) Event(id, kind string) string {
	return s.prefix + s.root + ".event." + id + "." + kind
}
