package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dispatchd/dispatchd/internal/doctor"
	"github.com/dispatchd/dispatchd/internal/service"
)

func newDoctor() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check settings, servers, rights and versions; change nothing",
		Long: `doctor checks everything that a worker with these settings needs: the settings
themselves, NATS with its streams and our rights, Nomad with its token and nodes,
BuildKit, the registry and the right to push there, the programs and the work directory
of this machine, and Vault, the backend and the OTLP collector where they are set.

Each line says ok, warn or fail, what was tried, and for a problem which option to
change and how. It exits with 1 where a check failed, and with 0 where there are only
warnings. It takes ten seconds at most, whatever does not answer.`,
		Example: `  dispatchd doctor
  dispatchd doctor -o json
  NOMAD_ADDR=http://127.0.0.1:4646 dispatchd doctor   # as another setting would do`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd, output) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func runDoctor(cmd *cobra.Command, output string) error {
	if output != "text" && output != "json" {
		return usageError{fmt.Errorf("--output is text or json, got %q", output)}
	}
	results := service.Doctor(cmd.Context(), os.Environ(), waitingFor(cmd.ErrOrStderr()))
	if err := printResults(cmd.OutOrStdout(), output, results); err != nil {
		return err
	}
	if doctor.Failed(results) {
		return silent{errors.New("a check failed")}
	}
	return nil
}

// waitingFor shows on a terminal what has not answered yet, on one line that is
// gone at the end. Elsewhere it shows nothing.
func waitingFor(out io.Writer) func([]string) {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return func(waiting []string) {
		text := ""
		if len(waiting) > 0 {
			text = "waiting for " + strings.Join(waiting, ", ")
		}
		_, _ = fmt.Fprint(file, "\r\x1b[K"+text)
	}
}

func printResults(out io.Writer, output string, results []doctor.Result) error {
	if output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(results)
	}
	counts := map[doctor.Status]int{}
	for _, result := range results {
		counts[result.Status]++
		if _, err := fmt.Fprintln(out, result); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "\n%d ok, %d to look at, %d failed\n", counts[doctor.OK], counts[doctor.Warn], counts[doctor.Fail])
	return err
}
