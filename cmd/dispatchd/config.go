package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/config"
)

func newConfig() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the settings in force, where each comes from, and its default",
		Long: `config prints every setting with its value, its source and its default. Secrets are
shown as ***. It says what is wrong with the settings and exits with 1 then; what is only
worth knowing, such as a variable that means nothing, is a warning on standard error.`,
		Example: `  dispatchd config
  dispatchd config -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return printConfig(cmd, output) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func printConfig(cmd *cobra.Command, output string) error {
	cfg, err := config.Load()
	if err != nil {
		return err
	}
	settings := config.Settings(cfg)
	switch output {
	case "json":
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetIndent("", "  ")
		err = encoder.Encode(settings)
	case "text":
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "NAME\tVALUE\tSOURCE\tDEFAULT")
		for _, s := range settings {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Name, s.Value, s.Source, s.Default)
		}
		err = table.Flush()
	default:
		return usageError{fmt.Errorf("--output is text or json, got %q", output)}
	}
	for _, warning := range cfg.Warnings(os.Environ()) {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+warning)
	}
	return errors.Join(err, cfg.Validate())
}
