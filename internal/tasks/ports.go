package tasks

import (
	"context"
	"io"
)

// Reporter is how a step says how far it is. It has no way to say succeeded or
// failed: a step's return value does. Its methods are safe for concurrent use
// and never block on the network.
type Reporter interface {
	// Stage announces that a stage begins. Log lines that follow carry its phase.
	Stage(s Stage)
	// Stdout takes build log bytes; whole lines go out as they are complete.
	Stdout() io.Writer
	// Stderr is the same for what a program says on its error output.
	Stderr() io.Writer
}

// Source is one revision of one repository.
type Source struct {
	// Provider is "github", "gitlab" or "bitbucket".
	Provider string
	// Repository is "owner/name"; Branch is a branch or tag.
	Repository string
	Branch     string
	// Token is sent to the provider's host alone; empty means anonymous. A
	// private key (its text begins with "-----BEGIN") is an SSH deploy key.
	Token Secret
	// History asks for the whole history and the tags, so that `git describe`
	// works in the build; else one commit is fetched.
	History bool
}

// Revision is what was cloned.
type Revision struct {
	// Commit is the full object name.
	Commit string
	// Subject is the commit's first line, for the log.
	Subject string
}

// Cloner puts one revision of a repository into a directory that does not exist yet.
// Errors are *Failure with a git_… or source_… reason. A cancelled context
// ends every child process before Clone returns.
type Cloner interface {
	Clone(ctx context.Context, from Source, dir string, rep Reporter) (Revision, error)
}

// Project is what cloudstation.hcl says, as read back from the file.
type Project struct {
	Name string
	// Build, Registry and Deploy are the three blocks of the app; Registry is
	// nil where nothing is pushed.
	Build    ProjectBuild
	Registry *ProjectRegistry
	Deploy   ProjectDeploy
	// Secrets are the variables that its secrets come from.
	Secrets ProjectSecrets
}

// ProjectBuild is the build block.
type ProjectBuild struct {
	Use            string
	Name           string
	Tag            string
	Context        string
	Dockerfile     string
	BuildCommand   string
	StartCommand   string
	BuildArgs      map[string]string
	StaticBuildEnv map[string]string
	VaultAddress   string
	RoleID         string
	SecretsPath    string
}

// ProjectRegistry is the registry block: where the image is pushed.
type ProjectRegistry struct {
	Use   string
	Image string
	Tag   string
}

// ProjectDeploy is the deploy block.
type ProjectDeploy struct {
	Use            string
	DeploymentName string
	Pack           string
	UseEmbedded    bool
	RegistryName   string
	RegistrySource string
	RegistryRef    string
	RegistryTarget string
	NomadAddress   string
	VariableFiles  []string
}

// Plan is what a deploy task's configuration is generated from: the params and
// what the worker decided about them.
type Plan struct {
	Deploy *Deploy
	// Builder is what builds the image: one of the Builder constants but BuilderDetect.
	Builder string
	// ImageName is the full repository of the image, with its registry where it has one.
	ImageName string
	ImageTag  string
	// Push is false where the image is not pushed by us.
	Push bool
	// VariableFiles are those that a person wrote. Their values win over what
	// is derived here, the later file over the earlier one; job_name and image
	// are always ours.
	VariableFiles []VariableFile
}

// Configurer writes and reads the deployment's HCL. It is pure: no file, clock
// or network. Errors are *Failure with reason config_invalid.
type Configurer interface {
	// Project returns the text of cloudstation.hcl.
	Project(plan Plan) ([]byte, error)
	// ParseProject reads cloudstation.hcl back.
	ParseProject(text []byte) (Project, error)
	// Variables returns the text of vars.hcl for the image that will run. It
	// has read the text back and found every value unchanged.
	Variables(plan Plan, image Image) ([]byte, error)
}

// Credentials authenticate at one registry host. The zero value is anonymous.
type Credentials struct {
	Username string
	Password Secret
	// Token is a bearer token; where it is set it wins over the password.
	Token Secret
}

// Set reports whether there is anything to authenticate with.
func (c Credentials) Set() bool { return c.Username != "" || c.Password.Set() || c.Token.Set() }

// Port is a port that an image exposes.
type Port struct {
	Number int
	// Protocol is "tcp" or "udp".
	Protocol string
}

// Image is an image that a Nomad client can run.
type Image struct {
	// Name is the repository, Tag the tag that was asked for.
	Name string
	Tag  string
	// Digest is "sha256:…"; empty where the worker may not read the registry,
	// and then the image is deployed by its tag with a forced pull.
	Digest string
	// Ports are the TCP and UDP ports that the image's config exposes, ascending.
	Ports []Port
	// Platforms are those that the image can run on, as "linux/amd64"; empty
	// where that is not known.
	Platforms []string
	// Command is what the image starts by itself, its ENTRYPOINT and CMD; empty
	// where that is not known.
	Command []string
	// Loaded is true where the image lies in the Docker daemon of the nodes, by
	// its tag: there is nothing to resolve and nothing to pull.
	Loaded bool
	// Unresolved says why there is no digest; empty where there is one.
	Unresolved string
}

// Reference returns name@digest where the digest is known, else name:tag.
func (i Image) Reference() string {
	if i.Digest != "" {
		return i.Name + "@" + i.Digest
	}
	return i.Name + ":" + i.Tag
}

// BuildRequest asks for an image made from a source tree and pushed.
type BuildRequest struct {
	// Builder is BuilderDocker, BuilderNixpacks or BuilderRailpack.
	Builder string
	// Dir is the root of the source tree.
	Dir string
	// Context and Dockerfile are slash-separated and relative to Dir; the
	// Dockerfile need not lie inside the context. Neither may leave Dir, through
	// a symlink either.
	Context    string
	Dockerfile string

	BuildCommand   string
	StartCommand   string
	BuildArgs      map[string]string
	StaticBuildEnv map[string]string
	// Secrets are given to the build's steps as secret mounts, by their name.
	// They never become arguments, layers, history or provenance.
	Secrets map[string]Secret
	// KeepGit leaves .git in the build's context.
	KeepGit bool

	// Scratch is a directory of the task's own, outside of Dir, for what the
	// build must write; empty is the system's directory for temporary files.
	Scratch string

	// Name and Tag are where the image goes. Push false leaves it in the
	// builder's cache, or loads it into the Docker daemon that the builder knows.
	Name        string
	Tag         string
	Push        bool
	Credentials Credentials
}

// Builder makes an image and pushes it by digest. It announces StagePush when
// the push begins. Errors are *Failure with a build…, image… or registry… reason.
// A cancelled context stops the build before Build returns.
type Builder interface {
	Build(ctx context.Context, req BuildRequest, rep Reporter) (Image, error)
}

// Resolver reads an image's digest and exposed ports from its registry.
// A registry that the worker may not read gives an Image without a digest and
// no error; an image that does not exist is a *Failure image_not_found.
type Resolver interface {
	Resolve(ctx context.Context, name, tag string, creds Credentials) (Image, error)
}

// RenderRequest asks for the job of a pack.
type RenderRequest struct {
	Deploy ProjectDeploy
	// RegistryToken reads the pack's registry where the pack is not embedded.
	RegistryToken Secret
	// Variables is the text of vars.hcl.
	Variables []byte
	// ForcePull asks for a pull even where the client has the image.
	ForcePull bool
	// ServiceProvider is "nomad" or "consul": with whom services are registered.
	ServiceProvider string
	// VaultByRole is true where Nomad (1.7 and newer) gives Vault access by
	// role and no longer by policies.
	VaultByRole bool
	// Dir is where a pack that is not embedded is fetched to; it is emptied first
	// and gone afterwards. Report hears of that. Without them nothing is fetched.
	Dir    string
	Report Reporter
}

// Renderer renders a deploy pack to a job in HCL. Errors are *Failure with
// reason render_failed; unsupported for a pack that this worker may not take;
// or a git_… reason where it cannot be fetched.
type Renderer interface {
	Render(ctx context.Context, req RenderRequest) (job []byte, err error)
}

// Cluster is the Nomad that a task is for. Empty fields take the environment's;
// the environment's token never goes to an address that a task brought.
type Cluster struct {
	Address string
	Token   Secret
}

// ClusterInfo is what the pack needs to know about a Nomad.
type ClusterInfo struct {
	Version string
	// Consul is true where the servers' or clients' agents have one.
	Consul bool
	// VaultByRole is true from 1.7 on.
	VaultByRole bool
	// Platforms are those of the nodes that can take work, as "linux/amd64",
	// sorted; empty where the token may not see them.
	Platforms []string
}

// JobSpec is a rendered job and who asks for it.
type JobSpec struct {
	// HCL is the job's text. JobID is the id that it must have.
	HCL   []byte
	JobID string
	// TaskID is written to the job's meta as dispatchd.task_id; a job that
	// carries it already is not registered again.
	TaskID string
	// Guard is asked between reading the job's index and writing with it.
	Guard Guard
}

// DestroySpec names a job to remove.
type DestroySpec struct {
	JobID string
	// Guard is asked between reading the job's index and writing with it.
	Guard Guard
}

// Registration is a job that Nomad has accepted.
type Registration struct {
	JobID     string
	Namespace string
	// JobVersion and ModifyIndex are those of the registered job;
	// EvalID is empty where Nomad makes none (periodic, parameterized).
	JobVersion  uint64
	ModifyIndex uint64
	EvalID      string
	EvalIndex   uint64
	// Resumed is true where the job carried our task id already.
	Resumed bool
	// Warnings are Nomad's as one line, without those that are for an operator alone.
	Warnings string
}

// Deployed is what Nomad runs at the end of a successful watch.
type Deployed struct {
	DeploymentID string
	JobVersion   uint64
	Allocations  []string
}

// Deployer registers jobs with Nomad, follows them and removes them. Errors are
// *Failure with the reason; their messages name the job.
type Deployer interface {
	// Info asks the cluster for what a pack needs to know.
	Info(ctx context.Context, at Cluster) (ClusterInfo, error)
	// Register parses the job at the server and registers it with the index
	// that was read before.
	Register(ctx context.Context, at Cluster, spec JobSpec) (Registration, error)
	// Watch returns nil when the job is healthy. The allocations' output and
	// events go to the reporter.
	Watch(ctx context.Context, at Cluster, reg Registration, rep Reporter) (Deployed, error)
	// Destroy stops a job, its children too, and returns when its allocations
	// are gone and the job is purged. A job that does not exist is nil.
	Destroy(ctx context.Context, at Cluster, spec DestroySpec, rep Reporter) error
}
