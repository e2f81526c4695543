package git

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// How many submodules one clone may have, and how deep they may nest.
const (
	maxModules     = 100
	maxModuleDepth = 5
	maxModulesFile = 256 << 10
)

// modulesFile is where a repository lists its submodules.
const modulesFile = ".gitmodules"

// module is one entry of .gitmodules.
type module struct {
	name, path, url string
	// update is "none" where the repository wants it left out.
	update string
	// commit is what the tree names.
	commit string
}

// fetchSubmodules fetches every submodule that the checkout's tree has, at the
// commit that the tree names, and theirs. git is not asked to do it: its own
// command is a shell script, and would take addresses that we do not.
func (j *job) fetchSubmodules(ctx context.Context, at checkout) error {
	list, err := j.listModules(ctx, at)
	if err != nil {
		return err
	}
	targets := make([]target, len(list))
	for i, m := range list {
		if targets[i], err = at.submodule(m, path.Join(at.path, m.path)); err != nil {
			return err
		}
	}
	if len(list) > 0 && at.depth >= maxModuleDepth {
		return at.rejected(fmt.Sprintf("submodules are nested more than %d deep", maxModuleDepth))
	}
	for i, m := range list {
		if j.modules++; j.modules > maxModules {
			return at.rejected(fmt.Sprintf("there are more than %d submodules", maxModules))
		}
		if err := j.fetchModule(ctx, at, m, targets[i]); err != nil {
			return err
		}
	}
	return nil
}

// listModules returns the entries of .gitmodules that the tree has a commit
// for, in the order of the file. All that it says is checked before the first
// is fetched.
func (j *job) listModules(ctx context.Context, at checkout) ([]module, error) {
	info, err := os.Lstat(filepath.Join(at.dir, modulesFile))
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil //nolint:nilerr // a repository without submodules
	}
	if info.Size() > maxModulesFile {
		return nil, at.rejected(".gitmodules is larger than " + byteSize(maxModulesFile))
	}
	text, err := j.local(ctx, at, "", "config", "--null", "--list", "--no-includes", "--blob="+at.commit+":"+modulesFile)
	if err != nil {
		return nil, at.fail(tasks.ReasonGitRejected, ".gitmodules cannot be read", err)
	}
	list, err := parseModules(text)
	if err != nil {
		return nil, at.rejected(err.Error())
	}
	return j.withCommits(ctx, at, list)
}

// withCommits adds the commits that the tree names and drops entries without one.
func (j *job) withCommits(ctx context.Context, at checkout, list []module) ([]module, error) {
	args := []string{"ls-tree", "-z", "--full-tree", at.commit, "--"}
	for _, m := range list {
		args = append(args, m.path)
	}
	if len(list) == 0 {
		return nil, nil
	}
	text, err := j.local(ctx, at, "", args...)
	if err != nil {
		return nil, err
	}
	commits := map[string]string{}
	for line := range strings.SplitSeq(text, "\x00") {
		entry, name, _ := strings.Cut(line, "\t")
		if fields := strings.Fields(entry); len(fields) == 3 && fields[1] == "commit" {
			commits[name] = fields[2]
		}
	}
	for i := range list {
		list[i].commit = commits[list[i].path]
	}
	return slices.DeleteFunc(list, func(m module) bool { return m.commit == "" || m.update == "none" }), nil
}

// fetchModule fetches one submodule into its directory. Its git directory lies
// outside of the files, so that nothing in them can lead into it.
func (j *job) fetchModule(ctx context.Context, parent checkout, m module, t target) error {
	if err := checkPlace(parent.dir, m.path); err != nil {
		return t.fail(tasks.ReasonGitRejected, "its path leads elsewhere", err)
	}
	at := checkout{
		target: t, gitDir: filepath.Join(j.home, fmt.Sprintf("module-%d", j.modules)),
		dir: filepath.Join(parent.dir, filepath.FromSlash(m.path)), commit: m.commit,
		path: path.Join(parent.path, m.path), depth: parent.depth + 1,
	}
	_, _ = fmt.Fprintf(j.rep.Stderr(), "submodule %s at %s\n", printable(at.path, maxSubject), m.commit)
	if err := j.checkOutModule(ctx, &at); err != nil {
		return err
	}
	if err := j.complete(ctx, at); err != nil {
		return err
	}
	return t.internalOrNil(os.RemoveAll(at.gitDir))
}

// checkOutModule fetches the commit alone where the server allows that, else
// all branches and tags, and writes its files. The target becomes the one that
// it was fetched from.
func (j *job) checkOutModule(ctx context.Context, at *checkout) error {
	format := "sha1"
	if len(at.commit) > 40 {
		format = "sha256"
	}
	if _, err := j.local(ctx, *at, "", "init", "--quiet", "--template=", "--object-format="+format); err != nil {
		return err
	}
	t, err := j.fetchCommit(ctx, at)
	if err != nil {
		return err
	}
	at.target = t
	if _, err := j.local(ctx, *at, "", "checkout", "--quiet", "--force", "--detach", at.commit); err != nil {
		return err
	}
	return j.fits(t)
}

// fetchCommit fetches from the target, or from where it has moved on its host.
func (j *job) fetchCommit(ctx context.Context, at *checkout) (target, error) {
	err := j.fetchFrom(ctx, at, at.target)
	if !isDoubtful(err) || at.keys != nil {
		return at.target, err
	}
	moved, err := j.client.ask(ctx, at.target, err)
	if err != nil {
		return target{}, err
	}
	_, _ = fmt.Fprintf(j.rep.Stderr(), "warning: submodule %s has moved to %s\n", printable(at.path, maxSubject), moved.url())
	return moved, j.fetchFrom(ctx, at, moved)
}

func (j *job) fetchFrom(ctx context.Context, at *checkout, t target) error {
	fetch := []string{"--git-dir=" + at.gitDir, "fetch", "--progress", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"}
	err := j.remote(ctx, t, append(fetch, "--depth=1", "--", t.url(), at.commit)...)
	if isUnadvertised(err) {
		err = j.remote(ctx, t, append(fetch, "--", t.url(), "+refs/*:refs/remotes/all/*")...)
	}
	return err
}

// checkPlace makes sure that a path below dir is a directory whose parents are
// directories, too: none is a link that leads elsewhere.
func checkPlace(dir, name string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	so := ""
	for part := range strings.SplitSeq(name, "/") {
		so = path.Join(so, part)
		info, err := root.Lstat(so)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is no directory", so)
		}
	}
	return nil
}
