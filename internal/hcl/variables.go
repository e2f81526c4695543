package hcl

import (
	"fmt"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// source is what the variables of one deployment are made from.
type source struct {
	*tasks.Deploy
	builder string
	image   tasks.Image
	// volume is the task's volume; its name is empty where it has none.
	volume volume
}

// newSource reads what can be wrong in a task's params for vars.hcl, so that a
// variable's own function cannot fail.
func newSource(plan tasks.Plan, image tasks.Image) (source, error) {
	v, err := oneVolume(plan.Deploy.CSIVolume)
	if err != nil {
		return source{}, invalid(err)
	}
	return source{Deploy: plan.Deploy, builder: plan.Builder, image: image, volume: v}, nil
}

// variables lists vars.hcl in its order. A function that returns nil leaves its
// variable out.
var variables = []struct {
	name string
	from func(s source) value
}{
	{"job_name", func(s source) value { return text(s.JobID) }},
	{"count", func(s source) value { return positive(s.ReplicaCount, defaultReplicas) }},
	{"secret_path", func(s source) value { return givenText(s.SecretsPath) }},
	{"restart_attempts", restartAttempts},
	{"restart_mode", restartMode},
	{"resources", resources},
	{"gpu_type", gpuType},
	{"node_pool", func(s source) value { return givenText(s.NodePool) }},
	{"user_id", func(s source) value { return text(s.OwnerID.String()) }},
	{"alloc_id", func(s source) value { return text(s.DeploymentID) }},
	{"project_id", func(s source) value { return text(s.ProjectID) }},
	{"service_id", func(s source) value { return text(s.ServiceID) }},
	{"shared_secret_path", func(s source) value { return givenText(s.SharedSecretPath) }},
	{"uses_kv_engine", func(s source) value { return isTrue(s.UsesKVEngine) }},
	{"owner_uses_kv_engine", func(s source) value { return isTrue(s.OwnerUsesKVEngine) }},
	{"regions", regions},
	{"private_registry", func(s source) value { return givenText(s.PrivateRegistry) }},
	{"private_registry_provider", func(s source) value { return givenText(s.PrivateRegistryProvider) }},
	{"user", func(s source) value { return text(or(s.DockerUser, defaultUser)) }},
	{"command", func(s source) value { return givenText(s.Command) }},
	{"image", func(s source) value { return text(s.image.Reference()) }},
	{"use_csi_volume", useVolume},
	{"volume_name", func(s source) value { return givenText(s.volume.name) }},
	{"volume_mount_destination", func(s source) value { return givenTexts(s.volume.mounts) }},
	{"config_files", func(s source) value { return listOf(s.ConfigFiles, configFile) }},
	{"consul_service_name", func(s source) value { return givenText(s.Consul.ServiceName) }},
	{"consul_linked_services", linkedServices},
	{"entrypoint", func(s source) value { return givenTexts(s.Entrypoint) }},
	{"template", func(s source) value { return listOf(s.TemplateStringVariables, templateString) }},
	{"cluster_domain", func(s source) value { return givenText(s.ClusterDomain) }},
	{"network", networks},
	{"use_tls", useTLS},
	{"tls", tlsCertificates},
	{"vault_linked_secrets", func(s source) value { return listOf(s.VaultLinkedSecretPaths, linkedSecretPath) }},
	{"update", update},
	{"job_config", jobConfig},
	{"args", args},
}

// The defaults of vars.hcl. A task can no more mean a job without memory than
// one without copies, so nothing and zero are the same; the resources are
// Nomad's own defaults.
const (
	defaultReplicas = 1
	defaultAttempts = 3
	defaultCPU      = 100
	defaultMemory   = 300
	leastMemoryMax  = 512
	defaultUser     = "0"
)

// variablesTree is vars.hcl as a tree.
func variablesTree(s source) body {
	var tree body
	for _, v := range variables {
		if made := v.from(s); made != nil {
			tree.attributes = append(tree.attributes, attribute{v.name, made})
		}
	}
	return tree
}

// The restart modes of a task; Nomad has no never, so it is fail with no attempts.
const (
	restartFail  = "fail"
	restartNever = "never"
)

func restartAttempts(s source) value {
	if s.RestartMode == restartNever {
		return number(0)
	}
	return positive(s.RestartAttempts, defaultAttempts)
}

func restartMode(s source) value {
	if s.RestartMode == restartNever {
		return text(restartFail)
	}
	return text(or(s.RestartMode, restartFail))
}

func resources(s source) value {
	memory := positive(s.RAM, defaultMemory)
	return object{
		{"cpu", positive(s.CPU, defaultCPU)},
		{"memory", memory},
		// The sum of a memory near the largest integer is negative.
		{"memory_max", max(2*memory, memory, leastMemoryMax)},
		{"gpu", number(s.GPU)},
	}
}

func gpuType(s source) value {
	if s.GPU <= 0 {
		return nil
	}
	return givenText(s.GPUModel)
}

// regions is empty with a gpu: the node's class is asked for the gpu's model instead.
func regions(s source) value {
	if s.GPU > 0 {
		return text("")
	}
	return text(s.Regions)
}

func useVolume(s source) value {
	if s.volume.name == "" {
		return nil
	}
	return flag(true)
}

func configFile(f tasks.ConfigFile) value {
	return object{{"path", text(f.Path)}, {"content", text(f.Content)}}
}

func linkedServices(s source) value {
	if len(s.Consul.LinkedServices) == 0 {
		return nil
	}
	return listOf(s.Consul.LinkedServices, func(l tasks.LinkedService) value {
		return object{{"key", text(l.VariableName)}, {"value", text(l.ConsulServiceName)}}
	})
}

func templateString(t tasks.TemplateString) value {
	return object{
		{"name", text(t.Name)},
		{"pattern", text(t.Pattern)},
		{"service_name", text(t.ServiceName)},
		{"service_secret_path", text(t.ServiceSecretPath)},
		{"linked_vars", texts(t.LinkedVars)},
	}
}

func useTLS(s source) value {
	if s.TLS == nil {
		return nil
	}
	return flag(true)
}

func tlsCertificates(s source) value {
	if s.TLS == nil {
		return nil
	}
	return list{object{
		{"cert_path", text(s.TLS.CertPath)},
		{"key_path", text(s.TLS.KeyPath)},
		{"common_name", text(s.TLS.CommonName)},
		{"pka_path", text(s.TLS.PKAPath)},
		{"ttl", text(s.TLS.TTL)},
	}}
}

func linkedSecretPath(l tasks.LinkedSecretPath) value {
	return object{{"prefix", text(l.Prefix)}, {"secret_path", text(l.SecretPath)}}
}

// update holds what the task gives; the pack's defaults fill in the rest.
func update(s source) value {
	u := s.Update
	if u == nil {
		return nil
	}
	attributes := given(
		attribute{"min_healthy_time", givenText(u.MinHealthyTime)},
		attribute{"healthy_deadline", givenText(u.HealthyDeadline)},
		attribute{"progress_deadline", givenText(u.ProgressDeadline)},
		attribute{"auto_revert", givenFlag(u.AutoRevert)},
		attribute{"auto_promote", givenFlag(u.AutoPromote)},
		attribute{"max_parallel", givenNumber(u.MaxParallel)},
		attribute{"canary", givenNumber(u.Canary)},
	)
	if len(attributes) == 0 {
		return nil
	}
	return object(attributes)
}

// jobConfig never lets runs of a batch job overlap, whatever the task says.
func jobConfig(s source) value {
	c := s.JobConfig
	if c == nil {
		return nil
	}
	kind := or(c.Type, "service")
	overlap := isTrue(c.ProhibitOverlap)
	if kind != "service" && kind != "system" {
		overlap = true
	}
	return object{
		{"type", text(kind)},
		{"cron", text(c.Cron)},
		{"prohibit_overlap", overlap},
		{"payload", text(c.Payload)},
		{"meta_required", texts(c.MetaRequired)},
	}
}

// args is one line for a shell: the exports, then what it runs.
func args(s source) value {
	var line strings.Builder
	for _, linked := range s.VaultLinkedSecrets {
		fmt.Fprintf(&line, "export %s=%s;", linked.Secret, linked.Template)
	}
	start := s.Build.StartCommand
	if s.builder == tasks.BuilderNixpacks || s.builder == tasks.BuilderRailpack {
		start = "" // Their images hold it already.
	}
	// A shell takes one line: a command beside it would be all that it runs,
	// without the exports. With an entrypoint the two are its arguments.
	if s.Command != "" && len(s.Entrypoint) == 0 && line.Len()+len(start) > 0 {
		start = s.Command
	}
	// With arguments the image's own command is not run any more: a line that
	// only exports would be all that the job does.
	if start == "" && line.Len() > 0 && len(s.image.Command) > 0 && len(s.Entrypoint) == 0 {
		start = "exec" + shellWords(s.image.Command)
	}
	line.WriteString(start)
	if line.Len() == 0 {
		return nil
	}
	return list{text(line.String())}
}

// shellWords quotes words for a shell, each with a space before it.
func shellWords(words []string) string {
	var b strings.Builder
	for _, word := range words {
		b.WriteString(" '" + strings.ReplaceAll(word, "'", `'\''`) + "'")
	}
	return b.String()
}

// positive is the number that a task gives, or the default where it gives
// nothing, zero or less.
func positive(n *tasks.Int, otherwise number) number {
	if n == nil || *n <= 0 {
		return otherwise
	}
	return number(*n)
}

func isTrue(b *tasks.Bool) flag { return b != nil && flag(*b) }

func givenFlag(b *tasks.Bool) value {
	if b == nil {
		return nil
	}
	return flag(*b)
}

func givenNumber(n *tasks.Int) value {
	if n == nil {
		return nil
	}
	return number(*n)
}

func givenTexts(from []string) value {
	if len(from) == 0 {
		return nil
	}
	return texts(from)
}
