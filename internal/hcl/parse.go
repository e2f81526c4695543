package hcl

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// registryDocker is the only kind of registry block.
const registryDocker = "docker"

// The names that the use of a block may have, and what each means.
var (
	builders = choices{
		{tasks.BuilderDocker, tasks.BuilderDocker},
		{tasks.BuilderNixpacks, tasks.BuilderNixpacks},
		{tasks.BuilderRailpack, tasks.BuilderRailpack},
		{tasks.BuilderNoop, tasks.BuilderNoop},
	}
	deployers = choices{
		{tasks.DeployerNomadPack, tasks.DeployerNomadPack},
		{"nomadpack", tasks.DeployerNomadPack},
		{tasks.DeployerNoop, tasks.DeployerNoop},
	}
	registries = choices{{registryDocker, registryDocker}}
)

// ParseProject reads cloudstation.hcl. It is strict: every attribute and block
// is known and of its type, a secret is a reference to a declared variable and
// nothing else is one. The failure names line and column of what is wrong.
func (Generator) ParseProject(source []byte) (tasks.Project, error) {
	d := newDecoder()
	project := d.file(projectFile, source)
	if err := d.err(); err != nil {
		return tasks.Project{}, invalid(err)
	}
	return project, nil
}

// file reads the text of the file of that name.
func (d *decoder) file(name string, source []byte) tasks.Project {
	file, diags := hclsyntax.ParseConfig(source, name, hcl.InitialPos)
	if d.add(diags); len(d.problems) > 0 {
		return tasks.Project{}
	}
	return d.project(file.Body)
}

func (d *decoder) project(content hcl.Body) tasks.Project {
	var p tasks.Project
	blocks := d.read(content, []hcl.BlockHeaderSchema{
		{Type: "runner"},
		{Type: "variable", LabelNames: []string{"name"}},
		{Type: "app", LabelNames: []string{"name"}},
	}, field{name: "project", read: jobID(&p.Name)})
	if runner := d.atMostOne(blocks, "runner"); runner != nil {
		var enabled bool
		d.read(runner.Body, nil, field{name: "enabled", optional: true, read: boolean(&enabled)})
	}
	// The app refers to the variables, wherever they stand in the file.
	for _, variable := range blocks.OfType("variable") {
		d.variable(variable)
	}
	if app := d.exactlyOne(blocks, "app", content); app != nil {
		d.app(app, &p)
	}
	return p
}

func (d *decoder) variable(b *hcl.Block) {
	name := b.Labels[0]
	if _, twice := d.declared[name]; twice {
		d.problem(b.DefRange, "variable %.40q is declared twice", name)
	}
	d.block = "variable." + name
	var sensitive bool
	var env []string
	d.read(b.Body, nil,
		field{name: "type", optional: true, read: keyword("string")},
		field{name: "default", optional: true, read: noText},
		field{name: "sensitive", optional: true, read: boolean(&sensitive)},
		field{name: "env", optional: true, read: strs(&env)},
	)
	d.declared[name] = env
}

func (d *decoder) app(b *hcl.Block, p *tasks.Project) {
	if strings.TrimSpace(b.Labels[0]) == "" {
		d.problem(b.LabelRanges[0], "the app's name is empty: it is the job's id")
	}
	blocks := d.read(b.Body, []hcl.BlockHeaderSchema{{Type: "build"}, {Type: "registry"}, {Type: "deploy"}})
	if build := d.exactlyOne(blocks, "build", b.Body); build != nil {
		d.block = build.Type
		p.Build = d.build(build.Body, &p.Secrets)
	}
	if registry := d.atMostOne(blocks, "registry"); registry != nil {
		d.block = registry.Type
		p.Registry = d.registry(registry.Body, &p.Secrets)
	}
	if deploy := d.exactlyOne(blocks, "deploy", b.Body); deploy != nil {
		d.block = deploy.Type
		p.Deploy = d.deploy(deploy.Body, &p.Secrets)
	}
}

func (d *decoder) build(content hcl.Body, secrets *tasks.ProjectSecrets) tasks.ProjectBuild {
	b := tasks.ProjectBuild{Tag: defaultTag, Context: defaultContext, Dockerfile: defaultDockerfile}
	d.read(content, nil,
		field{name: "use", read: oneOf(&b.Use, "builder", builders)},
		field{name: "name", read: str(&b.Name)},
		field{name: "tag", optional: true, read: str(&b.Tag)},
		field{name: "context", optional: true, read: str(&b.Context)},
		field{name: "dockerfile", optional: true, read: str(&b.Dockerfile)},
		field{name: "build_cmd", optional: true, read: str(&b.BuildCommand)},
		field{name: "start_cmd", optional: true, read: str(&b.StartCommand)},
		field{name: "build_args", optional: true, read: environment(&b.BuildArgs)},
		field{name: "static_build_env", optional: true, read: environment(&b.StaticBuildEnv)},
		field{name: "vault_address", optional: true, read: str(&b.VaultAddress)},
		field{name: "role_id", optional: true, read: str(&b.RoleID)},
		field{name: "secret_id", optional: true, read: secret(&secrets.VaultSecretID)},
		field{name: "secrets_path", optional: true, read: str(&b.SecretsPath)},
	)
	return b
}

func (d *decoder) registry(content hcl.Body, secrets *tasks.ProjectSecrets) *tasks.ProjectRegistry {
	r := &tasks.ProjectRegistry{Tag: defaultTag}
	d.read(content, nil,
		field{name: "use", read: oneOf(&r.Use, "registry", registries)},
		field{name: "image", read: str(&r.Image)},
		field{name: "tag", optional: true, read: str(&r.Tag)},
		field{name: "username", optional: true, read: secret(&secrets.RegistryUsername)},
		field{name: "password", optional: true, read: secret(&secrets.RegistryPassword)},
	)
	return r
}

func (d *decoder) deploy(content hcl.Body, secrets *tasks.ProjectSecrets) tasks.ProjectDeploy {
	p := tasks.ProjectDeploy{Pack: defaultPack}
	d.read(content, nil,
		field{name: "use", read: oneOf(&p.Use, "deployer", deployers)},
		field{name: "deployment_name", read: jobID(&p.DeploymentName)},
		field{name: "pack", optional: true, read: str(&p.Pack)},
		field{name: "use_embedded", optional: true, read: boolean(&p.UseEmbedded)},
		field{name: "registry_name", optional: true, read: str(&p.RegistryName)},
		field{name: "registry_source", optional: true, read: str(&p.RegistrySource)},
		field{name: "registry_ref", optional: true, read: str(&p.RegistryRef)},
		field{name: "registry_target", optional: true, read: str(&p.RegistryTarget)},
		field{name: "registry_token", optional: true, read: secret(&secrets.PackToken)},
		field{name: "nomad_addr", optional: true, read: str(&p.NomadAddress)},
		field{name: "nomad_token", optional: true, read: secret(&secrets.NomadToken)},
		field{name: "variable_files", optional: true, read: strs(&p.VariableFiles)},
	)
	p.UseEmbedded = p.UseEmbedded || p.RegistrySource == ""
	return p
}

// choices are the names that a block's use may have, each with its meaning.
type choices []struct{ name, means string }

func (c choices) meaning(name string) (string, bool) {
	for _, choice := range c {
		if choice.name == name {
			return choice.means, true
		}
	}
	return "", false
}

func (c choices) names() []string {
	names := make([]string, len(c))
	for i, choice := range c {
		names[i] = choice.name
	}
	return names
}

func (c choices) String() string { return strings.Join(c.names(), ", ") }
