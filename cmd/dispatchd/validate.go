package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func newValidate() *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check a project's cloudstation.hcl and the files that it names",
		Long: `validate reads cloudstation.hcl and its variable files, and says what is wrong with
them: file, line, column, and the nearest name where one is unknown. It holds the
variables to the deploy pack, looks whether the Dockerfile is there, and renders the
job. It asks nobody and changes nothing.`,
		Example: `  dispatchd validate
  dispatchd validate --config apps/web.hcl -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return validate(cmd, file, output) },
	}
	addProjectFlag(cmd, &file)
	addOutputFlag(cmd, &output)
	return cmd
}

// verdict is what validate -o json prints.
type verdict struct {
	Valid    bool               `json:"valid"`
	File     string             `json:"file"`
	Job      string             `json:"job,omitempty"`
	Problems tasks.FileProblems `json:"problems"`
	Warnings []string           `json:"warnings,omitempty"`
}

func validate(cmd *cobra.Command, file, output string) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	cfg, err := config.Load()
	if err != nil {
		return err
	}
	project, err := service.ReadProject(cmd.Context(), cfg, file, "")
	if output == "json" {
		v := verdict{Valid: err == nil, File: file, Job: project.Project.Deploy.DeploymentName, Problems: tasks.FileProblems{}, Warnings: project.Warnings}
		errors.As(err, &v.Problems)
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(v); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
	}
	if err != nil {
		return problemsError(cmd, file, err)
	}
	for _, warning := range project.Warnings {
		say(cmd.ErrOrStderr(), "warning: %s", warning)
	}
	if output == "text" {
		say(cmd.OutOrStdout(), "%s is valid: %s", file, summary(project.Project, project.Image))
	}
	return nil
}

// summary says in one line what a project does.
func summary(p tasks.Project, image tasks.Image) string {
	text := "app " + p.Deploy.DeploymentName
	switch {
	case p.Build.Use == tasks.BuilderNoop:
		text += " runs " + image.Reference()
	case p.Registry == nil:
		text += ", built with " + p.Build.Use + ", not pushed"
	default:
		text += ", built with " + p.Build.Use + ", pushed to " + image.Reference()
	}
	if p.Deploy.Use == tasks.DeployerNoop {
		return text + ", not deployed"
	}
	return text
}
