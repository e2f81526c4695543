package doctor

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Programs are the programs on the PATH that a worker starts.
type Programs struct {
	// Git, SSH, Nixpacks and Railpack are names or paths; empty is the usual name.
	Git, SSH, Nixpacks, Railpack string
}

// Check asks each for its version.
func (p Programs) Check(ctx context.Context) []Result {
	return []Result{
		checkGit(ctx, orDefault(p.Git, "git")),
		checkSSH(ctx, orDefault(p.SSH, "ssh")),
		checkPlanner(ctx, orDefault(p.Nixpacks, "nixpacks")),
		checkPlanner(ctx, orDefault(p.Railpack, "railpack")),
		good("look for runc", "it runs beside buildkitd and cannot be seen from here: run `runc --version` there, and want 1.2.8, 1.3.3 or newer"),
	}
}

func orDefault(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

func checkGit(ctx context.Context, program string) Result {
	tried := program + " --version"
	said, err := ask(ctx, program, "--version")
	if err != nil {
		return bad(Fail, tried, err.Error(), remedy{"PATH", "install git: every task with a repository needs it"})
	}
	v, ok := parseVersion(said)
	switch {
	case !ok:
		return bad(Warn, tried, "it says no version", remedy{"PATH", "see which program git is"})
	case !gitFloor.met(v):
		return bad(Warn, tried, v.String()+" is below the releases that close known holes for hostile repositories",
			remedy{"PATH", "upgrade git to one of " + gitFloor.String() + " or newer; a distribution may have closed them in an older number"})
	}
	return good(tried, "%s", v)
}

func checkSSH(ctx context.Context, program string) Result {
	tried := program + " -V"
	said, err := ask(ctx, program, "-V")
	if err != nil {
		return bad(Warn, tried, err.Error(), remedy{"PATH", "install an OpenSSH client if tasks bring SSH deploy keys; HTTPS needs none"})
	}
	return good(tried, "%s", said)
}

// checkPlanner looks for a program that only some builders need.
func checkPlanner(ctx context.Context, program string) Result {
	tried := program + " --version"
	said, err := ask(ctx, program, "--version")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return good(tried, "not installed; only tasks with this builder need it")
	case err != nil:
		return bad(Warn, tried, err.Error(), remedy{"PATH", "install it anew, or take it off the PATH"})
	}
	return good(tried, "%s", said)
}

// ask runs a program and returns the first line that it says.
func ask(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	// They see no secret of ours when they work, and none here.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C"}
	var said limited
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", err
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", errors.New("it ends with: " + strings.TrimSpace(err.Error()+" "+first))
	}
	return first, nil
}

// limited keeps the first kilobyte of what a program says.
type limited struct{ buf bytes.Buffer }

// Write is io.Writer's.
func (l *limited) Write(p []byte) (int, error) {
	l.buf.Write(p[:min(len(p), max(0, 1024-l.buf.Len()))])
	return len(p), nil
}

// String is what was kept.
func (l *limited) String() string { return l.buf.String() }
