package buildkit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"syscall"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/tonistiigi/fsutil"
)

// planned is a planner's plan in a folder of its own, ready for a frontend.
type planned struct {
	tasks.BuildPlan

	dir  string
	root *os.Root
	// folders are the parts of it that the daemon reads.
	folders []*os.Root
}

// planSource has the planner plan the build of a source.
func (c *Client) planSource(ctx context.Context, req tasks.BuildRequest, rep tasks.Reporter) (*planned, error) {
	if c.options.Planner == nil {
		return nil, tasks.Fail(tasks.ReasonUnsupported, fmt.Sprintf("this worker plans no builds with %s", req.Builder), nil)
	}
	dir, err := os.MkdirTemp(req.Scratch, "plan-")
	if err != nil {
		return nil, tasks.Fail(diskReason(err), "", fmt.Errorf("make a folder for the plan: %w", err))
	}
	p := &planned{dir: dir}
	if err := p.fill(ctx, c.options.Planner, req, rep); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *planned) fill(ctx context.Context, planner tasks.BuildPlanner, req tasks.BuildRequest, rep tasks.Reporter) error {
	var err error
	if p.BuildPlan, err = planner.Plan(ctx, req, p.dir, rep); err != nil {
		return err
	}
	if p.root, err = os.OpenRoot(p.dir); err != nil {
		return tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("open the plan: %w", err))
	}
	if p.Frontend != "" {
		return nil
	}
	return p.rewrite(slices.Sorted(maps.Keys(req.Secrets)))
}

// rewrite gives the secrets to the steps of the plan's Dockerfile.
func (p *planned) rewrite(secrets []string) error {
	text, err := p.root.ReadFile(p.File)
	if err != nil {
		return tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("read the plan: %w", err))
	}
	if text, err = rewriteDockerfile(text, secrets, p.assetsName()); err != nil {
		return tasks.Fail(tasks.ReasonBuildFailed, p.Program+" made a Dockerfile that cannot be read", err)
	}
	if err := p.root.WriteFile(p.File, text, 0o600); err != nil {
		return tasks.Fail(diskReason(err), "", fmt.Errorf("write the plan: %w", err))
	}
	return nil
}

// assetsName is the folder of the planner's own files as its Dockerfile names it.
func (p *planned) assetsName() string {
	if p.Assets == "" {
		return ""
	}
	return path.Base(p.Assets)
}

// mounts are the file systems of the plan that the daemon may read: the plan
// itself, and its own files, which lie one folder higher.
func (p *planned) mounts() (map[string]fsutil.FS, error) {
	folders := map[string]string{"dockerfile": path.Dir(p.File)}
	if p.Assets != "" {
		folders[planContext] = path.Dir(p.Assets)
	}
	mounts := map[string]fsutil.FS{}
	for name, folder := range folders {
		root, err := p.root.OpenRoot(folder)
		if err != nil {
			return nil, tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("open the plan: %w", err))
		}
		p.folders = append(p.folders, root)
		mounts[name] = fsutil.NewRootFS(fsutil.NewRoot(root))
	}
	return mounts, nil
}

// close removes the plan.
func (p *planned) close() {
	if p == nil {
		return
	}
	for _, root := range append(p.folders, p.root) {
		if root != nil {
			_ = root.Close()
		}
	}
	_ = os.RemoveAll(p.dir)
}

// openBuild opens the source of a build, and with it the plan where a program
// makes one. The caller closes both.
func (c *Client) openBuild(ctx context.Context, req tasks.BuildRequest, rep tasks.Reporter) (*sourceTree, *planned, error) {
	if !isPlanned(req) {
		source, err := openSource(req)
		return source, nil, err
	}
	// What is wrong with the source is said before a program looks at it.
	source, err := openContext(req)
	if err != nil {
		return nil, nil, err
	}
	plan, err := c.planSource(ctx, req, rep)
	if err == nil && plan.Context == "" {
		return source, plan, nil
	}
	source.close()
	if err != nil {
		return nil, nil, err
	}
	req.Context = path.Join(cleanPath(req.Context), plan.Context)
	if source, err = openContext(req); err != nil {
		plan.close()
		return nil, nil, err
	}
	return source, plan, nil
}

// openContext is openSource for a build that needs no Dockerfile.
func openContext(req tasks.BuildRequest) (*sourceTree, error) {
	root, err := os.OpenRoot(req.Dir)
	if err != nil {
		return nil, tasks.Fail(tasks.ReasonInternal, "", fmt.Errorf("open the source tree: %w", err))
	}
	tree := &sourceTree{root: fsutil.NewRoot(root)}
	if err := tree.openContext(cleanPath(req.Context)); err != nil {
		tree.close()
		return nil, err
	}
	return tree, nil
}

// diskReason tells a full disk from any other error of a file.
func diskReason(err error) tasks.Reason {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return tasks.ReasonDiskFull
	}
	return tasks.ReasonInternal
}
