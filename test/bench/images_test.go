//go:build e2e

package bench_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// archives are the images of deploy/docker, where somebody has built them:
//
//	docker save dispatchd -o bin/images/dispatchd.tar
//	buildctl build … --output type=docker,dest=bin/images/dispatchd.tar
const archives = "../../bin/images"

// BenchmarkImages lists images that are made here: their layers' size as they
// travel and on the disk, and how long a Docker daemon takes to pull them from a
// registry on loopback. Beside the base image that is the cost of size alone.
func BenchmarkImages(b *testing.B) {
	if err := testbed.CheckHost(); err != nil {
		b.Skip(err)
	}
	bed, err := testbed.Start(b.Context(), testbed.Options{Need: testbed.NeedDocker | testbed.NeedBuildKit | testbed.NeedRegistry, Log: os.Stderr})
	must(b, err)
	b.Cleanup(func() { must(b, bed.Close()) })
	images := []string{pushed(b, bed), built(b, bed)}
	files, err := filepath.Glob(filepath.Join(archives, "*.tar"))
	must(b, err)
	if len(files) == 0 {
		results.note("image dispatchd", "not measured: no docker archive in bin/images")
	}
	for _, file := range files {
		images = append(images, loaded(b, bed, file))
	}
	for b.Loop() {
		for _, image := range images {
			measureImage(b, bed, image)
		}
	}
}

func pushed(b *testing.B, bed *testbed.Bed) string {
	b.Helper()
	ref, err := bed.PushBase(b.Context())
	must(b, err)
	return ref
}

// built is the sample, from nothing.
func built(b *testing.B, bed *testbed.Bed) string {
	b.Helper()
	files, err := testbed.SampleRepository(b.Context(), testbed.Sample{})
	must(b, err)
	dir := b.TempDir()
	for name, content := range files {
		must(b, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	y := &yard{bed: bed}
	y.byBuildCtl(b, dir, y.dockerConfig(b))
	return y.name() + ":1"
}

// loaded pushes an archive's image to the bed's registry.
func loaded(b *testing.B, bed *testbed.Bed, file string) string {
	b.Helper()
	image, err := tarball.ImageFromPath(file, nil)
	must(b, err)
	ref, err := bed.PushImage(b.Context(), strings.TrimSuffix(filepath.Base(file), ".tar"), "1", image)
	must(b, err)
	return ref
}

func measureImage(b *testing.B, bed *testbed.Bed, image string) {
	b.Helper()
	ref, err := name.ParseReference(image, name.Insecure)
	must(b, err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	login := &authn.Basic{Username: bed.Login.Username, Password: bed.Login.Password}
	found, err := remote.Image(ref, remote.WithAuth(login), remote.WithTransport(transport))
	must(b, err)
	travels, layers := travelSize(b, found)
	took, onDisk := pull(b, bed, image)
	results.note("image "+strings.TrimPrefix(image, bed.Registry.Addr()+"/"), "%s in %d layers, %s unpacked, pulled in %s", mb(travels), layers, mb(onDisk), ms(took))
}

// travelSize is what a client downloads for an image.
func travelSize(b *testing.B, image v1.Image) (size int64, layers int) {
	b.Helper()
	manifest, err := image.Manifest()
	must(b, err)
	for _, layer := range manifest.Layers {
		size += layer.Size
	}
	return size + manifest.Config.Size, len(manifest.Layers)
}

// pull lets the bed's Docker pull an image that it does not have.
func pull(b *testing.B, bed *testbed.Bed, image string) (took time.Duration, onDisk int64) {
	b.Helper()
	docker := func(args ...string) *exec.Cmd {
		cmd := exec.Command("docker", append([]string{"--config", (&yard{bed: bed}).dockerConfig(b), "--host", bed.Docker.Addr()}, args...)...)
		cmd.Env = os.Environ()
		return cmd
	}
	began := time.Now()
	output(b, docker("pull", "--quiet", image))
	took = time.Since(began)
	_, err := fmt.Sscan(output(b, docker("image", "inspect", "--format", "{{.Size}}", image)), &onDisk)
	must(b, err)
	output(b, docker("image", "rm", image))
	return took, onDisk
}
