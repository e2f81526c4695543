package hcl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// The defaults of cloudstation.hcl, for what is written and what is read.
const (
	defaultPack       = "cloudstation"
	defaultContext    = "."
	defaultDockerfile = "Dockerfile"
	defaultTag        = "latest"
)

// registryTokenVariable is the one variable whose environment name a task may choose.
const registryTokenVariable = "registry_token"

// secretVariables are the variables that stand for secrets, and the
// environment variable that holds each.
var secretVariables = []struct{ name, env string }{
	{"registry_username", "REGISTRY_USERNAME"},
	{"registry_password", "REGISTRY_PASSWORD"},
	{registryTokenVariable, "REGISTRY_TOKEN"},
	{"nomad_token", "NOMAD_TOKEN"},
	{"vault_secret_id", "VAULT_SECRET_ID"},
}

// projectTree is cloudstation.hcl as a tree.
func projectTree(plan tasks.Plan) (body, error) {
	tree := body{
		attributes: []attribute{{"project", text(plan.Deploy.JobID)}},
		blocks:     []block{{kind: "runner", body: body{attributes: []attribute{{"enabled", flag(true)}}}}},
	}
	for _, secret := range secretVariables {
		env := secret.env
		if secret.name == registryTokenVariable {
			var err error
			if env, err = registryTokenEnv(plan.Deploy.PackRegistry.RegistryToken, env); err != nil {
				return body{}, invalid(err)
			}
		}
		tree.blocks = append(tree.blocks, secretVariable(secret.name, env))
	}
	tree.blocks = append(tree.blocks, appBlock(plan))
	return tree, nil
}

// registryTokenEnv returns the environment variable that holds the pack
// registry's token: the one that a token of the form var.NAME names.
func registryTokenEnv(token tasks.Secret, usual string) (string, error) {
	name, chosen := strings.CutPrefix(token.Reveal(), "var.")
	if !chosen {
		return usual, nil
	}
	if !isEnvName(name) {
		return "", errors.New("registry.registryToken begins with var. but names no environment variable")
	}
	return name, nil
}

func secretVariable(name, env string) block {
	return block{kind: "variable", label: name, body: body{attributes: []attribute{
		{"type", reference("string")},
		{"default", text("")},
		{"sensitive", flag(true)},
		{"env", list{text(env)}},
	}}}
}

func appBlock(plan tasks.Plan) block {
	blocks := []block{{kind: "build", body: body{attributes: buildAttributes(plan)}}}
	if pushes(plan) {
		blocks = append(blocks, block{kind: "registry", body: body{attributes: []attribute{
			{"use", text(registryDocker)},
			{"image", text(plan.ImageName)},
			{"tag", text(plan.ImageTag)},
			{"username", reference("var.registry_username")},
			{"password", reference("var.registry_password")},
		}}})
	}
	blocks = append(blocks, block{kind: "deploy", body: body{attributes: deployAttributes(plan)}})
	return block{kind: "app", label: plan.Deploy.JobID, body: body{blocks: blocks}}
}

// pushes is false where nothing is built, whatever the plan says.
func pushes(plan tasks.Plan) bool { return plan.Push && plan.Builder != tasks.BuilderNoop }

func buildAttributes(plan tasks.Plan) []attribute {
	d := plan.Deploy
	// With a registry block the full repository stands there and name is the
	// task's own; without one this is the only place for it.
	name := plan.ImageName
	if pushes(plan) && d.ImageName != "" {
		name = d.ImageName
	}
	attributes := []attribute{
		{"use", text(plan.Builder)},
		{"name", text(name)},
		{"tag", text(plan.ImageTag)},
		{"context", text(or(d.Build.RootDirectory, defaultContext))},
		{"dockerfile", text(or(d.Build.DockerfilePath, defaultDockerfile))},
	}
	return append(attributes, given(
		attribute{"build_cmd", givenText(d.Build.BuildCommand)},
		attribute{"start_cmd", givenText(d.Build.StartCommand)},
		attribute{"build_args", givenMapping(d.Build.BuildArgs)},
		attribute{"static_build_env", givenMapping(d.Build.StaticBuildEnv)},
		attribute{"vault_address", givenText(d.VaultAddress)},
		attribute{"role_id", givenText(d.RoleID)},
		attribute{"secret_id", givenSecret(d.SecretID, "var.vault_secret_id")},
		attribute{"secrets_path", givenText(d.SecretsPath)},
	)...)
}

func deployAttributes(plan tasks.Plan) []attribute {
	d := plan.Deploy
	attributes := []attribute{
		{"use", text(d.Deployer)},
		{"deployment_name", text(d.JobID)},
	}
	attributes = append(attributes, packAttributes(d.PackRegistry)...)
	attributes = append(attributes, given(attribute{"nomad_addr", givenText(d.NomadAddress)})...)
	return append(attributes,
		attribute{"nomad_token", reference("var.nomad_token")},
		attribute{"variable_files", variableFiles(plan)},
	)
}

// variableFiles names the files that a person wrote, else the one that we do.
func variableFiles(plan tasks.Plan) list {
	if len(plan.VariableFiles) == 0 {
		return list{text(variablesFile)}
	}
	return listOf(plan.VariableFiles, func(f tasks.VariableFile) value { return text(f.Name) })
}

// packAttributes says where the deploy pack comes from. A task that names no
// source gets the embedded pack even where useEmbedded is false: senders write
// that false without meaning it.
func packAttributes(p tasks.PackRegistry) []attribute {
	attributes := []attribute{{"pack", text(or(p.Pack, defaultPack))}}
	if p.RegistrySource == "" || p.UseEmbedded != nil && bool(*p.UseEmbedded) {
		return append(attributes, attribute{"use_embedded", flag(true)})
	}
	return append(attributes, given(
		attribute{"registry_name", givenText(p.RegistryName)},
		attribute{"registry_source", givenText(p.RegistrySource)},
		attribute{"registry_ref", givenText(p.RegistryRef)},
		attribute{"registry_target", givenText(p.RegistryTarget)},
		attribute{"registry_token", givenSecret(p.RegistryToken, "var."+registryTokenVariable)},
	)...)
}

// given keeps the attributes that have a value.
func given(attributes ...attribute) []attribute {
	var kept []attribute
	for _, a := range attributes {
		if a.value != nil {
			kept = append(kept, a)
		}
	}
	return kept
}

func givenText(s string) value {
	if s == "" {
		return nil
	}
	return text(s)
}

func givenMapping(m map[string]string) value {
	if len(m) == 0 {
		return nil
	}
	return mapping(m)
}

// givenSecret stands for a secret by name; the secret itself is never written.
func givenSecret(s tasks.Secret, name string) value {
	if !s.Set() {
		return nil
	}
	return reference(name)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// isEnvName reports whether a name is one that every shell takes:
// [A-Za-z_][A-Za-z0-9_]*.
func isEnvName(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// badEnvName is the sentence for a name that is none; %.40q keeps it short.
func badEnvName(name string) string {
	return fmt.Sprintf("%.40q is no name of an environment variable: letters, digits and _, not a digit first", name)
}
