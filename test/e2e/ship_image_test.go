//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// builder is the Debian from which the images take their programs.
var builder = testbed.DebianRoot{Suite: "bookworm", Packages: []string{"ca-certificates", "docker.io", "libcurl3-gnutls", "openssh-client"}}

// shipped are the images of deploy/docker, built once by whoever needs them first.
var shipped struct {
	once       sync.Once
	plain, cli string
	err        error
}

// shippedImages returns the references of the plain image and of docker-cli.
func shippedImages(t *testing.T) (plain, cli string) {
	t.Helper()
	// The build outlives the test that happened to ask first.
	shipped.once.Do(func() {
		shipped.plain, shipped.cli, shipped.err = buildImages(context.WithoutCancel(t.Context()), t.TempDir())
	})
	if shipped.err != nil {
		t.Fatal(shipped.err)
	}
	return shipped.plain, shipped.cli
}

// buildImages builds both targets. The program comes from this machine, whose
// build cache has it; with DISPATCHD_E2E_FULL=1 the first stage compiles it.
func buildImages(ctx context.Context, dir string) (plain, cli string, err error) {
	debian, err := shared.bed.PushDebian(ctx, testbed.Options{Log: os.Stderr}, builder)
	if err != nil {
		return "", "", err
	}
	build := testbed.ImageBuild{
		Context: "../..", Dockerfile: "deploy/docker/Dockerfile", Repository: "dispatchd/dispatchd",
		Args: map[string]string{"BUILDER": debian, "GO": debian, "VERSION": "v0.0.0-e2e"},
	}
	git, err := builtGit(ctx, build)
	if err != nil {
		return "", "", err
	}
	build.Contexts = map[string]string{"git": git}
	if os.Getenv("DISPATCHD_E2E_FULL") == "" {
		if err := stripped(ctx, filepath.Join(dir, "out", "dispatchd")); err != nil {
			return "", "", err
		}
		build.Contexts["build"] = dir
	} else if build.Args["GO"], err = goImage(ctx, dir, debian); err != nil {
		return "", "", err
	}
	if plain, err = shared.bed.BuildImage(ctx, build); err != nil {
		return "", "", err
	}
	build.Target, build.Repository = "docker-cli", "dispatchd/docker-cli"
	cli, err = shared.bed.BuildImage(ctx, build)
	return plain, cli, err
}

// builtGit returns what the stage git makes. It compiles for a minute or two, so
// the result is kept for as long as its script and its builder stay the same.
func builtGit(ctx context.Context, build testbed.ImageBuild) (string, error) {
	script, err := os.ReadFile("../../deploy/docker/git.sh")
	if err != nil {
		return "", err
	}
	dir, found, err := testbed.Cached(testbed.Options{}, "git", fmt.Sprint(builder, string(script)))
	if err != nil || found {
		return dir, err
	}
	build.Target, build.Dest = "git", dir+".making"
	if _, err := shared.bed.BuildImage(ctx, build); err != nil {
		return "", err
	}
	return dir, os.Rename(build.Dest, dir)
}

// stripped builds dispatchd as a release is built.
func stripped(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "grpcnotrace,nethttpomithttp2",
		"-ldflags", "-s -w -X main.number=v0.0.0-e2e", "-o", path, "../../cmd/dispatchd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build dispatchd: %w: %s", err, out)
	}
	return nil
}

// goImage is the Debian image with this machine's Go and with the certificates
// that this machine trusts: its way to Go's modules may lead through a proxy.
func goImage(ctx context.Context, dir, debian string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("look for Go: %w", err)
	}
	text := "FROM " + debian + "\nCOPY --from=go / /usr/local/go\nCOPY --from=certificates ca-certificates.crt /etc/ssl/certs/\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o600); err != nil {
		return "", err
	}
	return shared.bed.BuildImage(ctx, testbed.ImageBuild{
		Context: dir, Dockerfile: "Dockerfile", Repository: "base/go",
		Contexts: map[string]string{"go": strings.TrimSpace(string(root)), "certificates": "/etc/ssl/certs"},
	})
}

// TestShippedImagesAreSmall prints every layer. The limits are for the layers as
// they are pulled, compressed.
func TestShippedImagesAreSmall(t *testing.T) {
	t.Parallel()
	plain, cli := shippedImages(t)
	const mb = 1e6
	for _, c := range []struct {
		name, ref string
		limit     int64
	}{{"dispatchd", plain, 20 * mb}, {"docker-cli", cli, 35 * mb}} {
		packed, unpacked := sizes(t, c.ref)
		t.Logf("%-10s %5.2f MB compressed (limit %d MB), %5.2f MB unpacked", c.name, float64(packed)/mb, c.limit/mb, float64(unpacked)/mb)
		if packed >= c.limit {
			t.Errorf("the layers of %s are %d bytes, want less than %d", c.name, packed, c.limit)
		}
	}
	t.Log("30 MB unpacked was once the aim for git and the docker client: the client alone is 46 MB, dispatchd 23 MB, git with ssh and their libraries 24 MB")
}

// sizes sums an image's layers as they are pulled and as they lie on disk.
func sizes(t *testing.T, ref string) (packed, unpacked int64) {
	t.Helper()
	layers, err := remoteImage(t, ref).Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			t.Fatal(err)
		}
		packed += size
		n := int64(0)
		for header := range layerFiles(t, layer) {
			n += header.Size
		}
		unpacked += n
	}
	return packed, unpacked
}

func remoteImage(t *testing.T, ref string) v1.Image {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(parsed, registryLogin())
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestShippedImageHasWhatItNeedsAndNoMore looks at its configuration and files.
func TestShippedImageHasWhatItNeedsAndNoMore(t *testing.T) {
	t.Parallel()
	plain, _ := shippedImages(t)
	config, err := remoteImage(t, plain).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if c.User != "65532:65532" || c.StopSignal != "SIGTERM" || !slices.Equal(c.Entrypoint, []string{"/dispatchd"}) || !slices.Equal(c.Cmd, []string{"run"}) {
		t.Errorf("user %q, stop signal %q, entry point %q, command %q", c.User, c.StopSignal, c.Entrypoint, c.Cmd)
	}
	if got, want := c.Labels["org.opencontainers.image.version"], "v0.0.0-e2e"; got != want {
		t.Errorf("the version label is %q, want %q", got, want)
	}
	files := map[string]int64{}
	layers, err := remoteImage(t, plain).Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		for header := range layerFiles(t, layer) {
			path := "/" + strings.Trim(header.Name, "/")
			files[path] = header.Mode & 0o7777
			if header.Mode&0o6000 != 0 {
				t.Errorf("%s has the mode %o: nothing in the image changes its user", path, header.Mode)
			}
			if path == "/var/lib/dispatchd" && header.Uid != 65532 {
				t.Errorf("%s belongs to %d", path, header.Uid)
			}
		}
	}
	for path, mode := range map[string]int64{"/dispatchd": 0o755, "/usr/bin/git": 0o755, "/tmp": 0o1777, "/var/lib/dispatchd": 0o750, "/etc/ssl/certs/ca-certificates.crt": 0o644, "/var/lib/dpkg/status.d/git": 0o644} {
		if got, ok := files[path]; !ok || got != mode {
			t.Errorf("%s has the mode %o (%t), want %o", path, got, ok, mode)
		}
	}
	for _, path := range []string{"/bin/sh", "/usr/bin/sh", "/usr/bin/docker", "/usr/bin/git-lfs", "/usr/bin/perl"} {
		if _, ok := files[path]; ok {
			t.Errorf("the plain image has %s", path)
		}
	}
}

// TestShippedProgramsRun starts every program in its image, as the image's user.
func TestShippedProgramsRun(t *testing.T) {
	t.Parallel()
	plain, cli := shippedImages(t)
	https, certificate := tlsServer(t)
	trusted := certificate + ":/etc/ssl/certs/ca-certificates.crt:ro"
	for _, c := range []struct {
		name, image string
		argv        []string
		code        int
		want        string
		binds       []string
	}{
		{"dispatchd", plain, []string{"/dispatchd", "version"}, 0, "v0.0.0-e2e", nil},
		{"git", plain, []string{"git", "--version"}, 0, "git version 2.", nil},
		{"git makes a repository", plain, []string{"git", "init", "--template=", "/tmp/r"}, 0, "Initialized empty Git repository", nil},
		{"git speaks https and checks certificates", plain, []string{"git", "ls-remote", https}, 128, "certificate verification failed", nil},
		{"git trusts the image's certificates", plain, []string{"git", "ls-remote", https}, 128, "not found", []string{trusted}},
		{"ssh", plain, []string{"ssh", "-V"}, 0, "OpenSSH", nil},
		{"ssh knows its user", plain, []string{"ssh", "-G", "host"}, 0, "user dispatchd", nil},
		{"the docker client", cli, []string{"docker", "--version"}, 0, "Docker version", nil},
		{"dispatchd beside it", cli, []string{"/dispatchd", "version"}, 0, "v0.0.0-e2e", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, out := runContainer(t, c.image, c.argv, c.binds...)
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("%q ended with %d, want %d and %q in:\n%s", c.argv, code, c.code, c.want, out)
			}
		})
	}
}
