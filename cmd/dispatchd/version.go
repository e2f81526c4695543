package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/service"
)

// number and commit are set by the linker (see the Makefile); a binary from
// `go install` knows them from its build information.
var number, commit string //nolint:gochecknoglobals // the linker can set nothing else

func version() service.Version {
	v := service.Version{Number: number, Commit: commit, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.Number == "" {
		v.Number = info.Main.Version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && v.Commit == "" {
			v.Commit = setting.Value
		}
	}
	return v
}

func versionLine() string {
	v := version()
	line := "dispatchd " + v.Number
	if v.Commit != "" {
		line += " (" + v.Commit[:min(12, len(v.Commit))] + ")"
	}
	return line + " " + v.Go
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  dispatchd version",
		Args:    noArgs,
		RunE:    printVersion,
	}
}

func printVersion(cmd *cobra.Command, _ []string) error {
	_, err := fmt.Fprintln(cmd.OutOrStdout(), versionLine())
	return err
}
