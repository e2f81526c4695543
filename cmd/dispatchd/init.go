package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/detect"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// defaultRegistry is where docker's own registry image listens.
const defaultRegistry = "127.0.0.1:5000"

// initFlags are the flags of init, and the answers of a person.
type initFlags struct {
	file, name, builder, dockerfile, registry, nomadAddress string

	ports      []int
	force, yes bool
}

func newInit() *cobra.Command {
	var flags initFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a cloudstation.hcl and a vars.hcl for the app in a directory",
		Long: `init looks at the directory of --config for a Dockerfile, its ports and the app's
language, and writes cloudstation.hcl and vars.hcl (NAME.vars.hcl beside a NAME.hcl). On
a terminal it asks for what it cannot know; elsewhere, or with --yes, it takes the flags
and its own proposals. Files that exist are left alone unless --force is given.`,
		Example: `  dispatchd init
  dispatchd init --yes --name web --registry registry.example:5000/team --port 8080`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return initProject(cmd, flags) },
	}
	addProjectFlag(cmd, &flags.file)
	f := cmd.Flags()
	f.StringVar(&flags.name, "name", "", "name of the app, its image and its job (default: the directory's)")
	f.StringVar(&flags.builder, "builder", "", "csdocker, nixpacks, railpack or noop (default: csdocker where there is a Dockerfile, else nixpacks)")
	f.StringVar(&flags.dockerfile, "dockerfile", "", "the Dockerfile's path beside the project's file (default: Dockerfile)")
	f.StringVar(&flags.registry, "registry", "", "host[/namespace] that the image is pushed to (default: DISPATCHD_REGISTRY, else "+defaultRegistry+")")
	f.IntSliceVar(&flags.ports, "port", nil, "a port that the app listens on; once for each (default: those that the image exposes)")
	f.StringVar(&flags.nomadAddress, "nomad-addr", "", "address of Nomad to write into the file (default: none, so that NOMAD_ADDR decides)")
	f.BoolVar(&flags.force, "force", false, "overwrite files that exist")
	f.BoolVarP(&flags.yes, "yes", "y", false, "do not ask")
	return cmd
}

func initProject(cmd *cobra.Command, flags initFlags) error {
	cfg, err := config.Load()
	if err != nil {
		return err
	}
	found, err := detect.Directory(filepath.Dir(flags.file), flags.dockerfile)
	if err != nil {
		return err
	}
	say(cmd.OutOrStdout(), "%s", sighted(found))
	flags.propose(found, cfg)
	if !flags.yes && interactive(cmd) {
		if err := flags.ask(cmd.Context(), newAsker(cmd), found); err != nil {
			return err
		}
	}
	project, err := flags.project()
	if err != nil {
		return err
	}
	if err := project.Write(); err != nil {
		return err
	}
	return report(cmd, project, cfg)
}

// propose fills in what no flag gives.
func (f *initFlags) propose(found detect.Found, cfg config.Config) {
	for _, proposal := range []struct {
		flag  *string
		value string
	}{
		{&f.name, found.Name},
		{&f.builder, found.Builder},
		{&f.registry, cfg.Registry.Push},
		{&f.registry, defaultRegistry},
		{&f.dockerfile, found.Dockerfile},
		{&f.dockerfile, "Dockerfile"},
	} {
		if *proposal.flag == "" {
			*proposal.flag = proposal.value
		}
	}
}

// ask lets a person change what is proposed.
func (f *initFlags) ask(ctx context.Context, a *asker, found detect.Found) error {
	fromImage := "those of the image"
	if len(found.Ports) > 0 {
		fromImage += ": " + portsText(found.Ports)
	}
	ports := fromImage
	if len(f.ports) > 0 {
		ports = strings.Trim(strings.ReplaceAll(fmt.Sprint(f.ports), " ", ","), "[]")
	}
	for _, question := range []struct {
		text   string
		answer *string
	}{
		{"Name of the app", &f.name},
		{"Builder (csdocker, nixpacks, railpack, noop)", &f.builder},
		{"Registry that the image is pushed to", &f.registry},
		{"Ports that the app listens on", &ports},
	} {
		answer, err := a.ask(ctx, question.text, *question.answer)
		if err != nil {
			return err
		}
		*question.answer = answer
	}
	if ports == fromImage {
		return nil
	}
	return f.setPorts(ports)
}

// setPorts reads ports with commas or spaces between them.
func (f *initFlags) setPorts(text string) error {
	f.ports = nil
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		port, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("the port %q is no number", word)
		}
		f.ports = append(f.ports, port)
	}
	return nil
}

func (f *initFlags) project() (service.NewProject, error) {
	p := service.NewProject{
		File: f.file, Name: f.name, Builder: f.builder, Dockerfile: f.dockerfile, Registry: f.registry,
		NomadAddress: f.nomadAddress, Force: f.force,
	}
	for _, port := range f.ports {
		if port < 1 || port > 65535 {
			return p, fmt.Errorf("the port %d is none: 1 to 65535", port)
		}
		p.Ports = append(p.Ports, tasks.Port{Number: port, Protocol: "tcp"})
	}
	return p, nil
}

// sighted says what the directory holds.
func sighted(f detect.Found) string {
	var parts []string
	if f.Language != "" {
		parts = append(parts, fmt.Sprintf("%s (%s)", f.Language, f.File))
	}
	switch {
	case f.Dockerfile != "" && len(f.Ports) > 0:
		parts = append(parts, f.Dockerfile+", which exposes "+portsText(f.Ports))
	case f.Dockerfile != "":
		parts = append(parts, f.Dockerfile+", which exposes no port itself")
	}
	if len(parts) == 0 {
		return "found neither a Dockerfile nor a language that is known here"
	}
	return "found " + strings.Join(parts, " and ")
}

func portsText(ports []tasks.Port) string {
	texts := make([]string, len(ports))
	for i, port := range ports {
		texts[i] = strconv.Itoa(port.Number)
		if port.Protocol != "tcp" {
			texts[i] += "/" + port.Protocol
		}
	}
	return strings.Join(texts, ", ")
}

// report says what was written and what comes next.
func report(cmd *cobra.Command, p service.NewProject, cfg config.Config) error {
	out := cmd.OutOrStdout()
	project, err := service.ReadProject(cmd.Context(), cfg, p.File, tasks.GoalDeploy)
	if err != nil {
		return problemsError(cmd, p.File, err)
	}
	say(out, "wrote %s: %s", p.File, summary(project.Project, project.Image))
	say(out, "wrote %s: copies, resources and ports of the job", p.VariablesFile())
	dockerfile := filepath.Join(filepath.Dir(p.File), p.Dockerfile)
	if _, err := os.Stat(dockerfile); err != nil && p.Builder == tasks.BuilderDocker {
		say(out, "%s does not exist yet", dockerfile)
	}
	next := "dispatchd up"
	if p.File != service.DefaultProject {
		next += " --config " + p.File
	}
	say(out, "next: %s", next)
	return nil
}
