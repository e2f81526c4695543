package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// readFile reads a task's file; - is standard input.
func readFile(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), tasks.MaxBody+1))
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return text, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the task: %w", err)
	}
	return text, nil
}

func newRender() *cobra.Command {
	return &cobra.Command{
		Use:   "render FILE",
		Short: "Print the files and the job that a task would run; change nothing",
		Long: `render prints cloudstation.hcl, vars.hcl and the Nomad job of a deploy task. It asks
nobody and changes nothing: the image stays at its tag, and where the task names no
builder it is taken for csdocker.`,
		Example: `  dispatchd render task.json
  dispatchd render - < task.json`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readFile(cmd, args[0])
			if err != nil {
				return err
			}
			cfg, err := config.Load()
			if err != nil {
				return err
			}
			preview, err := service.Render(cmd.Context(), cfg, text)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "# cloudstation.hcl\n%s\n# vars.hcl\n%s\n# job\n%s", preview.Project, preview.Variables, preview.Job)
			return err
		},
	}
}

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of every task",
		Example: "  dispatchd schema > task.schema.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := tasks.Schema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", schema)
			return err
		},
	}
}
