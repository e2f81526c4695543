package service

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// secretSource finds the values of a project's secret variables.
type secretSource struct {
	cfg     config.Config
	project tasks.Project
	// given are values by the variable's name; they win over the environment.
	given map[string]string

	values   []string
	warnings []string
}

// secrets looks up every variable that the project uses. A secret of the
// settings that belongs to another server than the project's stays there.
func (s *secretSource) secrets() (tasks.LocalSecrets, error) {
	if err := s.checkGiven(); err != nil {
		return tasks.LocalSecrets{}, err
	}
	used := s.project.Secrets
	var found tasks.LocalSecrets
	if s.project.Registry != nil {
		elsewhere := s.registryElsewhere()
		found.Registry.Username = s.value(used.RegistryUsername, elsewhere)
		found.Registry.Password = tasks.Secret(s.secret(used.RegistryPassword, elsewhere))
	}
	found.NomadToken = tasks.Secret(s.secret(used.NomadToken, s.nomadElsewhere()))
	found.PackToken = tasks.Secret(s.secret(used.PackToken, nil))
	found.VaultSecretID = tasks.Secret(s.secret(used.VaultSecretID, nil))
	return found, nil
}

// checkGiven refuses a value for a variable that the project does not use.
func (s *secretSource) checkGiven() error {
	used := s.project.Secrets
	var known []string
	for _, v := range []tasks.SecretVariable{used.RegistryUsername, used.RegistryPassword, used.NomadToken, used.PackToken, used.VaultSecretID} {
		if v.Name != "" {
			known = append(known, v.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.given)) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--var %s: the project uses no variable of that name%s", name, tasks.DidYouMean(name, known))
		}
	}
	return nil
}

// elsewhere are environment variables whose secrets belong to another server.
type elsewhere struct {
	names []string
	where string
}

// registryElsewhere: the operator has said which registry REGISTRY_… is for.
func (s *secretSource) registryElsewhere() *elsewhere {
	r := s.cfg.Registry
	named := r.Host != "" || r.Push != ""
	host := tasks.RegistryOf(s.project.Registry.Image)
	if !named || host == r.CredentialHost() || host == tasks.DockerHub && r.Push != "" {
		return nil
	}
	return &elsewhere{names: []string{"REGISTRY_USERNAME", "REGISTRY_PASSWORD", "REGISTRY_TOKEN"}, where: r.CredentialHost()}
}

// nomadElsewhere: NOMAD_TOKEN goes to NOMAD_ADDR.
func (s *secretSource) nomadElsewhere() *elsewhere {
	environment, project := s.cfg.Nomad.Address, s.project.Deploy.NomadAddress
	if environment == "" || project == "" || strings.TrimRight(environment, "/") == strings.TrimRight(project, "/") {
		return nil
	}
	return &elsewhere{names: []string{"NOMAD_TOKEN"}, where: "NOMAD_ADDR"}
}

// secret is a value that is hidden from now on.
func (s *secretSource) secret(v tasks.SecretVariable, not *elsewhere) string {
	value := s.value(v, not)
	if value != "" {
		s.values = append(s.values, value)
	}
	return value
}

func (s *secretSource) value(v tasks.SecretVariable, not *elsewhere) string {
	if value, ok := s.given[v.Name]; ok && v.Name != "" {
		return value
	}
	for _, name := range v.Env {
		value := os.Getenv(name)
		switch {
		case value == "":
		case not != nil && slices.Contains(not.names, name):
			s.warnings = append(s.warnings, fmt.Sprintf("%s is for %s and is not sent to the project's server; --var %s=… gives another", name, not.where, v.Name))
		default:
			return value
		}
	}
	return ""
}
