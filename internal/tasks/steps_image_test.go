package tasks_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// cluster are parts whose Nomad has the platforms.
type cluster struct {
	*parts
	platforms []string
}

func (c cluster) Info(context.Context, tasks.Cluster) (tasks.ClusterInfo, error) {
	return tasks.ClusterInfo{Platforms: c.platforms}, nil
}

func TestAnImageForOtherMachinesIsRefusedBeforeNomadTries(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		image, nodes string
		want         string
	}{
		"another machine":       {"linux/arm64", "linux/amd64", "image web@sha256:1 is for linux/arm64; the cluster's nodes are linux/amd64"},
		"several of each":       {"linux/arm64 linux/s390x", "linux/amd64 windows/amd64", "is for linux/arm64, linux/s390x; the cluster's nodes are linux/amd64, windows/amd64"},
		"one of them fits":      {"linux/arm64 linux/s390x", "linux/amd64 linux/arm64", ""},
		"a variant":             {"linux/arm/v7", "linux/arm", ""},
		"32 bits on 64":         {"linux/386", "linux/amd64", ""},
		"64 bits on 32":         {"linux/amd64", "linux/386", "is for linux/amd64"},
		"the image is unknown":  {"", "linux/amd64", ""},
		"the nodes are unknown": {"linux/arm64", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &parts{image: &tasks.Image{Name: "web", Digest: "sha256:1", Platforms: strings.Fields(test.image)}}
			h := tasks.NewHandler(tasks.Parts{Configurer: p, Resolver: p, Renderer: p, Deployer: cluster{p, strings.Fields(test.nodes)}}, tasks.Policy{})
			_, err := h.Handle(t.Context(), imageTask(nil), tasks.Attempt{Dir: t.TempDir()}, &listener{})
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			failure := tasks.AsFailure(err)
			if failure == nil || failure.Reason != tasks.ReasonImagePlatform || !strings.Contains(failure.Message, test.want) {
				t.Errorf("got %v, want image_platform: %s", err, test.want)
			}
			if slices.ContainsFunc(p.asked, func(what string) bool { return strings.HasPrefix(what, "register") }) {
				t.Error("the job was registered all the same")
			}
		})
	}
}

func TestPlatformNames(t *testing.T) {
	t.Parallel()
	for platform, want := range map[[3]string]string{
		{"linux", "amd64", ""}: "linux/amd64", {"linux", "amd64", "v1"}: "linux/amd64", {"linux", "amd64", "v3"}: "linux/amd64/v3",
		{"linux", "arm64", "v8"}: "linux/arm64", {"linux", "arm", "v7"}: "linux/arm/v7",
		{"unknown", "unknown", ""}: "", {"", "amd64", ""}: "", {"linux", "", ""}: "",
	} {
		if got := tasks.PlatformName(platform[0], platform[1], platform[2]); got != want {
			t.Errorf("%v is %q, want %q", platform, got, want)
		}
	}
	got := tasks.SortPlatforms([]string{"linux/s390x", "", "linux/amd64", "linux/s390x"})
	if joined(got) != "linux/amd64 linux/s390x" {
		t.Errorf("sorted: %v", got)
	}
}

// loader is a builder that loads what it does not push.
type loader struct{ *parts }

func (l loader) Build(ctx context.Context, req tasks.BuildRequest, rep tasks.Reporter) (tasks.Image, error) {
	image, err := l.parts.Build(ctx, req, rep)
	image.Loaded = !req.Push
	return image, err
}

func TestALoadedImageIsNeitherResolvedNorPulled(t *testing.T) {
	t.Parallel()
	p := &parts{}
	l := &listener{}
	h := tasks.NewHandler(tasks.Parts{Cloner: p, Configurer: p, Builder: loader{p}, Resolver: p, Renderer: p, Deployer: p}, tasks.Policy{})
	task := repositoryTask(func(d *tasks.Deploy) { d.Build.DisablePush = true })
	dir := t.TempDir()
	if _, err := h.Handle(t.Context(), task, tasks.Attempt{Dir: dir}, l); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(p.asked, "resolve") || p.render.ForcePull {
		t.Errorf("asked %v, forced pull %v: want the daemon's own image", p.asked, p.render.ForcePull)
	}
	if want := "not pushed: loaded into the Docker daemon as web:latest"; !strings.Contains(l.log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, l.log.String())
	}
	if p.build.Scratch != dir {
		t.Errorf("the build may write to %q, want the task's own directory", p.build.Scratch)
	}
}

func TestTheLogSaysWhereAnUnpushedImageMustBe(t *testing.T) {
	t.Parallel()
	p := &parts{}
	l, _, err := p.handle(t, repositoryTask(func(d *tasks.Deploy) { d.Build.DisablePush = true }), tasks.Policy{}, false)
	if want := "not pushed: web:latest must be in its registry already"; err != nil || !strings.Contains(l.log.String(), want) {
		t.Errorf("%v; the log does not say %q:\n%s", err, want, l.log.String())
	}
}
