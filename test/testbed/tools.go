package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Tools are the paths of the programs that a bed runs; those that were not
// asked for are empty.
type Tools struct {
	Nomad          string
	BuildKitd      string
	BuildCtl       string
	Dockerd        string
	Runc           string
	BusyBox        string
	DockerRegistry string
	Git            string
}

// tool is one program: who needs it, what is good enough, where it comes from.
type tool struct {
	name string
	need Need
	// atLeast is the oldest version that will do, as version() reads it.
	atLeast version
	// static is true where the program must run in an empty image.
	static bool
	// pkg is the Debian package, build the module; one of them is set.
	pkg   string
	build *build
	path  func(*Tools) *string
}

// toolTable lists every program in the order in which Plan prints them.
func toolTable() []tool {
	return []tool{
		{name: "git", need: NeedGit, atLeast: version{2, 30}, pkg: "git", path: func(t *Tools) *string { return &t.Git }},
		{name: "dockerd", need: NeedDocker, atLeast: version{20, 10}, pkg: "docker.io", path: func(t *Tools) *string { return &t.Dockerd }},
		{name: "runc", need: NeedDocker | NeedBuildKit, atLeast: version{1, 0}, pkg: "runc", path: func(t *Tools) *string { return &t.Runc }},
		{name: "busybox", need: NeedDocker | NeedRegistry, static: true, pkg: "busybox-static", path: func(t *Tools) *string { return &t.BusyBox }},
		{name: "docker-registry", need: NeedDebianRegistry, atLeast: version{2, 7}, pkg: "docker-registry", path: func(t *Tools) *string { return &t.DockerRegistry }},
		{name: "nomad", need: NeedNomad, atLeast: version{1, 4}, build: nomadBuild(), path: func(t *Tools) *string { return &t.Nomad }},
		{name: "buildkitd", need: NeedBuildKit, atLeast: version{0, 30}, build: buildkitBuild(), path: func(t *Tools) *string { return &t.BuildKitd }},
		{name: "buildctl", need: NeedBuildKit, atLeast: version{0, 30}, build: buildkitBuild(), path: func(t *Tools) *string { return &t.BuildCtl }},
	}
}

// Ensure returns the programs that the needed parts run: from the PATH where
// they are good enough, else from the cache, else installed with apt-get or
// built from test/tools. It says in one sentence what the host lacks.
func Ensure(ctx context.Context, opts Options) (Tools, error) {
	plan, err := NewPlan(ctx, opts)
	if err != nil {
		return Tools{}, err
	}
	return plan.Apply(ctx)
}

// CheckHost says in one sentence why this host cannot hold a bed; nil if it can.
func CheckHost() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the test bed runs Docker, BuildKit and Nomad on Linux, and this is %s; make unit works here", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return errors.New("the test bed needs root, because it starts dockerd, buildkitd and a Nomad client; make unit works without")
	}
	return nil
}

// searchPath is the PATH of the bed: a shell's, and the directories in which
// Debian puts daemons, which a user's PATH often lacks.
func searchPath() string {
	const system = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
	if path := os.Getenv("PATH"); path != "" {
		return path + string(os.PathListSeparator) + system
	}
	return system
}

// find returns the first program on the search path or in the cache that is
// good enough, or "".
func (t tool) find(ctx context.Context, cache string) string {
	dirs := filepath.SplitList(searchPath())
	if t.build != nil {
		dirs = append(dirs, t.build.dir(cache))
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, t.name)
		if t.goodEnough(ctx, path) {
			return path
		}
	}
	return ""
}

func (t tool) goodEnough(ctx context.Context, path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return false
	}
	if t.static && !isStatic(path) {
		return false
	}
	if t.atLeast == (version{}) {
		return true
	}
	got, err := askVersion(ctx, path)
	return err == nil && !got.less(t.atLeast)
}
