package gittest

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// DefaultBranch is the branch of a Commit that names none.
const DefaultBranch = "main"

// Commit is the whole tree of one commit on top of its branch.
type Commit struct {
	Branch  string
	Message string
	// Files maps paths to contents; a file that begins with "#!" is executable.
	Files map[string]string
	// Links maps the paths of symbolic links to where they point.
	Links map[string]string
	// Modules maps the paths of submodules to their commits.
	Modules map[string]string
}

// Create makes an empty repository owner/name.
func (s *Server) Create(ctx context.Context, repository string) error {
	dir := s.dir(repository)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if _, err := s.run(ctx, repository, "", "init", "--quiet", "--bare", "--template=", "--initial-branch="+DefaultBranch); err != nil {
		return err
	}
	// Any object may be asked for by name.
	return s.Configure(ctx, repository, map[string]string{"uploadpack.allowAnySHA1InWant": "true"})
}

// Commit puts a commit on a branch, which it makes where there is none, and
// returns the commit's name.
func (s *Server) Commit(ctx context.Context, repository string, c Commit) (string, error) {
	if c.Branch == "" {
		c.Branch = DefaultBranch
	}
	ref := "refs/heads/" + c.Branch
	parent, err := s.run(ctx, repository, "", "for-each-ref", "--format=%(objectname)", ref)
	if err != nil {
		return "", err
	}
	if _, err := s.run(ctx, repository, c.stream(ref, parent), "fast-import", "--quiet", "--force"); err != nil {
		return "", err
	}
	return s.run(ctx, repository, "", "rev-parse", "--verify", ref)
}

// stream writes the commit as git fast-import reads it.
func (c Commit) stream(ref, parent string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "commit %s\ncommitter Test <test@example.invalid> %d +0000\n", ref, time.Now().Unix())
	data(&b, c.Message)
	if parent != "" {
		fmt.Fprintf(&b, "from %s\ndeleteall\n", parent)
	}
	for _, path := range slices.Sorted(maps.Keys(c.Files)) {
		mode := "100644"
		if strings.HasPrefix(c.Files[path], "#!") {
			mode = "100755"
		}
		fmt.Fprintf(&b, "M %s inline %s\n", mode, quote(path))
		data(&b, c.Files[path])
	}
	for _, path := range slices.Sorted(maps.Keys(c.Links)) {
		fmt.Fprintf(&b, "M 120000 inline %s\n", quote(path))
		data(&b, c.Links[path])
	}
	for _, path := range slices.Sorted(maps.Keys(c.Modules)) {
		fmt.Fprintf(&b, "M 160000 %s %s\n", c.Modules[path], quote(path))
	}
	return b.String()
}

func data(b *strings.Builder, text string) { fmt.Fprintf(b, "data %d\n%s\n", len(text), text) }

// quote writes a path so that no byte of it ends the line.
func quote(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path) + `"`
}

// Tag puts an annotated tag on a revision: a branch, a commit or HEAD:path.
func (s *Server) Tag(ctx context.Context, repository, tag, revision string) error {
	_, err := s.run(ctx, repository, "", "-c", "user.name=Test", "-c", "user.email=test@example.invalid",
		"tag", "--annotate", "--message="+tag, tag, revision)
	return err
}

// ReadFiles returns the regular files of a tree as a Commit takes them.
func ReadFiles(tree fs.FS) (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := fs.ReadFile(tree, path)
		files[path] = string(content)
		return err
	})
	return files, err
}

// Configure sets the repository's own configuration on the server.
func (s *Server) Configure(ctx context.Context, repository string, settings map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if _, err := s.run(ctx, repository, "", "config", key, settings[key]); err != nil {
			return err
		}
	}
	return nil
}
