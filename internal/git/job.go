package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// maxAnswer bounds what is read of git's local answers.
const maxAnswer = 4 << 20

// errLongAnswer ends a local command that says more than it should.
var errLongAnswer = errors.New("git's answer is too long")

// job is one clone at work. Its home is git's home directory and holds what
// must not lie among the files.
type job struct {
	client    *Client
	dir, home string
	rep       tasks.Reporter
	// modules counts the submodules so far.
	modules int
}

// checkout is one repository's commit on disk: the task's own or a submodule's.
type checkout struct {
	target
	gitDir, dir string
	commit      string
	// path is where the files lie below the job's, with slashes; empty for the
	// task's own repository.
	path  string
	depth int
}

// fill fetches and checks out, completes what git leaves out, and removes
// git's own part unless it was asked for.
func (j *job) fill(ctx context.Context, t target) (tasks.Revision, error) {
	if err := j.remote(ctx, t, cloneArgs(t, j.dir)...); err != nil {
		return tasks.Revision{}, err
	}
	if err := j.fits(t); err != nil {
		return tasks.Revision{}, err
	}
	at := checkout{target: t, gitDir: filepath.Join(j.dir, ".git"), dir: j.dir, commit: "HEAD"}
	revision, err := j.revision(ctx, at)
	if err != nil {
		return tasks.Revision{}, err
	}
	at.commit = revision.Commit
	if err := j.complete(ctx, at); err != nil {
		return tasks.Revision{}, err
	}
	if t.history {
		return revision, t.internalOrNil(tidyHistory(at.gitDir))
	}
	return revision, t.internalOrNil(os.RemoveAll(at.gitDir))
}

// complete fetches what a checkout only points to.
func (j *job) complete(ctx context.Context, at checkout) error {
	if err := j.fetchLFS(ctx, at); err != nil {
		return err
	}
	return j.fetchSubmodules(ctx, at)
}

// cloneArgs are git's arguments; the operands stand behind "--".
func cloneArgs(t target, dir string) []string {
	args := []string{"clone", "--progress"}
	if !t.history {
		args = append(args, "--depth=1")
	}
	args = append(args, "--single-branch")
	if !t.history {
		args = append(args, "--no-tags")
	}
	return append(args, "--no-recurse-submodules", "--template=", "--branch="+t.branch, "--", t.url(), dir)
}

// tidyHistory removes from a .git that stays what a build has no use for: the
// programs that it could run, and the log of who did what.
func tidyHistory(gitDir string) error {
	var wrong []error
	for _, name := range []string{"hooks", "logs", "info", "description", "FETCH_HEAD"} {
		wrong = append(wrong, os.RemoveAll(filepath.Join(gitDir, name)))
	}
	return errors.Join(wrong...)
}

// remote runs git against the target's server under the eyes of a watch.
func (j *job) remote(ctx context.Context, t target, args ...string) error {
	c := j.client
	out := newOutput(j.rep.Stderr())
	err := j.watched(ctx, out.heard.Load, func(ctx context.Context) error {
		return c.run(ctx, program{
			args:   args,
			env:    c.environ(t, j.home, t.authorization()...),
			dir:    j.home,
			stderr: out,
		})
	})
	out.flush()
	if err == nil {
		return nil
	}
	if failure := j.ended(t, err); failure != nil {
		return failure
	}
	return classify(t, out.own, err)
}

// watched runs do until the files take too much room or nothing happens any more.
func (j *job) watched(ctx context.Context, heard func() int64, do func(context.Context) error) error {
	w := watch{dirs: j.dirs(), maxBytes: j.client.maxBytes, silence: 2 * j.client.stall, heard: heard}
	return w.over(ctx, do)
}

func (j *job) dirs() []string { return []string{j.dir, j.home} }

// ended is the failure for what a watch ended; nil for any other error.
func (j *job) ended(t target, err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return t.tooLarge(j.client.maxBytes)
	case errors.Is(err, errSilent):
		return t.fail(tasks.ReasonGitUnavailable, "$host stopped answering", err)
	}
	return nil
}

// fits checks the room that is taken after a step, which may have been too
// quick for its watch.
func (j *job) fits(t target) error {
	if diskUse(j.dirs(), j.client.maxBytes) > j.client.maxBytes {
		return t.tooLarge(j.client.maxBytes)
	}
	return nil
}

// local runs git on a checkout without a credential and returns its answer.
func (j *job) local(ctx context.Context, at checkout, input string, args ...string) (string, error) {
	answer, out := &bounded{most: maxAnswer}, newOutput(nil)
	local := at.target
	local.token, local.keys = "", nil
	err := j.client.run(ctx, program{
		args:   append([]string{"--git-dir=" + at.gitDir, "--work-tree=" + at.dir, "--literal-pathspecs"}, args...),
		env:    j.client.environ(local, j.home),
		dir:    at.dir,
		stdin:  strings.NewReader(input),
		stdout: answer,
		stderr: out,
	})
	out.flush()
	switch {
	case answer.over:
		return "", at.fail(tasks.ReasonGitRejected, "the repository makes git say more than "+byteSize(maxAnswer), errLongAnswer)
	case err != nil:
		return "", classify(at.target, out.own, err)
	}
	return answer.text.String(), nil
}

// bounded keeps an answer up to a number of bytes.
type bounded struct {
	text strings.Builder
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > b.most {
		b.over = true
		return 0, errLongAnswer
	}
	return b.text.Write(p)
}

// revision reads the commit that was checked out.
func (j *job) revision(ctx context.Context, at checkout) (tasks.Revision, error) {
	text, err := j.local(ctx, at, "", "log", "-1", "--format=%H%n%s", at.commit)
	if err != nil {
		return tasks.Revision{}, err
	}
	commit, subject, _ := strings.Cut(text, "\n")
	return tasks.Revision{Commit: commit, Subject: printable(strings.TrimSpace(subject), maxSubject)}, nil
}
