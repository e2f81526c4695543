package config

import (
	"time"

	"github.com/dispatchd/dispatchd/internal/traces"
)

// Config is everything that the environment says. Make one with Load.
//
// The tags: envconfig is the variable's name, default its default, desc what
// docs/configuration.md says of it, shown what stands there as default where
// it is worked out at start, hide "url" takes user and query out of what is
// shown, hide "text" keeps a Secret out of Secrets.
type Config struct {
	NATS            NATS
	Worker          Worker
	HTTPAddr        string `envconfig:"DISPATCHD_HTTP_ADDR" default:"127.0.0.1:9190" desc:"where /metrics, /healthz, /readyz and the status page are served; loopback unless you open it, since none of them asks who is there"`
	Log             Log
	Git             Git
	Upload          Upload
	Pack            Pack
	BuildKit        BuildKit
	Registry        Registry
	Nomad           Nomad
	ServiceProvider string `envconfig:"DISPATCHD_SERVICE_PROVIDER" shown:"consul where the task names a Consul service and Nomad has a Consul, else nomad" desc:"the catalogue in which the deploy pack registers services: nomad or consul"`
	Vault           Vault
	Backend         Backend
	Traces          Traces
	RunOnce         RunOnce

	// set holds the names of the variables that the environment gave.
	set map[string]bool
}

// NATS is the one connection that everything else goes over.
type NATS struct {
	Servers        []string      `envconfig:"NATS_SERVERS" hide:"url" desc:"the servers' URLs, separated by commas; every command that talks to NATS needs it"`
	PrivateKey     Secret        `envconfig:"NATS_CLIENT_PRIVATE_KEY" desc:"NKey user seed (SU…); without one the connection is made without a key"`
	Creds          string        `envconfig:"DISPATCHD_NATS_CREDS" desc:"NATS credentials file, instead of a seed"`
	CA             string        `envconfig:"DISPATCHD_NATS_CA" desc:"file of the CA certificates that sign the servers'; the connection is TLS then"`
	Cert           string        `envconfig:"DISPATCHD_NATS_CERT" desc:"file of our TLS client certificate"`
	Key            string        `envconfig:"DISPATCHD_NATS_KEY" desc:"file of its key"`
	ConnectTimeout time.Duration `envconfig:"DISPATCHD_NATS_CONNECT_TIMEOUT" default:"10s" desc:"how long the first connection may take; servers that do not answer yet are tried again until then"`
	StreamPrefix   string        `envconfig:"NATS_STREAM_PREFIX" desc:"put before every subject, with a dot, and into the names of our streams and buckets"`
	SubjectRoot    string        `envconfig:"DISPATCHD_SUBJECT_ROOT" default:"dispatch" desc:"first token of our own subjects; for servers where another stream covers that one"`
	StreamReplicas int           `envconfig:"DISPATCHD_STREAM_REPLICAS" default:"1" desc:"replicas of the streams and buckets that run creates: 1, 3 or 5"`
}

// SubjectPrefix returns what stands before every subject: nothing, or the
// prefix and a dot.
func (n NATS) SubjectPrefix() string {
	if n.StreamPrefix == "" {
		return ""
	}
	return n.StreamPrefix + "."
}

// Worker is how tasks are run.
type Worker struct {
	ID           string        `envconfig:"DISPATCHD_WORKER_ID" shown:"host name and a random part" desc:"name of this worker in claims, leases and logs; no two that run may share one, and each warns of the other"`
	Slots        int           `envconfig:"DISPATCHD_SLOTS" default:"4" desc:"how many tasks run at a time"`
	TaskTimeout  time.Duration `envconfig:"DISPATCHD_TASK_TIMEOUT" default:"15m" desc:"how long one task may take from its first start, retries included"`
	DrainTimeout time.Duration `envconfig:"DISPATCHD_DRAIN_TIMEOUT" default:"25s" desc:"how long running tasks may go on after SIGTERM before they are handed back; keep it below Nomad's kill_timeout"`
	Supersede    []string      `envconfig:"DISPATCHD_SUPERSEDE" desc:"jobs whose waiting deployments collapse into the newest, separated by commas; * in a name stands for any text. What runs already is never stopped for it"`
	WorkDir      string        `envconfig:"DISPATCHD_WORK_DIR" shown:"dispatchd in the system's directory for temporary files" desc:"parent of the tasks' directories; an absolute path"`
}

// Log is the process's own log, on standard error.
type Log struct {
	Level  string `envconfig:"DISPATCHD_LOG_LEVEL" default:"info" desc:"debug, info, warn or error"`
	Format string `envconfig:"DISPATCHD_LOG_FORMAT" default:"json" desc:"json or console"`
}

// Git is where repositories are and how much of them is taken.
type Git struct {
	GitHubURL    string `envconfig:"DISPATCHD_GITHUB_URL" default:"https://github.com" desc:"base of <base>/<owner>/<name>.git for the provider github; plain http only where it is written here"`
	GitLabURL    string `envconfig:"DISPATCHD_GITLAB_URL" default:"https://gitlab.com" desc:"the same for gitlab"`
	BitbucketURL string `envconfig:"DISPATCHD_BITBUCKET_URL" default:"https://bitbucket.org" desc:"the same for bitbucket"`
	// The addresses of the same servers for deploy keys.
	GitHubSSHURL    string `envconfig:"DISPATCHD_GITHUB_SSH_URL" shown:"ssh://git@ and the host of DISPATCHD_GITHUB_URL" desc:"base of the repositories for SSH deploy keys: ssh://[user@]host[:port][/path]"`
	GitLabSSHURL    string `envconfig:"DISPATCHD_GITLAB_SSH_URL" shown:"ssh://git@ and the host of DISPATCHD_GITLAB_URL" desc:"the same for gitlab"`
	BitbucketSSHURL string `envconfig:"DISPATCHD_BITBUCKET_SSH_URL" shown:"ssh://git@ and the host of DISPATCHD_BITBUCKET_URL" desc:"the same for bitbucket"`
	KnownHosts      string `envconfig:"DISPATCHD_GIT_KNOWN_HOSTS" desc:"file of SSH host keys (known_hosts) that are trusted beside the published ones of github.com, gitlab.com and bitbucket.org; an absolute path, read for each clone with a deploy key"`
	MaxBytes        Bytes  `envconfig:"DISPATCHD_GIT_MAX_BYTES" default:"2GiB" desc:"a clone that takes more room on disk fails; submodules and LFS count"`
}

// BuildKit is who builds images.
type BuildKit struct {
	Host       string `envconfig:"BUILDKIT_HOST" default:"unix:///run/buildkit/buildkitd.sock" desc:"address of buildkitd"`
	DockerHost string `envconfig:"DOCKER_HOST" desc:"address of the Docker daemon of Nomad's clients, where they are on this machine: an image that is built and not pushed (disablePush) is loaded into it and deployed from there; dispatchd needs none otherwise"`
	Nixpacks   string `envconfig:"DISPATCHD_NIXPACKS" default:"nixpacks" desc:"the program that plans builds of the builder nixpacks, a name on the PATH or a path; see builders.md for its versions"`
	Railpack   string `envconfig:"DISPATCHD_RAILPACK" default:"railpack" desc:"the same for railpack"`
	Frontend   string `envconfig:"DISPATCHD_RAILPACK_FRONTEND" shown:"ghcr.io/railwayapp/railpack-frontend in the version of the program" desc:"the image of the BuildKit frontend that builds railpack's plans; buildkitd pulls it"`
}

// Nomad holds what Nomad's own client reads from the environment. It is here to
// be shown and hidden.
type Nomad struct {
	Address       string `envconfig:"NOMAD_ADDR" hide:"url" shown:"http://127.0.0.1:4646 (Nomad's own)" desc:"address of Nomad where a task names none"`
	Token         Secret `envconfig:"NOMAD_TOKEN" desc:"ACL token for NOMAD_ADDR; it is never sent to an address that a task named"`
	Namespace     string `envconfig:"NOMAD_NAMESPACE" desc:"namespace of the jobs"`
	Region        string `envconfig:"NOMAD_REGION" desc:"region of the jobs"`
	HTTPAuth      Secret `envconfig:"NOMAD_HTTP_AUTH" desc:"user:password for a proxy before Nomad"`
	CACert        string `envconfig:"NOMAD_CACERT" desc:"file of the CA certificate that signs Nomad's"`
	CAPath        string `envconfig:"NOMAD_CAPATH" desc:"directory of such files"`
	ClientCert    string `envconfig:"NOMAD_CLIENT_CERT" desc:"file of our TLS client certificate"`
	ClientKey     string `envconfig:"NOMAD_CLIENT_KEY" desc:"file of its key"`
	TLSServerName string `envconfig:"NOMAD_TLS_SERVER_NAME" desc:"name that Nomad's certificate must hold"`
	SkipVerify    string `envconfig:"NOMAD_SKIP_VERIFY" desc:"true leaves Nomad's certificate unchecked"`
}

// Vault is where build secrets come from when a task names no other place.
type Vault struct {
	Address    string `envconfig:"VAULT_ADDR" hide:"url" desc:"address of Vault where a task names none"`
	Token      Secret `envconfig:"VAULT_TOKEN" desc:"token for VAULT_ADDR, with which the builds of tasks without a role read their secrets; it is never sent to an address that a task named"`
	Namespace  string `envconfig:"VAULT_NAMESPACE" desc:"namespace that every request to Vault names"`
	CACert     string `envconfig:"VAULT_CACERT" desc:"file of the CA certificates that sign Vault's"`
	ClientCert string `envconfig:"VAULT_CLIENT_CERT" desc:"file of our TLS client certificate for Vault"`
	ClientKey  string `envconfig:"VAULT_CLIENT_KEY" desc:"file of its key"`
}

// Backend is the platform's HTTP API, which is told about progress.
type Backend struct {
	URL         string `envconfig:"BACKEND_URL" hide:"url" desc:"base URL of the platform's API where a task names none; it is told of each step and asked for domains"`
	AccessToken Secret `envconfig:"ACCESS_TOKEN" desc:"token for BACKEND_URL; it is never sent to an address that a task named"`
}

// Traces are OpenTelemetry's own variables, as far as they mean anything here.
type Traces struct {
	Endpoint       string `envconfig:"OTEL_EXPORTER_OTLP_ENDPOINT" hide:"url" desc:"base URL of an OTLP collector's HTTP port, such as http://127.0.0.1:4318; traces are sent only where it is set"`
	TracesEndpoint string `envconfig:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" hide:"url" desc:"the whole URL for traces, instead of the base and /v1/traces"`
	Headers        Secret `envconfig:"OTEL_EXPORTER_OTLP_HEADERS" desc:"headers for the collector, name=value separated by commas, percent-encoded; shown as a secret because tokens stand in it"`
	Protocol       string `envconfig:"OTEL_EXPORTER_OTLP_PROTOCOL" default:"http/protobuf" desc:"http/protobuf, the only one that is spoken: grpc and http/json are refused at start"`
	CACert         string `envconfig:"OTEL_EXPORTER_OTLP_CERTIFICATE" desc:"file of the CA certificate that signs the collector's"`
	Timeout        string `envconfig:"OTEL_EXPORTER_OTLP_TIMEOUT" default:"10000" desc:"how long one request to the collector may take, in milliseconds"`
	Service        string `envconfig:"OTEL_SERVICE_NAME" shown:"dispatchd" desc:"service.name of the spans"`
	Resource       string `envconfig:"OTEL_RESOURCE_ATTRIBUTES" desc:"further attributes of the process, name=value separated by commas, percent-encoded"`
	Sampler        string `envconfig:"OTEL_TRACES_SAMPLER" default:"parentbased_always_on" desc:"which traces are sent: always_on, always_off or traceidratio, alone or after parentbased_"`
	SamplerArg     string `envconfig:"OTEL_TRACES_SAMPLER_ARG" shown:"1" desc:"the share that traceidratio keeps, from 0 to 1"`
	Disabled       string `envconfig:"OTEL_SDK_DISABLED" desc:"true sends no traces, whatever else is set"`
}

// Settings are the variables as the tracer takes them.
func (t Traces) Settings() traces.Settings {
	return traces.Settings{
		Endpoint: t.Endpoint, TracesEndpoint: t.TracesEndpoint, Headers: t.Headers.Reveal(), Protocol: t.Protocol,
		CACert: t.CACert, Timeout: t.Timeout, Service: t.Service, Resource: t.Resource,
		Sampler: t.Sampler, SamplerArg: t.SamplerArg, Disabled: t.Disabled,
	}
}

// RunOnce is what Nomad's dispatch hands to run-once.
type RunOnce struct {
	MetaTask     string `envconfig:"NOMAD_META_TASK" desc:"run-once: the task's kind"`
	MetaParams   Secret `envconfig:"NOMAD_META_PARAMS" hide:"text" desc:"run-once: the task's params, JSON or base64 of JSON; shown as a secret because tokens stand in it"`
	Traceparent  string `envconfig:"NOMAD_META_TRACEPARENT" desc:"run-once: the W3C traceparent of whoever dispatched the task; a job that takes it lists traceparent in meta_optional"`
	NomadJobID   string `envconfig:"NOMAD_JOB_ID" desc:"run-once: set by Nomad; the dispatch's id names the task"`
	NomadAllocID string `envconfig:"NOMAD_ALLOC_ID" desc:"run-once: set by Nomad; for the log"`
}
