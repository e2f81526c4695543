package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dispatchd/dispatchd/internal/progress"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/service"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// drawEvery is how often a terminal shows the running step's time.
const drawEvery = 120 * time.Millisecond

// local is one command that does something with a project.
type local struct {
	goal tasks.Goal
	open openParts

	file     string
	output   string
	progress string
	vars     []string
	yes      bool
	dryRun   bool
}

// addFlags adds those that all of them have.
func (l *local) addFlags(cmd *cobra.Command) {
	addProjectFlag(cmd, &l.file)
	addOutputFlag(cmd, &l.output)
	cmd.Flags().StringVar(&l.progress, "progress", "auto", "auto, tty or plain: how the steps are shown, on standard error")
	cmd.Flags().StringArrayVar(&l.vars, "var", nil, "NAME=VALUE of a variable of the project, instead of its environment; others can see it in the list of processes")
}

func newBuild(open openParts) *cobra.Command {
	l := &local{goal: tasks.GoalBuild, open: open}
	return l.command(&cobra.Command{
		Use:   "build",
		Short: "Build a project's image and push it",
		Long: `build makes the image of the app in cloudstation.hcl with BuildKit (BUILDKIT_HOST) and
pushes it to the registry that its registry block names, with REGISTRY_USERNAME and
REGISTRY_PASSWORD. Without a registry block it builds and pushes nothing.`,
		Example: `  dispatchd build
  BUILDKIT_HOST=tcp://127.0.0.1:1234 dispatchd build -o json`,
	})
}

func newDeploy(open openParts) *cobra.Command {
	l := &local{goal: tasks.GoalDeploy, open: open}
	cmd := l.command(&cobra.Command{
		Use:   "deploy",
		Short: "Deploy a project's image to Nomad and wait until it is healthy",
		Long: `deploy looks up the digest that the image's tag has in its registry, renders the
deploy pack with the project's variables, registers the job with Nomad (nomad_addr,
else NOMAD_ADDR, with NOMAD_TOKEN), and follows it until it is healthy. With --dry-run
it only asks Nomad what would change, and whether there is room.`,
		Example: `  dispatchd deploy
  dispatchd deploy --dry-run
  NOMAD_ADDR=http://10.0.0.2:4646 dispatchd deploy --config apps/web.hcl`,
	})
	cmd.Flags().BoolVar(&l.dryRun, "dry-run", false, "print what would change, and change nothing")
	return cmd
}

func newUp(open openParts) *cobra.Command {
	l := &local{goal: tasks.GoalUp, open: open}
	return l.command(&cobra.Command{
		Use:   "up",
		Short: "Build a project's image, push it and deploy it",
		Long: `up is build and deploy in one: what was pushed is what is deployed, by its digest.
Ctrl-C stops a build; a job that Nomad has taken already goes on without us.`,
		Example: `  dispatchd up
  dispatchd up --progress plain 2> up.log`,
	})
}

func newDestroy(open openParts) *cobra.Command {
	l := &local{goal: tasks.GoalDestroy, open: open}
	cmd := l.command(&cobra.Command{
		Use:   "destroy",
		Short: "Stop a project's job and remove it from Nomad",
		Long: `destroy stops the job of cloudstation.hcl, waits until its allocations are gone, and
removes it from Nomad. Its image stays in the registry. On a terminal it asks first;
anywhere else it needs --yes.`,
		Example: `  dispatchd destroy
  dispatchd destroy --yes --config apps/web.hcl`,
	})
	cmd.Flags().BoolVarP(&l.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (l *local) command(cmd *cobra.Command) *cobra.Command {
	cmd.Args = noArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return l.run(cmd) }
	l.addFlags(cmd)
	return cmd
}

func (l *local) run(cmd *cobra.Command) error {
	given, err := l.check()
	if err != nil {
		return err
	}
	if l.dryRun {
		l.goal = tasks.GoalPlan
	}
	host, err := service.NewLocalHost(version())
	if err != nil {
		return err
	}
	project, err := service.ReadProject(cmd.Context(), host.Config, l.file, l.goal)
	if err != nil {
		return problemsError(cmd, l.file, err)
	}
	parts, err := l.open(host.Config)
	if err != nil {
		return err
	}
	worker := service.NewLocal(host, parts)
	defer worker.Close()
	work, err := worker.Prepare(l.goal, project, given)
	if err != nil {
		return err
	}
	if err := l.confirm(cmd, project, work); err != nil {
		return err
	}
	return l.carryOut(cmd, worker, work)
}

// check judges the flags and reads the values of variables.
func (l *local) check() (map[string]string, error) {
	if l.progress != "auto" && l.progress != "tty" && l.progress != "plain" {
		return nil, usageError{fmt.Errorf("--progress is auto, tty or plain, got %q", l.progress)}
	}
	given := map[string]string{}
	for _, v := range l.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, usageError{errors.New("--var is NAME=VALUE")}
		}
		given[name] = value
	}
	return given, checkOutput(l.output)
}

// confirm asks before a job is destroyed.
func (l *local) confirm(cmd *cobra.Command, p service.LocalProject, w service.LocalWork) error {
	if l.goal != tasks.GoalDestroy || l.yes {
		return nil
	}
	what := fmt.Sprintf("job %s at %s", p.Project.Deploy.DeploymentName, w.Nomad)
	if !interactive(cmd) {
		return fmt.Errorf("destroy %s: nobody can be asked here: --yes destroys it without asking", what)
	}
	agreed, err := newAsker(cmd).confirm(cmd.Context(), "Destroy "+what+"?")
	if err == nil && !agreed {
		err = fmt.Errorf("%s is not destroyed", what)
	}
	return err
}

func (l *local) carryOut(cmd *cobra.Command, worker *service.Local, work service.LocalWork) error {
	warn(cmd, work, work.Warnings)
	shown := l.display(cmd, work.Redactor)
	result, err := worker.Run(cmd.Context(), work, shown)
	how := progress.Succeeded
	if err != nil {
		how = progress.Failed
	}
	stopped := result.Failure != nil && result.Failure.Reason == tasks.ReasonCancelled
	if stopped {
		how = progress.Interrupted
	}
	shown.End(how)
	if _, collapsed := shown.(*progress.Terminal); collapsed {
		warn(cmd, work, result.Warnings[len(work.Warnings):])
	}
	if printErr := l.print(cmd, result); printErr != nil {
		err = errors.Join(err, printErr)
	}
	if stopped {
		return interruptedError{err}
	}
	return err
}

// warn tells what is not wrong, but may surprise. A plain log holds what the
// steps have to say already.
func warn(cmd *cobra.Command, work service.LocalWork, warnings []string) {
	for _, warning := range warnings {
		say(cmd.ErrOrStderr(), "warning: %s", work.Redactor.String(redact.CleanLine(warning)))
	}
}

// display chooses how the steps are shown.
func (l *local) display(cmd *cobra.Command, redactor *redact.Redactor) progress.Progress {
	o := progress.Options{Out: cmd.ErrOrStderr(), Redactor: redactor, Every: drawEvery}
	terminal, draws := terminalOf(cmd.ErrOrStderr())
	if terminal != nil {
		o.Colour = os.Getenv("NO_COLOR") == ""
		o.Size = func() (int, int) {
			width, height, err := term.GetSize(int(terminal.Fd()))
			if err != nil || width <= 0 || height <= 0 {
				return 80, 24
			}
			return width, height
		}
	}
	if l.progress == "tty" || l.progress == "auto" && draws {
		return progress.NewTerminal(o)
	}
	return progress.NewPlain(o)
}

// print writes the result to standard output.
func (l *local) print(cmd *cobra.Command, r service.LocalResult) error {
	if l.output == "json" {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(r); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
		return nil
	}
	if r.OK {
		for _, line := range outcome(r) {
			say(cmd.OutOrStdout(), "%s", line)
		}
	}
	return nil
}

// outcome is what a person wants to know of success.
func outcome(r service.LocalResult) []string {
	var lines []string
	switch {
	case r.Goal == tasks.GoalDestroy:
		return []string{fmt.Sprintf("job %s is gone from %s", r.Job, r.Nomad)}
	case r.Plan != nil:
		return planned(r)
	case r.JobVersion != nil:
		lines = append(lines, fmt.Sprintf("job %s version %d is healthy at %s", r.Job, *r.JobVersion, r.Nomad))
	case r.Goal != tasks.GoalBuild:
		lines = append(lines, "nothing is deployed: the deployer is noop")
	case r.Image == "":
		return []string{"nothing is built: the builder is noop"}
	}
	switch {
	case r.Image == "":
	case r.Pushed:
		lines = append(lines, "image "+r.Image)
	default:
		lines = append(lines, "image "+r.Image+", not pushed")
	}
	for _, e := range r.Endpoints {
		lines = append(lines, fmt.Sprintf("port %d at %s", e.Port, e.Address))
	}
	return lines
}

// planned is what a person wants to know of a plan.
func planned(r service.LocalResult) []string {
	lines := slices.Clone(r.Plan.Changes)
	if len(lines) == 0 {
		lines = []string{"nothing differs: a deploy would restart job " + r.Job + " as it is"}
	}
	for _, group := range r.Plan.Unplaced {
		lines = append(lines, "no room: "+group)
	}
	if warnings := strings.Join(strings.Fields(r.Plan.Warnings), " "); warnings != "" {
		lines = append(lines, "Nomad warns: "+warnings)
	}
	return append(lines, "nothing was changed at "+r.Nomad)
}
