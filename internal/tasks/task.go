package tasks

import "encoding/json"

// Kind names what a task asks for; it is the body's "task".
type Kind string

// The kinds of task that dispatchd carries out.
const (
	KindDeployRepository   Kind = "deploy-repository"
	KindRedeployRepository Kind = "redeploy-repository"
	KindDeployImage        Kind = "deploy-image"
	KindDestroyJobPack     Kind = "destroy-job-pack"
)

// Kinds lists every kind in the order in which documents name them.
func Kinds() []Kind {
	return []Kind{KindDeployRepository, KindRedeployRepository, KindDeployImage, KindDestroyJobPack}
}

// Task is one request of the backend, decoded, defaulted and validated.
// Exactly one of Deploy and Destroy is set.
type Task struct {
	// ID identifies the request for deduplication, leases, cancel and the
	// terminal record. It matches [A-Za-z0-9_-]{1,128}.
	ID   string
	Kind Kind
	// Deploy holds the params of the three deploy kinds.
	Deploy *Deploy
	// Destroy holds the params of destroy-job-pack.
	Destroy *Destroy
}

// Int is a flexible integer: 456, "456", "" (0) or null (0) in JSON.
type Int int64

// Text is a flexible string: "7" or 7 in JSON. It keeps the JSON as it came,
// because events pass it on unchanged: a number stays a number, null stays
// null, and an absent value stays absent.
type Text struct {
	// Raw is the JSON value as it came; nil where the field was absent.
	Raw json.RawMessage
}

// Bool is a flexible bool: true, "true", "false" or "" (false) in JSON. Where
// absent and false differ the field is a *Bool; null is absent there.
type Bool bool

// Deploy holds the params of deploy-repository, redeploy-repository and
// deploy-image. The names and types are those of docs/events.md; the tag
// `dispatch:"…"` (fieldRule) gives what JSON cannot say: required kinds,
// enumerations, ranges and defaults.
type Deploy struct {
	JobID        string `json:"jobId" dispatch:"required"`
	DeploymentID string `json:"deploymentId" dispatch:"required"`
	ServiceID    string `json:"serviceId" dispatch:"required"`
	ProjectID    string `json:"projectId"`
	ImageName    string `json:"imageName" dispatch:"required=image"`
	ImageTag     string `json:"imageTag" dispatch:"default=latest"`

	// TeamID is a string or null; the flexible type keeps which of absent, null
	// and text it was, because events tell them apart.
	TeamID  Text `json:"teamId" dispatch:"string"`
	UserID  Text `json:"userId"`
	OwnerID Text `json:"ownerId"`

	// DeploymentJobID is what events and logs call jobId.
	DeploymentJobID Int  `json:"deploymentJobId"`
	ReplicaCount    *Int `json:"replicaCount" dispatch:"range=0:2147483647,default=1"`
	// CPU is in MHz, RAM in MiB.
	CPU             *Int `json:"cpu" dispatch:"range=0:2147483647"`
	RAM             *Int `json:"ram" dispatch:"range=0:2147483647"`
	GPU             Int  `json:"gpu" dispatch:"range=0:2147483647"`
	RestartAttempts *Int `json:"restartAttempts" dispatch:"range=0:2147483647"`
	DeploymentCount Int  `json:"deploymentCount" dispatch:"range=0:2147483647"`

	// Deployer is "nomad-pack" (also spelt nomadpack; decoded as nomad-pack) or "noop".
	Deployer string `json:"deploy" dispatch:"enum=nomad-pack|noop,alias=nomadpack:nomad-pack,default=nomad-pack"`

	NomadAddress string `json:"nomadAddress" dispatch:"hidden"`
	NomadToken   Secret `json:"nomadToken"`
	NodePool     string `json:"node_pool"`
	GPUModel     string `json:"gpu_model"`
	// RestartMode is "fail", "delay" or "never".
	RestartMode             string `json:"restartMode" dispatch:"enum=fail|delay|never,default=fail"`
	Command                 string `json:"command"`
	DockerUser              string `json:"docker_user"`
	Regions                 string `json:"regions"`
	CloudRegion             string `json:"cloudRegion"`
	CloudProvider           string `json:"cloudProvider"`
	ClusterDomain           string `json:"clusterDomain"`
	ClusterTCPDomain        string `json:"clusterTcpDomain"`
	BackendURL              string `json:"backendUrl" dispatch:"hidden"`
	AccessToken             Secret `json:"accessToken"`
	PrivateRegistry         string `json:"privateRegistry"`
	PrivateRegistryProvider string `json:"privateRegistryProvider"`

	VaultAddress     string `json:"vaultAddress" dispatch:"hidden"`
	RoleID           string `json:"roleId"`
	SecretID         Secret `json:"secretId"`
	SecretsPath      string `json:"secretsPath"`
	SharedSecretPath string `json:"sharedSecretPath"`

	UsesKVEngine      *Bool `json:"usesKvEngine"`
	OwnerUsesKVEngine *Bool `json:"ownerUsesKvEngine"`

	VaultLinkedSecretPaths []LinkedSecretPath `json:"vaultLinkedSecretPaths"`
	VaultLinkedSecrets     []LinkedSecret     `json:"vaultLinkedSecrets"`

	PackRegistry            PackRegistry     `json:"registry"`
	Networks                []Network        `json:"networks"`
	Consul                  Consul           `json:"consul"`
	CSIVolume               []CSIVolume      `json:"csiVolume"`
	JobConfig               *JobConfig       `json:"jobConfig"`
	Entrypoint              []string         `json:"entrypoint"`
	Update                  *Update          `json:"update"`
	TemplateStringVariables []TemplateString `json:"templateStringVariables"`
	ConfigFiles             []ConfigFile     `json:"configFiles"`
	TLS                     *TLS             `json:"tls"`

	// The rest is of the repository kinds.

	// Repository is "owner/name" at the provider.
	Repository string `json:"repository" dispatch:"only=repository"`
	Branch     string `json:"branch" dispatch:"only=repository"`
	GitPass    Secret `json:"gitPass" dispatch:"only=repository"`
	// Provider is "github", "gitlab" or "bitbucket".
	Provider   string `json:"provider" dispatch:"only=repository,enum=github|gitlab|bitbucket,default=github"`
	SourceType string `json:"sourceType" dispatch:"only=repository,enum=local_upload"`
	SourceURL  string `json:"sourceUrl" dispatch:"only=repository,hidden"`
	UploadID   string `json:"uploadId" dispatch:"only=repository"`
	Build      Build  `json:"build"`
}

// Build says how the image of a repository is made and where it is pushed.
type Build struct {
	// Builder is "csdocker" (also spelt docker; decoded as csdocker),
	// "nixpacks", "railpack", "noop" or empty (detect).
	Builder        string `json:"builder" dispatch:"only=repository,enum=csdocker|nixpacks|railpack|noop,alias=docker:csdocker"`
	DockerfilePath string `json:"dockerfilePath" dispatch:"default=Dockerfile"`
	BuildCommand   string `json:"buildCommand"`
	StartCommand   string `json:"startCommand"`
	// RootDirectory is relative to the repository's root, without a leading slash.
	RootDirectory  string            `json:"rootDirectory"`
	BuildArgs      map[string]string `json:"buildArgs" dispatch:"hidden"`
	StaticBuildEnv map[string]string `json:"staticBuildEnv" dispatch:"hidden"`

	DisablePush       Bool   `json:"disablePush"`
	PrivateRegistry   Bool   `json:"privateRegistry"`
	RegistryURL       string `json:"registryUrl"`
	RegistryNamespace string `json:"registryNamespace"`
	RegistryUsername  string `json:"registryUsername"`
	RegistryPassword  Secret `json:"registryPassword"`
}

// LinkedSecretPath is a Vault path whose keys reach the job with a prefix.
type LinkedSecretPath struct {
	Prefix     string `json:"prefix"`
	SecretPath string `json:"secretPath"`
}

// LinkedSecret is a variable whose value is made from a template.
type LinkedSecret struct {
	Secret   string `json:"secret"`
	Template string `json:"template"`
}

// PackRegistry names the deploy pack and where it comes from.
type PackRegistry struct {
	Pack           string `json:"pack"`
	RegistryName   string `json:"registryName"`
	RegistryRef    string `json:"registryRef"`
	RegistrySource string `json:"registrySource"`
	RegistryTarget string `json:"registryTarget"`
	// RegistryToken may read var.NAME, which means the environment variable NAME.
	RegistryToken Secret `json:"registryToken"`
	UseEmbedded   *Bool  `json:"useEmbedded"`
}

// Network is one port of the app.
type Network struct {
	PortNumber   Int    `json:"portNumber" dispatch:"range=0:65535"`
	PortType     string `json:"portType"`
	Public       Bool   `json:"public"`
	Domain       string `json:"domain"`
	CustomDomain string `json:"custom_domain"`
	// HasHealthCheck is a check type, or empty.
	HasHealthCheck string      `json:"has_health_check"`
	HealthCheck    HealthCheck `json:"health_check"`
}

// HealthCheck says how one port is checked.
type HealthCheck struct {
	Type     string `json:"type"`
	Path     string `json:"path"`
	Interval string `json:"interval"`
	Timeout  string `json:"timeout"`
	Port     Int    `json:"port" dispatch:"range=0:65535"`
}

// Consul names the service and what it is linked with.
type Consul struct {
	ServiceName    string          `json:"serviceName"`
	Tags           []string        `json:"tags"`
	ServicePort    Int             `json:"servicePort" dispatch:"range=0:65535"`
	LinkedServices []LinkedService `json:"linkedServices"`
}

// LinkedService is another service whose address reaches the app's environment.
type LinkedService struct {
	VariableName      string `json:"variableName"`
	ConsulServiceName string `json:"consulServiceName"`
}

// CSIVolume is a volume and where it is mounted.
type CSIVolume struct {
	ID         string   `json:"id"`
	MountPaths []string `json:"mountPaths"`
}

// JobConfig says what type of Nomad job the app is.
type JobConfig struct {
	Type            string   `json:"type"`
	Cron            string   `json:"cron"`
	Payload         string   `json:"payload"`
	ProhibitOverlap *Bool    `json:"prohibit_overlap"`
	MetaRequired    []string `json:"meta_required"`
}

// Update is Nomad's update block; durations are Nomad's.
type Update struct {
	MinHealthyTime   string `json:"minHealthyTime"`
	HealthyDeadline  string `json:"healthyDeadline"`
	ProgressDeadline string `json:"progressDeadline"`
	AutoRevert       *Bool  `json:"autoRevert"`
	AutoPromote      *Bool  `json:"autoPromote"`
	MaxParallel      *Int   `json:"maxParallel" dispatch:"range=0:2147483647"`
	Canary           *Int   `json:"canary" dispatch:"range=0:2147483647"`
}

// TemplateString is a variable filled from another service's secrets and address.
type TemplateString struct {
	Name              string   `json:"name"`
	Pattern           string   `json:"pattern"`
	ServiceName       string   `json:"serviceName"`
	ServiceSecretPath string   `json:"serviceSecretPath"`
	LinkedVars        []string `json:"linkedVars"`
}

// ConfigFile is a file that the app finds at /<path>; Content is base64.
type ConfigFile struct {
	Path    string `json:"path"`
	Content string `json:"content" dispatch:"hidden"`
}

// TLS is a certificate that the app gets from Vault's PKI.
type TLS struct {
	CertPath   string `json:"cert_path"`
	KeyPath    string `json:"key_path"`
	CommonName string `json:"common_name"`
	PKAPath    string `json:"pka_path"`
	TTL        string `json:"ttl"`
}

// Destroy holds the params of destroy-job-pack.
type Destroy struct {
	Jobs []DestroyJob `json:"jobs" dispatch:"required"`
	// Reason is one of delete, upgrade_volume, migrate_volume, suspend_account, pause_service.
	Reason string `json:"reason" dispatch:"required,enum=delete|upgrade_volume|migrate_volume|suspend_account|pause_service"`
}

// DestroyJob is one job to stop and remove.
type DestroyJob struct {
	JobID        string `json:"jobId" dispatch:"required"`
	ServiceID    string `json:"serviceId"`
	NomadAddress string `json:"nomadAddress" dispatch:"hidden"`
	NomadToken   Secret `json:"nomadToken"`
}

// Builders that a task may name, after decoding.
const (
	BuilderDetect   = ""
	BuilderDocker   = "csdocker"
	BuilderNixpacks = "nixpacks"
	BuilderRailpack = "railpack"
	BuilderNoop     = "noop"
)

// Deployers that a task may name, after decoding.
const (
	DeployerNomadPack = "nomad-pack"
	DeployerNoop      = "noop"
)

// IsDeploy reports whether the kind is one of the three that deploy.
func (k Kind) IsDeploy() bool {
	return k == KindDeployRepository || k == KindRedeployRepository || k == KindDeployImage
}

// FromRepository reports whether the kind starts from a source tree.
func (k Kind) FromRepository() bool {
	return k == KindDeployRepository || k == KindRedeployRepository
}

// Targets lists the Nomad jobs that the task is about.
func (t Task) Targets() []string {
	if t.Deploy != nil {
		return []string{t.Deploy.JobID}
	}
	if t.Destroy == nil {
		return nil
	}
	names := make([]string, len(t.Destroy.Jobs))
	for i, job := range t.Destroy.Jobs {
		names[i] = job.JobID
	}
	return names
}

// Secrets lists the texts of the task that no log, event or file may show.
func (t Task) Secrets() []string {
	var secrets []Secret
	if d := t.Deploy; d != nil {
		secrets = append(secrets, d.NomadToken, d.AccessToken, d.SecretID, d.GitPass,
			d.PackRegistry.RegistryToken, d.Build.RegistryPassword)
	}
	if t.Destroy != nil {
		for _, job := range t.Destroy.Jobs {
			secrets = append(secrets, job.NomadToken)
		}
	}
	var texts []string
	if d := t.Deploy; d != nil {
		texts = addressSecrets(d.SourceURL)
	}
	for _, s := range secrets {
		if s.Set() {
			texts = append(texts, s.Reveal())
		}
	}
	return texts
}
